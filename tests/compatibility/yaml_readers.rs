//! What the fast reader returns is what the reference reader returns: values, places and problems.

use std::fs;
use std::time::{Duration, Instant};

use harness::{Draws, mutant, root, tracked_files};
use taut_source::{Document, FileId, Problem, SourceFile, YamlReader, read_documents};

fn meshes() -> Vec<String> {
    let mut names = tracked_files();
    names.retain(|name| name.starts_with("golden/") && name.ends_with(".yaml"));
    let more = std::env::var("TAUT_FUZZ_SEEDS")
        .into_iter()
        .flat_map(|list| list.split(':').map(str::to_owned).collect::<Vec<_>>());
    let own = names.into_iter().map(|name| root().join(name));
    let texts = own.chain(more.map(Into::into)).map(|path| fs::read_to_string(path).expect("a seed can be read"));
    texts.filter(|text| !text.is_empty()).collect()
}

fn read(text: &str, reader: YamlReader) -> (Vec<Document>, Vec<Problem>) {
    read_documents(&SourceFile::new("mesh.yaml", text.as_bytes()), FileId(0), reader)
}

fn agree(text: &str) -> Result<(), String> {
    let (fast, fast_problems) = read(text, YamlReader::Fast);
    let (reference, problems) = read(text, YamlReader::Reference);
    if fast_problems != problems {
        return Err(format!("{fast_problems:?}\n{problems:?}"));
    }
    let same = fast.len() == reference.len()
        && fast
            .iter()
            .zip(&reference)
            .all(|(fast, reference)| fast.tree == reference.tree && fast.span == reference.span);
    if same { Ok(()) } else { Err("other values or places".into()) }
}

/// 20,000 mutants; for as many seconds as `TAUT_FUZZ_SECONDS` says, if it does.
#[test]
fn the_fast_reader_never_says_anything_else_than_the_reference_reader() {
    let seeds = meshes();
    for seed in &seeds {
        assert_eq!(agree(seed), Ok(()), "{seed}");
    }
    let seconds: Option<u64> = std::env::var("TAUT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let first: u64 = std::env::var("TAUT_FUZZ_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let mut seed = first;
    let more = |seed: u64| match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => seed < first + 20_000,
    };
    while more(seed) {
        let text = mutant(&seeds, &mut Draws::new(seed));
        if let Err(why) = agree(&text) {
            wrong.push(format!("seed {seed}: {why}\n{text:?}"));
        }
        seed += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {} mutants are read in two ways:\n{}",
        wrong.len(),
        seed - first,
        wrong[..wrong.len().min(20)].join("\n\n")
    );
}
