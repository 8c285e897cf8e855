//! What the system says of a process.

use std::fs;
use std::process::Command;

/// Keeps all threads of a process on some processors; without `taskset`, or on a machine with one, it runs where it likes.
pub(crate) fn pin(id: u32, processors: &str) {
    let arguments = ["--all-tasks", "--pid", "--cpu-list", processors, &id.to_string()];
    let _ = Command::new("taskset").args(arguments).output();
}

/// Has a process use only what others leave of its processor; without `chrt`, or where that is not allowed, it does not.
pub(crate) fn stand_back(id: u32) {
    let _ = Command::new("chrt").args(["--all-tasks", "--idle", "--pid", "0", &id.to_string()]).output();
}

/// Seconds of processor time that a process has used.
pub(crate) fn ticks(id: u32) -> f64 {
    /// `_SC_CLK_TCK`, which is the same on every Linux.
    const PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process is there");
    let after_name = stat.rsplit(')').next().expect("a name is in brackets");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // utime and stime are the fields 14 and 15 of proc_pid_stat(5), and the first two came before.
    let field = |at: usize| fields[at - 3].parse::<f64>().expect("it is a number");
    (field(14) + field(15)) / PER_SECOND
}

/// Bytes of memory that a process holds.
pub(crate) fn memory(id: u32) -> f64 {
    held(id, "VmRSS:")
}

/// Those of them that are its own: not the pages of its program, which all processes of one binary share and which the
/// system takes back when it needs them.
pub(crate) fn own_memory(id: u32) -> f64 {
    held(id, "RssAnon:")
}

fn held(id: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let resident = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says so");
    resident.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("it is a number") * 1024.0
}
