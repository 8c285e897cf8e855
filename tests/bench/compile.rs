//! What compiling costs, beside what `serde_yaml` alone takes to read the same bytes.

use std::path::Path;
use std::process::Command;

use harness::generated_mesh;
use taut_compile::{Memo, Options, compile};
use taut_snapshot::format::file;
use taut_source::{SourceFile, SourceSet};

use crate::cold::{COMPILE, MEMORY, SERDE_YAML, compiled_in, read_in, seconds, sources};
use crate::pairs::{Figure, Goal, interleaved, median};
use crate::typed;

pub(crate) fn run(quick: bool) -> Vec<Figure> {
    let rounds = if quick { 4 } else { 12 };
    let meshes = [1_000, 10_000].map(Generated::of);
    let mut cold = [Vec::new(), Vec::new()];
    // Both sizes in turn as well, so that one does not grow in a better hour than the other.
    for _ in 0..rounds / 2 {
        for (mesh, pairs) in meshes.iter().zip(&mut cold) {
            pairs.extend(interleaved(2, || compiled_in(&mesh.files), || read_in(&mesh.files)));
        }
    }
    let program = harness::built("bench-alone");
    let mut figures = Vec::new();
    for (Generated { services, files, folder, bytes }, pairs) in meshes.iter().zip(&cold) {
        let case = format!("{services} services");
        let alone = |task: &str| in_a_process(&program, task, folder.path());
        let megabytes = format!("{:.0} MB of YAML", *bytes as f64 / 1e6);
        // How much of the program the system has at hand decides a few hundred kilobytes.
        let peak: Vec<(f64, f64)> = (0..rounds / 2).map(|_| (alone(MEMORY), *bytes as f64)).collect();
        figures.push(Figure::of_pairs("peak memory, bytes", &megabytes, "the YAML", &peak, Goal::AtMost(10.0)));
        let mut beside_reading = |metric, pairs: &[_], goal| {
            figures.push(Figure::of_pairs(metric, &case, "serde_yaml into types", pairs, goal))
        };
        beside_reading("cold check and compile, seconds", pairs, Goal::AtMost(0.6));
        // With memory that the system has to find and clear first.
        let first = interleaved(rounds / 2, || alone(COMPILE), || alone(SERDE_YAML));
        beside_reading("the same, first in its process", &first, Goal::Seen);
        let compiled = compile(&sources(files), &Options::default());
        let objects: usize = files.iter().map(|(_, text)| typed::read(text)).sum();
        assert_eq!(compiled.counts.resources, objects, "both read the same objects");
        // What is around an edit is as large in a small mesh: there, its share is only for people to see.
        let goal = if *services < 10_000 { Goal::Seen } else { Goal::AtMost(0.01) };
        figures.extend(edits(files, rounds, &case, median(pairs.iter().map(|pair| pair.0)), goal));
        let snapshot = compiled.snapshot.expect("the generated mesh has no errors");
        let written = file::write(&snapshot);
        let size = [(written.len() as f64, *bytes as f64)];
        figures.push(Figure::of_pairs("snapshot, bytes", &case, "the YAML", &size, Goal::AtMost(0.5)));
        let opened: Vec<(f64, f64)> = (0..rounds)
            .map(|_| {
                let taken = seconds(|| drop(file::read(&written).expect("it was just written")));
                (written.len() as f64 / taken / 1e9, 1.0)
            })
            .collect();
        figures.push(Figure::of_pairs("open and verify, GB/s", &case, "1 GB/s", &opened, Goal::AtLeast(1.0)));
    }
    let grown: Vec<(f64, f64)> = cold[1].iter().zip(&cold[0]).map(|(large, small)| (large.0, small.0)).collect();
    let case = "10 x services";
    figures.push(Figure::of_pairs("growth, seconds", case, "1,000 services", &grown, Goal::AtMost(12.0)));
    figures
}

/// A mesh of so many services, and a folder that holds it.
struct Generated {
    services: usize,
    files: Vec<(String, String)>,
    folder: tempfile::TempDir,
    bytes: usize,
}

impl Generated {
    fn of(services: usize) -> Generated {
        let files = generated_mesh(services);
        let bytes = files.iter().map(|(_, text)| text.len()).sum();
        Generated { services, folder: written(&files), files, bytes }
    }
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

/// What a process that has done nothing else prints of its one task.
fn in_a_process(program: &Path, task: &str, folder: &Path) -> f64 {
    let output = Command::new(program).arg(task).arg(folder).output().expect("the process can be started");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints a number")
}
