//! The eight steps of the demo, each of which the demo itself checks against what it sees.

use std::process::{Command, Stdio};

use harness::{root, taut};

#[test]
fn the_eight_steps_hold_without_one_failed_request_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(taut())
        .arg("demo")
        .current_dir(root())
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    let table: Vec<&str> = stdout.lines().filter(|line| line.starts_with('│')).collect();
    for step in 'a'..='h' {
        assert!(
            table.iter().any(|row| row.starts_with(&format!("│ {step} ")) && row.contains(" yes ")),
            "({step}): {stdout}"
        );
    }
    assert!(stdout.contains(" 0 failed"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no escape sequences where there is no terminal");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // Every process of the demo lived in that folder.
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    let folder = temporary.path().to_string_lossy().into_owned();
    let still: Vec<_> = processes
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(&folder))
        .collect();
    assert!(still.is_empty(), "{still:?}");
}
