//! The `taut` command.
//!
//! Owns: arguments, reading and writing files for the pure parts, rendering, exit codes, and the wiring of the parts that run.
//! May not: decide anything that a library could decide.
//!
//! Exit codes: 0 fine, 1 problems in the mesh, 2 the world (or the command line) is to blame.

mod args;
mod commands;
mod demo;
mod failure;
mod output;
mod paths;
mod report;
mod running;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let mut output = output::Output::new();
    match commands::run(args, &mut output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(2)
        }
    }
}
