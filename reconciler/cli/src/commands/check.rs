//! `taut check`: what is wrong with a mesh.

use std::process::ExitCode;

use taut_compile::{Compiled, Options, compile};
use taut_source::{Severity, SourceSet, YamlReader};

use crate::args::{Check, FailOn, Format, MeshArgs, Reader};
use crate::failure::Failure;
use crate::output::{Output, problems};
use crate::paths;
use crate::report::human::{Renderer, tally};
use crate::report::{Tally, json};

pub(crate) fn run(args: &Check, output: &mut Output) -> Result<ExitCode, Failure> {
    let sources = paths::read(&args.paths)?;
    let compiled = compile(&sources.set, &options(&args.mesh));
    match args.format {
        Format::Json => output.line(&json::report(&compiled.problems, &sources.set, compiled.counts).to_string()),
        Format::Human => human(&compiled, &sources.set, output),
    }
    let least = match args.fail_on {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Error => Severity::Error,
    };
    Ok(problems(compiled.problems.iter().any(|problem| least <= problem.severity)))
}

/// The options of a compilation, from the command line.
pub(crate) fn options(args: &MeshArgs) -> Options {
    let reader = match args.reader {
        Reader::Fast => YamlReader::Fast,
        Reader::Reference => YamlReader::Reference,
    };
    Options { default_namespace: args.default_namespace.clone(), reader, ..Options::default() }
}

/// Every problem with its source, and a summary.
pub(crate) fn human(compiled: &Compiled, sources: &SourceSet, output: &mut Output) {
    /// Wider than the terminal is hard to read, and narrower breaks messages.
    const WIDTH: usize = 120;
    let mut renderer = Renderer::new(sources, output.is_terminal(), WIDTH);
    for problem in &compiled.problems {
        output.line(&renderer.render(problem));
    }
    let counts = compiled.counts;
    let foreign = if counts.foreign == 0 { String::new() } else { format!(", {} left alone", counts.foreign) };
    let summary = tally(Tally::of(&compiled.problems));
    output.line(&format!(
        "{summary} in {} documents, {} of them mesh resources{foreign}",
        counts.documents, counts.resources
    ));
}
