//! Meshes as values.

use std::fs;
use std::path::Path;

use taut_compile::{Compiled, Options, compile};
use taut_source::{SourceFile, SourceSet};

/// The sources of a folder, by names relative to it.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn sources_of(folder: &Path) -> SourceSet {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            let path = entry.expect("an entry of a folder can be read").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "json") {
                let name = path.strip_prefix(folder).expect("it lies in the folder").to_string_lossy().into_owned();
                files.push(SourceFile::new(&name, &fs::read(&path).expect("a source can be read")));
            }
        }
    }
    SourceSet::new(files)
}

/// Compiles a folder.
#[must_use]
pub fn compile_folder(folder: &Path) -> (SourceSet, Compiled) {
    let sources = sources_of(folder);
    let compiled = compile(&sources, &Options::default());
    (sources, compiled)
}

/// The sources of one text.
#[must_use]
pub fn sources_of_text(yaml: &str) -> SourceSet {
    SourceSet::new(vec![SourceFile::new("mesh.yaml", yaml.as_bytes())])
}

/// Compiles one text.
#[must_use]
pub fn compile_text(yaml: &str) -> (SourceSet, Compiled) {
    let sources = sources_of_text(yaml);
    let compiled = compile(&sources, &Options::default());
    (sources, compiled)
}

/// Problems, a line each and their help below: what goldens hold.
#[must_use]
pub fn problems_text(sources: &SourceSet, compiled: &Compiled) -> String {
    let mut text = String::new();
    for problem in &compiled.problems {
        let place = |at: taut_source::Place| {
            let position = sources.position(at.file, at.span.start);
            format!("{}:{}:{}", sources.file(at.file).name, position.line, position.column)
        };
        let istio = problem.istio.map(|code| format!(" {code}")).unwrap_or_default();
        text += &format!(
            "{} {} {}{istio}: {}\n",
            place(problem.at),
            problem.severity.word(),
            problem.code,
            problem.message
        );
        if !problem.help.is_empty() {
            text += &format!("    help: {}\n", problem.help);
        }
        for related in &problem.related {
            text += &format!("    {}: {}\n", place(related.at), related.message);
        }
    }
    text
}
