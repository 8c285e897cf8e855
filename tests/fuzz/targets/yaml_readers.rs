//! The fast YAML reader beside the reference reader.
//!
//! Half of the inputs are mutated as bytes; the others stay near YAML: tokens, lines and indentation are moved, or a
//! text is made up anew.

#![no_main]

use harness::{Draws, mutate, near_yaml};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| harness::fuzz::yaml_readers(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut draws = Draws::new(u64::from(seed));
    let text = match (draws.below(6), std::str::from_utf8(&data[..size])) {
        (0, _) => near_yaml(&mut draws),
        (1 | 2, Ok(text)) => {
            let seeds = [near_yaml(&mut draws), text.to_owned()];
            (0..=draws.below(3)).fold(text.to_owned(), |text, _| mutate(&text, &seeds, &mut draws))
        }
        _ => return fuzzer_mutate(data, size, max_size),
    };
    let length = text.len().min(max_size);
    data[..length].copy_from_slice(&text.as_bytes()[..length]);
    length
});
