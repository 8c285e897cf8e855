//! `taut completions` and `taut man`: what a shell and a manual know of this command.

use std::fs;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Args, Completions, Man};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn completions(args: &Completions, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "taut", &mut script);
    output.print(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &Man, output: &mut Output) -> Result<ExitCode, Failure> {
    fs::create_dir_all(&args.folder)
        .map_err(|error| Failure(format!("{} could not be made: {error}", args.folder.display())))?;
    clap_mangen::generate_to(Args::command(), &args.folder)?;
    output.line(&format!("the manual pages are in {}", args.folder.display()));
    Ok(ExitCode::SUCCESS)
}
