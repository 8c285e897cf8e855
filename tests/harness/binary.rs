//! Binaries, built from the code under test.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What a run of the binary left.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// `taut`, built if it is not there as the code is now.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn taut() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("taut"))
}

/// A binary of the workspace, built if it is not there as the code is now.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    // The same profile and features as this test: nothing is built twice.
    // Whoever runs the bench by itself is given no cargo: the one on the path knows which toolchain is meant.
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(crate::root()).args(["build", "--workspace", "--bin", name, "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "{name} could not be built");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut executables = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables.next_back().expect("cargo names the binary that it built")
}

/// Runs the binary with arguments and something on its standard input.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn taut_with_input(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(taut())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that does not read its input may be gone before all of it is written.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("the writer does not panic");
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
