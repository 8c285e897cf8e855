//! The map and the README are true: every path that they name exists.

use std::fs;

use harness::root;

/// Words in backticks that look like paths of this project.
fn paths(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2);
    let words = code
        .flat_map(|code| code.split_whitespace())
        .map(|word| word.trim_matches(|c| "(),;:.".contains(c) && c != '.'));
    let tops = ["compiler/", "reconciler/", "schemas/", "policies/", "golden/", "tests/", ".ci/"];
    words
        .filter(|word| tops.iter().any(|top| word.starts_with(top)))
        .filter(|word| !word.contains(|c: char| c.is_ascii_uppercase() || c == '*' || c == '<' || c == '@'))
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect()
}

#[test]
fn every_path_that_is_named_exists() {
    for page in ["ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        // Fenced blocks hold commands, whose paths are the user's own; backticks inside them are none.
        let outside: String = text.split("```").step_by(2).collect();
        for path in paths(&outside) {
            assert!(root().join(&path).exists(), "{page} names `{path}`, which does not exist");
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for parent in ["compiler", "reconciler"] {
        for entry in fs::read_dir(root().join(parent)).unwrap().map(|entry| entry.unwrap()) {
            if entry.path().join("Cargo.toml").exists() {
                let name = format!("{parent}/{}", entry.file_name().to_string_lossy());
                assert!(map.contains(&format!("`{name}`")), "ARCHITECTURE.md does not mention `{name}`");
            }
        }
    }
}
