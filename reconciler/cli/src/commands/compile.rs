//! `taut compile`: a mesh becomes a snapshot's file.

use std::fs;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use taut_compile::compile;
use taut_snapshot::format::{codec::Encode as _, file};

use crate::args::{Compile, Format};
use crate::commands::check;
use crate::failure::Failure;
use crate::output::{Output, problems};
use crate::paths;
use crate::report::json::report;

pub(crate) fn run(args: &Compile, output: &mut Output) -> Result<ExitCode, Failure> {
    let sources = paths::read(&args.paths, &args.files)?;
    let options = check::with_files(check::options(&args.mesh), &args.files);
    // The process is about to end: giving the memory of a large mesh back piece by piece would serve nobody.
    let mut compiled = ManuallyDrop::new(compile(&sources.set, &options));
    let compiled = &mut *compiled;
    let Some(snapshot) = &compiled.snapshot else {
        match args.format {
            Format::Json => output.line(&report(&compiled.problems, &sources.set, compiled.counts).to_string()),
            Format::Human => check::human(compiled, &sources.set, output),
        }
        return Ok(problems(true));
    };
    if let Some(commit) = &sources.commit {
        compiled.source_map.commit = commit.id.as_str().into();
    }
    let mut map = Vec::new();
    compiled.source_map.encode(&mut map);
    let mut map_path = args.output.clone().into_os_string();
    map_path.push(".map");
    write_whole(Path::new(&map_path), &map)?;
    drop(map);
    write_whole_with(&args.output, |out| file::write_to(snapshot, out))?;
    let bytes = file::length(snapshot);
    let workloads = snapshot.workloads()?.len();
    match args.format {
        Format::Json => output.line(
            &json!({
                "snapshot": snapshot.id.to_string(),
                "bytes": bytes,
                "objects": snapshot.objects.len(),
                "workloads": workloads,
                "resources": compiled.counts.resources,
            })
            .to_string(),
        ),
        Format::Human => output.line(&format!(
            "snapshot {}: {} objects for {workloads} workloads, {bytes} bytes, from {} resources",
            snapshot.id.short(),
            snapshot.objects.len(),
            compiled.counts.resources
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file whole or not at all: under another name first, which then takes its place.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole_with(path, |out| out.write_all(bytes))
}

/// The same, of what is written piece by piece.
fn write_whole_with(path: &Path, write: impl FnOnce(&mut fs::File) -> io::Result<()>) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |error: io::Error| Failure(format!("{} could not be written: {error}", path.display()));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    write(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
