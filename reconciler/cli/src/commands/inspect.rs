//! `taut inspect`: what is in a snapshot.

use std::fs;
use std::process::ExitCode;

use serde_json::json;
use taut_snapshot::format::codec::decode_all;
use taut_snapshot::format::file;
use taut_snapshot::{SourceMap, describe};

use crate::args::{Format, Inspect};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Inspect, output: &mut Output) -> Result<ExitCode, Failure> {
    let shown = args.file.display();
    let bytes = fs::read(&args.file).map_err(|error| Failure(format!("{shown} could not be read: {error}")))?;
    let remedy = "compile the mesh again, or copy the file again from where it was whole";
    let damaged = |bad: taut_snapshot::BadSnapshot| Failure(format!("{shown} cannot be believed: {bad}; {remedy}"));
    let snapshot = file::read(&bytes).map_err(damaged)?;
    snapshot.verify().map_err(damaged)?;
    let mut map_path = args.file.clone().into_os_string();
    map_path.push(".map");
    let map: Option<SourceMap> = fs::read(&map_path).ok().and_then(|bytes| decode_all(&bytes).ok());
    let workloads = snapshot.workloads().map_err(damaged)?;
    if let Some(wanted) = &args.workload
        && !workloads.iter().any(|(name, _)| name == wanted)
    {
        let names: Vec<&str> = workloads.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Failure(format!("{shown} has no workload `{wanted}`; it has: {}", names.join(", "))));
    }
    match args.format {
        Format::Human => {
            output.line(&format!("snapshot {} with {} objects", snapshot.id, snapshot.objects.len()));
            output.print(&describe(&snapshot, args.workload.as_deref(), map.as_ref()).map_err(damaged)?);
        }
        Format::Json => {
            let objects = snapshot.objects.iter().map(|(digest, bytes)| {
                let kind = snapshot.objects.read_any(digest).map(|object| object.kind()).unwrap_or("unknown");
                let origins = map.as_ref().map(|map| map.origins(digest)).unwrap_or_default();
                let from = origins.iter().map(|origin| {
                    let map = map.as_ref();
                    json!({
                        "kind": origin.kind.as_str(),
                        "namespace": origin.namespace.as_str(),
                        "name": origin.name.as_str(),
                        "part": origin.part,
                        "file": map.and_then(|map| map.files.get(origin.file as usize)).map(|name| name.as_str()),
                        "line": origin.line,
                    })
                });
                json!({"digest": digest.to_string(), "kind": kind, "bytes": bytes.len(), "from": from.collect::<Vec<_>>()})
            });
            let views = workloads
                .iter()
                .map(|(name, link)| json!({"workload": name.as_str(), "view": link.digest.to_string()}));
            output.line(
                &json!({
                    "snapshot": snapshot.id.to_string(),
                    "bytes": bytes.len(),
                    "workloads": views.collect::<Vec<_>>(),
                    "objects": objects.collect::<Vec<_>>(),
                })
                .to_string(),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
