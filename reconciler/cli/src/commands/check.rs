//! `taut check`: what is wrong with a mesh.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use taut_compile::{Compiled, Options, compile};
use taut_source::{Severity, SourceSet, YamlReader};

use crate::args::{Check, CheckFormat, FailOn, MeshArgs, MeshFiles, Reader};
use crate::failure::Failure;
use crate::output::{Output, problems};
use crate::paths;
use crate::report::human::{Renderer, tally};
use crate::report::{Tally, github, gitlab, json, junit, markdown, sarif};

pub(crate) fn run(args: &Check, output: &mut Output) -> Result<ExitCode, Failure> {
    let sources = paths::read(&args.paths, &args.files)?;
    // Whoever asks what is wrong asks about today: what has expired is wrong. A snapshot must not depend on the day.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).ok();
    let options = Options { now_s, ..with_files(options(&args.mesh), &args.files) };
    // The process is about to end: giving the memory of a large mesh back piece by piece would serve nobody.
    let compiled = ManuallyDrop::new(compile(&sources.set, &options));
    let least = match args.fail_on {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Error => Severity::Error,
    };
    let (found, set) = (&compiled.problems, &sources.set);
    match args.format {
        CheckFormat::Human => human(&compiled, set, output),
        CheckFormat::Json => output.line(&json::report(found, set, compiled.counts).to_string()),
        CheckFormat::Sarif => output.line(&sarif::report(found, set).to_string()),
        CheckFormat::Junit => output.line(&junit::report(found, set, least)),
        CheckFormat::Github => github::report(found, set).iter().for_each(|line| output.line(line)),
        CheckFormat::Gitlab => output.line(&gitlab::report(found, set).to_string()),
        CheckFormat::Markdown => output.line(&markdown::report(found, set, compiled.counts)),
    }
    Ok(problems(found.iter().any(|problem| least <= problem.severity)))
}

/// The options of a compilation, from the command line.
pub(crate) fn options(args: &MeshArgs) -> Options {
    let reader = match args.reader {
        Reader::Fast => YamlReader::Fast,
        Reader::Reference => YamlReader::Reference,
    };
    let allow_unsupported = args.allow_unsupported.iter().cloned().collect();
    Options { default_namespace: args.default_namespace.clone(), reader, allow_unsupported, ..Options::default() }
}

/// The options of a compilation, with the files that hold what is so for the whole mesh.
pub(crate) fn with_files(options: Options, files: &MeshFiles) -> Options {
    let name = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    Options { mesh_config: name(&files.mesh_config), mesh_networks: name(&files.mesh_networks), ..options }
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
