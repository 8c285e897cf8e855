//! `bench`: figures as ratios. Ours and the reference run in one process on the same cores, in turn; every figure is the
//! median of the ratios of the pairs.
//!
//! Prints one JSON object a line and then a table. Exit status 0 only if every goal of the run holds.

mod cold;
mod compile;
mod pairs;
mod proxy;
mod push;
mod typed;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let results = match arguments.first().map(String::as_str) {
        Some("compile") => compile::run(quick),
        Some("push") => push::run(quick),
        Some("proxy") => proxy::run(quick),
        _ => {
            pairs::say("usage: bench compile|push|proxy [--quick]");
            return ExitCode::from(2);
        }
    };
    pairs::report(&results)
}
