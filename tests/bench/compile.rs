//! What compiling costs, beside what `serde_yaml` alone takes to read the same bytes.
//!
//! What is done once, as `taut check` and CI do it, is measured in a process that has done nothing before: whoever compiles a
//! second time has memory at hand that the system did not have to find and clear.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use harness::generated_mesh;
use taut_compile::{Memo, Options, compile};
use taut_snapshot::format::file;
use taut_source::threads::each_of_many;
use taut_source::{SourceFile, SourceSet};

use crate::pairs::{Figure, Goal, interleaved, median, say, seconds};
use crate::typed;

pub(crate) fn run(quick: bool) -> Vec<Figure> {
    let rounds = if quick { 3 } else { 11 };
    let mut figures = Vec::new();
    let mut cold = Vec::new();
    for services in [1_000, 10_000] {
        let files = generated_mesh(services);
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        let folder = written(&files);
        let alone = |task: &str| in_a_process(task, folder.path());
        let megabytes = format!("{:.0} MB of YAML", bytes as f64 / 1e6);
        let peak = [(alone(MEMORY), bytes as f64)];
        figures.push(Figure::of_pairs("peak memory, bytes", &megabytes, "the YAML", &peak, Goal::AtMost(10.0)));
        let sources = || SourceSet::new(each_of_many(&files, |(name, text)| SourceFile::new(name, text.as_bytes())));
        let case = format!("{services} services");
        let pairs = interleaved(rounds, || alone(COMPILE), || alone(SERDE_YAML));
        cold.push(median(pairs.iter().map(|pair| pair.0)));
        figures.push(Figure::of_pairs(
            "cold check and compile, seconds",
            &case,
            "serde_yaml into types",
            &pairs,
            Goal::AtMost(0.6),
        ));
        let compiled = compile(&sources(), &Options::default());
        let objects: usize = files.iter().map(|(_, text)| typed::read(text)).sum();
        assert_eq!(compiled.counts.resources, objects, "both read the same objects");
        // What is around an edit is as large in a small mesh: there, its share is only for people to see.
        let goal = if services < 10_000 { Goal::Seen } else { Goal::AtMost(0.01) };
        figures.extend(edits(&files, rounds, &case, median(pairs.iter().map(|pair| pair.0)), goal));
        let snapshot = compiled.snapshot.expect("the generated mesh has no errors");
        let written = file::write(&snapshot);
        let size = [(written.len() as f64, bytes as f64)];
        figures.push(Figure::of_pairs("snapshot, bytes", &case, "the YAML", &size, Goal::AtMost(0.5)));
        let opened: Vec<(f64, f64)> = (0..rounds)
            .map(|_| {
                let taken = seconds(|| drop(file::read(&written).expect("it was just written")));
                (written.len() as f64 / taken / 1e9, 1.0)
            })
            .collect();
        figures.push(Figure::of_pairs("open and verify, GB/s", &case, "1 GB/s", &opened, Goal::AtLeast(1.0)));
    }
    figures.push(Figure::of_pairs(
        "growth, times the time",
        "10 x services",
        "1",
        &[(cold[1] / cold[0], 1.0)],
        Goal::AtMost(12.0),
    ));
    figures
}

/// What it takes to compile again after an edit of one file: a weight of a route, and back.
fn edits(files: &[(String, String)], rounds: usize, case: &str, cold: f64, goal: Goal) -> [Figure; 2] {
    let mut files: Vec<SourceFile> = files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect();
    let mut memo = Memo::new(Options::default());
    let at = files.len() / 2;
    let original = files[at].clone();
    let text = String::from_utf8_lossy(&original.bytes);
    let other = SourceFile::new(&original.name, text.replace("timeout: 5s", "timeout: 7s").as_bytes());
    assert_ne!(original.id, other.id, "the file has a timeout");
    memo.compile(&SourceSet::new(files.clone()));
    let mut taken = Vec::new();
    for round in 0..2 * rounds {
        files[at] = if round % 2 == 0 { other.clone() } else { original.clone() };
        let sources = SourceSet::new(files.clone());
        let before = memo.by_difference();
        taken.push(seconds(|| assert!(memo.compile(&sources).snapshot.is_some())));
        assert_eq!(memo.by_difference(), before + 1, "the edit alone was looked at");
    }
    let edit = median(taken);
    [
        Figure::of_pairs("one file edited, seconds", case, "cold", &[(edit, cold)], goal),
        Figure::of_pairs("one file edited, seconds", case, "20 ms", &[(edit, 0.02)], Goal::AtMost(1.0)),
    ]
}

/// A folder with these files.
fn written(files: &[(String, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        std::fs::write(path, text).expect("a file can be written");
    }
    folder
}

/// The first argument of a process that has one task, which comes next, and a folder to do it with.
pub(crate) const ALONE: &str = "alone";
/// Seconds to compile the folder, whose files are at hand.
const COMPILE: &str = "compile";
/// Seconds in which `serde_yaml` reads them.
const SERDE_YAML: &str = "serde_yaml";
/// The most bytes that it takes to read the folder, compile it and write the snapshot.
const MEMORY: &str = "memory";

/// What such a process prints.
fn in_a_process(task: &str, folder: &Path) -> f64 {
    let program = std::env::current_exe().expect("the bench knows where it is");
    let output = Command::new(program).args([ALONE, task]).arg(folder).output().expect("the bench can be started");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints a number")
}

/// Does its task, and prints the figure.
pub(crate) fn alone(task: &str, folder: &Path) {
    if task == MEMORY {
        return say(&peak(folder).to_string());
    }
    let sources = harness::sources_of(folder);
    let text = |file: &SourceFile| String::from_utf8_lossy(&file.bytes).into_owned();
    let files: Vec<(String, String)> = sources.iter().map(|(_, file)| (file.name.to_string(), text(file))).collect();
    let taken = match task {
        COMPILE => seconds(|| {
            let sources = SourceSet::new(each_of_many(&files, |(name, text)| SourceFile::new(name, text.as_bytes())));
            (compile(&sources, &Options::default()), sources)
        }),
        SERDE_YAML => seconds(|| files.iter().for_each(|(_, text)| assert_ne!(typed::read(text), 0))),
        other => panic!("no task: {other}"),
    };
    say(&taken.to_string());
}

/// Bytes.
fn peak(folder: &Path) -> u64 {
    let compiled = compile(&harness::sources_of(folder), &Options::default());
    let snapshot = compiled.snapshot.expect("the generated mesh has no errors");
    let mut out = tempfile::tempfile().expect("a file can be made");
    out.write_all(&file::write(&snapshot)).expect("a file can be written");
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kilobytes * 1024
}
