//! What the manifests and lints must say.

use std::fs;

use harness::{root, tracked_files};

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_crate_obeys_the_workspace_lints() {
    for name in tracked_files().iter().filter(|name| name.ends_with("/Cargo.toml")) {
        assert!(read(name).contains("[lints]\nworkspace = true"), "{name} must say `[lints] workspace = true`");
    }
    let manifest = read("Cargo.toml");
    for lint in [
        "unwrap_used = \"deny\"",
        "print_stdout = \"deny\"",
        "iter_over_hash_type = \"deny\"",
        "unsafe_code = \"deny\"",
    ] {
        assert!(manifest.contains(lint), "the workspace must keep {lint}");
    }
}

#[test]
fn the_compiler_is_fenced_from_files_sockets_clocks_and_the_environment() {
    let fence = read("compiler/clippy.toml");
    for banned in [
        "std::fs::read",
        "std::fs::File",
        "std::net::TcpStream",
        "std::env::var",
        "std::time::SystemTime",
        "std::time::Instant",
    ] {
        assert!(fence.contains(&format!("\"{banned}\"")), "compiler/clippy.toml must ban {banned}");
    }
    let nearer = tracked_files()
        .into_iter()
        .find(|name| name.starts_with("compiler/") && name != "compiler/clippy.toml" && name.ends_with("clippy.toml"));
    assert_eq!(nearer, None, "a nearer clippy.toml would take the fence away");
    // The lints see types and methods; these are seen nowhere else.
    for name in tracked_files().iter().filter(|name| name.starts_with("compiler/") && name.ends_with(".rs")) {
        for banned in ["std::fs", "std::env::", "TcpStream", "SystemTime", "Instant::now"] {
            assert!(!read(name).contains(banned), "{name} may not use {banned}");
        }
    }
}

#[test]
fn every_workspace_dependency_says_why_it_is_there() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in section.lines().filter(|line| line.contains('=') && !line.contains("path = ")) {
        assert!(line.contains(" # "), "no reason beside: {line}");
    }
}

#[test]
fn exceptions_of_the_dependency_policy_end_on_a_date() {
    let policy = read("deny.toml");
    for line in policy.lines().filter(|line| line.contains("id = ") || line.contains("ignore = [\"")) {
        assert!(line.contains("until 20"), "no end date beside: {line}");
    }
}
