//! What compiling costs, beside what `serde_yaml` alone takes to read the same bytes.

use harness::generated_mesh;
use serde::de::IgnoredAny;
use taut_compile::{Options, compile};
use taut_snapshot::format::file;
use taut_source::{SourceFile, SourceSet};

use crate::pairs::{Figure, Goal, interleaved, median, seconds};

pub(crate) fn run(quick: bool) -> Vec<Figure> {
    let rounds = if quick { 3 } else { 11 };
    let mut figures = Vec::new();
    let mut cold = Vec::new();
    for services in [1_000, 10_000] {
        let files = generated_mesh(services);
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        let sources =
            || SourceSet::new(files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect());
        let case = format!("{services} services");
        let pairs = interleaved(
            rounds,
            || seconds(|| drop(compile(&sources(), &Options::default()))),
            || seconds(|| files.iter().for_each(|(_, text)| read_alone(text))),
        );
        cold.push(median(pairs.iter().map(|pair| pair.0)));
        figures.push(Figure::of_pairs(
            "cold check and compile, seconds",
            &case,
            "serde_yaml",
            &pairs,
            Goal::AtMost(0.6),
        ));
        let compiled = compile(&sources(), &Options::default());
        let snapshot = compiled.snapshot.expect("the generated mesh has no errors");
        let written = file::write(&snapshot);
        let size = [(written.len() as f64, bytes as f64)];
        figures.push(Figure::of_pairs("snapshot, bytes", &case, "the YAML", &size, Goal::AtMost(0.5)));
        let opened: Vec<(f64, f64)> = (0..rounds)
            .map(|_| {
                let taken = seconds(|| {
                    file::read(&written).expect("it was just written").verify().expect("it was just written")
                });
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

/// What `serde_yaml` takes to read the bytes.
fn read_alone(text: &str) {
    for document in serde_yaml::Deserializer::from_str(text) {
        serde::Deserialize::deserialize(document).map(|_: IgnoredAny| ()).expect("the generated mesh is YAML");
    }
}
