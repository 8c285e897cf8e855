//! `bench-alone TASK FOLDER`: one task of `bench compile`, in a process that has done nothing before and holds nothing but
//! the compiler. Prints the figure.

mod cold;
mod typed;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use taut_compile::{Options, compile};
use taut_snapshot::format::file;
use taut_source::SourceFile;

use cold::{COMPILE, MEMORY, SERDE_YAML, compiled_in, read_in};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let figure = match arguments.as_slice() {
        [task, folder] if task == COMPILE => compiled_in(&files(folder.as_ref())),
        [task, folder] if task == SERDE_YAML => read_in(&files(folder.as_ref())),
        [task, folder] if task == MEMORY => peak(folder.as_ref()),
        _ => {
            let _ = writeln!(std::io::stderr(), "usage: bench-alone {COMPILE}|{SERDE_YAML}|{MEMORY} FOLDER");
            return ExitCode::from(2);
        }
    };
    let _ = writeln!(std::io::stdout(), "{figure}");
    ExitCode::SUCCESS
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let text = |file: &SourceFile| String::from_utf8_lossy(&file.bytes).into_owned();
    harness::sources_of(folder).iter().map(|(_, file)| (file.name.to_string(), text(file))).collect()
}

/// Bytes.
fn peak(folder: &Path) -> f64 {
    let compiled = compile(&harness::sources_of(folder), &Options::default());
    let snapshot = compiled.snapshot.expect("the generated mesh has no errors");
    let out = tempfile::tempfile().expect("a file can be made");
    file::write_to(&snapshot, out).expect("a file can be written");
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kilobytes * 1024.0
}
