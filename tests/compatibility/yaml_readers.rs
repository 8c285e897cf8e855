//! What the fast reader returns is what the reference reader returns: values, places and problems.

use std::fs;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use harness::fuzz::yaml_readers;
use harness::{Draws, mutant, near_yaml, root, tracked_files};

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

fn agree(text: &str) -> Result<(), String> {
    let outcome = catch_unwind(|| yaml_readers(text.as_bytes()));
    outcome.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// 20,000 texts; for as many seconds as `TAUT_FUZZ_SECONDS` says, if it does.
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
        let mut draws = Draws::new(seed);
        let text = if seed.is_multiple_of(2) { mutant(&seeds, &mut draws) } else { near_yaml(&mut draws) };
        if let Err(why) = agree(&text) {
            wrong.push(format!("seed {seed}: {why}\n{text:?}"));
        }
        seed += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {} texts are read in two ways:\n{}",
        wrong.len(),
        seed - first,
        wrong[..wrong.len().min(20)].join("\n\n")
    );
}
