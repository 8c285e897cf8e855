//! Problems as the machine interface has them. The keys are stable.

use serde_json::{Value, json};
use taut_compile::Counts;
use taut_source::{Place, Problem, SourceSet};

use super::Tally;

/// The whole answer of `taut check --format json`.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet, counts: Counts) -> Value {
    let tally = Tally::of(problems);
    json!({
        "version": 1,
        "findings": problems.iter().map(|problem| finding(problem, sources)).collect::<Vec<_>>(),
        "summary": {
            "errors": tally.errors,
            "warnings": tally.warnings,
            "infos": tally.infos,
            "documents": counts.documents,
            "resources": counts.resources,
        },
    })
}

fn finding(problem: &Problem, sources: &SourceSet) -> Value {
    let resource = problem.subject.as_ref().map(|subject| {
        json!({
            "apiVersion": subject.api_version().as_str(),
            "kind": subject.kind().as_str(),
            "namespace": subject.namespace.as_deref(),
            "name": subject.name.as_str(),
        })
    });
    let start = sources.position(problem.at.file, problem.at.span.start);
    let end = sources.position(problem.at.file, problem.at.span.end);
    let related = problem.related.iter().map(|related| {
        let mut place = at(related.at, sources);
        place["message"] = related.message.as_str().into();
        place
    });
    json!({
        "code": problem.code,
        "istio": problem.istio,
        "reftype": problem.reftype,
        "severity": problem.severity.word(),
        "stage": problem.stage.word(),
        "resource": resource.unwrap_or_else(|| json!({"apiVersion": "", "kind": "", "namespace": null, "name": ""})),
        "file": &*sources.file(problem.at.file).name,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "message": problem.message,
        "help": problem.help,
        "related": related.collect::<Vec<_>>(),
    })
}

fn at(place: Place, sources: &SourceSet) -> Value {
    let start = sources.position(place.file, place.span.start);
    json!({"file": &*sources.file(place.file).name, "line": start.line, "column": start.column})
}
