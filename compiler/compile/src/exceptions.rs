//! Findings that somebody decided to live with, and until when.
//!
//! Owns: `taut.toml` in the root of what is checked, Istio's annotation for the same, and what becomes of the findings.
//! May not: hide that something could not be read, or is not carried to the data plane. What the sources say is then
//! not what the mesh does, and no decision changes that.

mod read;

use std::collections::HashMap;
use std::sync::Arc;

use taut_resources::Resource;
use taut_source::{Place, Problem, Rule, Severity, SourceSet, Stage, Subject, Text};

use read::read;

/// Istio's annotation: a list of codes, or `*`.
const ANNOTATION: &str = "galley.istio.io/analyze-suppress";

/// The name of the file with the exceptions.
const FILE: &str = "taut.toml";

pub(crate) static UNREADABLE: Rule = Rule {
    code: "taut::exception::unreadable",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "an exception that does not say what it is for, whose it is, why, or until when",
    why: "An exception that nobody answers for stays for ever.",
    bad: "# taut.toml\n[[suppress]]\ncode = \"IST0118\"\nresource = \"Service shop/*\"",
    good: "# taut.toml\n[[suppress]]\ncode = \"IST0118\"\nresource = \"Service shop/*\"\nowner = \"team-orders\"\nuntil = 2030-06-30\nreason = \"the names change with the next release\"",
};

pub(crate) static EXPIRED: Rule = Rule {
    code: "taut::exception::expired",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Policy,
    finds: "an exception whose time is over",
    why: "It does not hold any more: what it was for is reported again.",
    bad: "# taut.toml\n[[suppress]]\ncode = \"IST0118\"\nresource = \"Service shop/*\"\nowner = \"team-orders\"\nuntil = 2020-06-30\nreason = \"the names change with the next release\"",
    good: "# taut.toml\n[[suppress]]\ncode = \"IST0118\"\nresource = \"Service shop/*\"\nowner = \"team-orders\"\nuntil = 2030-06-30\nreason = \"the names change with the next release\"",
};

pub(crate) static UNUSED: Rule = Rule {
    code: "taut::exception::unused",
    istio: None,
    severity: Severity::Info,
    stage: Stage::Policy,
    finds: "an exception for something that is not found",
    why: "What it was for has been put right, and the next fault of the kind would go unseen.",
    bad: "# taut.toml\n[[suppress]]\ncode = \"IST0118\"\nresource = \"Service elsewhere/*\"\nowner = \"team-orders\"\nuntil = 2030-06-30\nreason = \"the names change with the next release\"",
    good: "# taut.toml, without the exception",
};

pub(crate) static RULES: &[&Rule] = &[&EXPIRED, &UNREADABLE, &UNUSED];

/// One entry of the file.
struct Exception {
    at: Place,
    code: String,
    /// `Kind namespace/name`, with `*` for any text.
    resource: String,
    owner: String,
    reason: String,
    /// The last day on which it holds, in days since 1970, and as written.
    until: (i64, String),
}

/// Whether a file is the one with the exceptions, rather than a part of the mesh.
pub(crate) fn is_exceptions(name: &str) -> bool {
    name.rsplit('/').next() == Some(FILE)
}

/// Takes away the findings that somebody decided to live with, and adds what is wrong with those decisions.
pub(crate) fn apply(
    mut problems: Vec<Problem>,
    sources: &SourceSet,
    resources: &[Arc<Resource>],
    now_s: Option<i64>,
) -> Vec<Problem> {
    const DAY_S: i64 = 24 * 60 * 60;
    let mut ours = Vec::new();
    let exceptions = read(sources, &mut ours);
    let annotated = annotated(resources);
    if exceptions.is_empty() && annotated.is_empty() {
        problems.extend(ours);
        return problems;
    }
    let today = now_s.map(|now| now.div_euclid(DAY_S));
    let mut used = vec![false; exceptions.len()];
    problems.retain(|problem| {
        if !matches!(problem.stage, Stage::Reference | Stage::Analysis | Stage::Policy) {
            return true;
        }
        let Some(subject) = &problem.subject else { return true };
        let mut holds = annotated.get(&(problem.at.file.0, subject)).is_some_and(|codes| is_named(codes, problem));
        let name = written(subject);
        for (exception, used) in exceptions.iter().zip(&mut used) {
            if is_code(&exception.code, problem) && is_like(&exception.resource, &name) {
                *used = true;
                holds |= today.is_none_or(|today| today <= exception.until.0);
            }
        }
        !holds
    });
    for (exception, used) in exceptions.iter().zip(used) {
        if today.is_some_and(|today| exception.until.0 < today) {
            let message = format!("this exception held until {}", exception.until.1);
            let help =
                format!("`{}` puts right what it was for, or decides anew: {}", exception.owner, exception.reason);
            ours.push(Problem { help, label: "this exception".into(), ..EXPIRED.at(exception.at, message) });
        } else if !used {
            let message = format!("nothing with the code `{}` is found on `{}`", exception.code, exception.resource);
            let help = "delete the exception".into();
            ours.push(Problem { help, label: "this exception".into(), ..UNUSED.at(exception.at, message) });
        }
    }
    problems.extend(ours);
    problems
}

/// The resources with Istio's annotation.
/// Whether a resource says itself what of it is not reported.
pub(crate) fn is_annotated(resource: &Resource) -> bool {
    resource.meta.annotations.get(ANNOTATION).is_some()
}

fn annotated(resources: &[Arc<Resource>]) -> HashMap<(u32, &Subject), &Text> {
    let annotated = resources.iter().filter_map(|resource| {
        let codes = resource.meta.annotations.get(ANNOTATION)?;
        Some(((resource.file.0, &resource.subject), codes))
    });
    annotated.collect()
}

fn is_named(codes: &str, problem: &Problem) -> bool {
    codes.split(',').map(str::trim).any(|code| code == "*" || is_code(code, problem))
}

fn is_code(code: &str, problem: &Problem) -> bool {
    code == problem.code || Some(code) == problem.istio
}

/// `Kind namespace/name`.
fn written(subject: &Subject) -> String {
    match &subject.namespace {
        Some(namespace) => format!("{} {namespace}/{}", subject.kind(), subject.name),
        None => format!("{} {}", subject.kind(), subject.name),
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The earliest place leaves the most for the pieces after it.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests;
