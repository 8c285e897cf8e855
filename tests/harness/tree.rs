//! The project's own tree.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the project.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// Every file that git knows or would add, relative to the root.
///
/// # Panics
/// If git cannot be run here.
#[must_use]
pub fn tracked_files() -> Vec<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|name| root().join(name).exists()).map(str::to_owned).collect()
}
