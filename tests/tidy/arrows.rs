//! Who may use whom: the list that the map draws. A new arrow is a design decision, made here, in sight of review.

use std::collections::BTreeMap;
use std::process::Command;

use harness::root;
use serde_json::Value;

const MAY_USE: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("resources", &["source"]),
    ("model", &["resources", "source"]),
    ("snapshot", &[]),
    ("compile", &["source", "resources", "model", "snapshot"]),
    ("intake", &["source"]),
    ("delivery", &["snapshot"]),
    ("control", &["snapshot", "delivery"]),
    ("identity", &["snapshot"]),
    ("ca", &["snapshot", "identity"]),
    ("proxy", &["snapshot", "delivery", "identity"]),
    ("cli", &["*"]),
    ("tests", &["*"]),
];

/// Outside crates that some of ours alone may use.
const FENCED: &[(&str, &[&str])] = &[
    ("git2", &["intake"]),
    ("notify", &["intake"]),
    ("rcgen", &["ca", "tests"]),
    ("redb", &["control"]),
    ("serde_yaml", &["source", "tests"]),
    ("libyaml-safer", &["source"]),
    ("hyper", &["proxy", "cli", "tests"]),
    ("clap", &["cli", "tests"]),
    ("domain", &["proxy"]),
];

/// Nothing under `compiler/` waits, listens or encrypts.
const NOT_IN_COMPILER: &[&str] = &["tokio", "tonic", "hyper", "rustls", "git2", "notify"];

struct Package {
    name: String,
    folder: String,
    /// Dependencies of the built crate, not of its tests.
    uses: Vec<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = |package: &Value| {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        let uses = package["dependencies"].as_array().unwrap().iter().filter(|it| it["kind"].is_null());
        let folder = text("manifest_path").strip_suffix("/Cargo.toml").unwrap().to_owned();
        Package {
            name: text("name").strip_prefix("taut-").unwrap().to_owned(),
            folder: folder.strip_prefix(&*root().to_string_lossy()).unwrap().trim_start_matches('/').to_owned(),
            uses: uses.map(|it| it["name"].as_str().unwrap().to_owned()).collect(),
        }
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

#[test]
fn crates_use_only_what_the_map_allows() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for package in packages() {
        let allowed =
            allowed.get(&*package.name).unwrap_or_else(|| panic!("{} joins MAY_USE and the map", package.name));
        for used in package.uses.iter().filter_map(|name| name.strip_prefix("taut-")) {
            assert!(allowed.contains(&"*") || allowed.contains(&used), "{} may not depend on {used}", package.name);
        }
    }
}

#[test]
fn outside_crates_stay_behind_their_fences() {
    for package in packages() {
        for used in &package.uses {
            if let Some((_, who)) = FENCED.iter().find(|(name, _)| name == used) {
                assert!(who.contains(&&*package.name), "{} may not depend on {used}", package.name);
            }
            let pure = package.folder.starts_with("compiler/");
            assert!(!(pure && NOT_IN_COMPILER.contains(&&**used)), "{} may not depend on {used}", package.name);
        }
    }
}

#[test]
fn every_crate_lies_where_the_map_says() {
    for package in packages() {
        let want = match package.name.as_str() {
            "tests" => "tests".to_owned(),
            name @ ("source" | "resources" | "model" | "snapshot" | "verify" | "compile") => format!("compiler/{name}"),
            name => format!("reconciler/{name}"),
        };
        assert_eq!(package.folder, want);
    }
}
