//! Where files may be, what they may be called, and how long they may get.

use std::fs;

use harness::{root, tracked_files};

/// The root's folders are fixed; files may join it.
const FOLDERS: &[&str] = &["compiler", "reconciler", "schemas", "policies", "golden", "tests"];

/// Names that say nothing: the thing has no name yet.
const NAMELESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "base", "mod"];

/// Past this a file's header says why, with the word `Length:`.
const LINES_MAX: usize = 700;

#[test]
fn the_top_level_is_fixed() {
    for name in tracked_files() {
        if let Some((folder, _)) = name.split_once('/') {
            assert!(FOLDERS.contains(&folder) || folder.starts_with('.'), "no folder `{folder}` may stand in the root");
        }
    }
}

#[test]
fn files_are_named_by_their_thing() {
    for name in tracked_files().iter().filter(|name| name.ends_with(".rs")) {
        let stem = name.rsplit('/').next().unwrap().trim_end_matches(".rs");
        assert!(!NAMELESS.contains(&stem), "{name} has no name yet: find it");
    }
}

#[test]
fn every_file_has_a_header_and_a_length_that_can_be_read() {
    for name in tracked_files().iter().filter(|name| name.ends_with(".rs")) {
        let text = fs::read_to_string(root().join(name)).unwrap();
        assert!(text.starts_with("//!") || text.trim().is_empty(), "{name} begins with what it owns");
        let lines = text.lines().count();
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(
            lines <= LINES_MAX || header.join(" ").contains("Length:"),
            "{name} has {lines} lines and does not say why"
        );
    }
}

#[test]
fn tests_are_neither_switched_off_nor_asleep() {
    // Put together here so that this file does not find itself.
    let banned = [
        ["#[", "ignore"].concat(),
        ["thread::", "sleep"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    for name in tracked_files().iter().filter(|name| name.ends_with(".rs")) {
        let text = fs::read_to_string(root().join(name)).unwrap();
        for word in &banned {
            assert!(!text.contains(word.as_str()), "{name} contains {word}");
        }
    }
}
