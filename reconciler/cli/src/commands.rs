//! One file per command: arguments, one call into a library, rendering, exit code.

mod check;
mod compile;
mod inspect;
mod rules;
mod shell;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command that was asked for.
pub(crate) fn run(args: Args, output: &mut Output) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Check(args) => check::run(&args, output),
        Command::Compile(args) => compile::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
        Command::Rules(args) => rules::run(&args, output),
        Command::Completions(args) => shell::completions(&args, output),
        Command::Man(args) => shell::man(&args, output),
    }
}
