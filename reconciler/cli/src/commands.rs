//! One file per command: arguments, one call into a library, rendering, exit code.

mod ask;
mod ca;
mod capture;
mod check;
pub(crate) mod compile;
mod explain;
mod inspect;
pub(crate) mod proxy;
mod reconcile;
mod rules;
mod shell;

use std::process::ExitCode;

use crate::args::{Args, Ca, Command};
use crate::demo;
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command that was asked for.
pub(crate) fn run(args: Args, output: &mut Output) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Check(args) => check::run(&args, output),
        Command::Compile(args) => compile::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
        Command::Rules(args) => rules::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Reconcile(args) => reconcile::run(*args, output),
        Command::Ca(Ca::Serve(args)) => ca::run(args, output),
        Command::Ca(Ca::Token(args)) => ca::token(&args, output),
        Command::Ca(Ca::Tokens(args)) => ca::tokens(&args, output),
        Command::Proxy(args) => proxy::run(*args, output),
        Command::Uncapture => capture::undo(),
        Command::Status(args) => ask::status(&args, output),
        Command::Wait(args) => ask::wait(&args, output),
        Command::History(args) => ask::history(&args, output),
        Command::Drift(args) => ask::drift(&args, output),
        Command::Plan(args) => ask::plan(&args, output),
        Command::Rollback(args) => ask::rollback(&args, output),
        Command::Hold(args) => ask::hold(&args, output),
        Command::Resume(args) => ask::resume(&args, output),
        Command::Demo(args) => demo::run(&args, output),
        Command::Completions(args) => shell::completions(&args, output),
        Command::Man(args) => shell::man(&args, output),
    }
}
