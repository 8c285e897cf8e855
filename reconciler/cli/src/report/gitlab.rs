//! GitLab's code quality report: a merge request shows what it adds and what it mends, by fingerprint.
//!
//! Source: GitLab's documentation of code quality, "Code Quality report format".

use serde_json::{Value, json};
use taut_source::{Problem, Severity, SourceSet};

use super::finding::{Finding, findings};

/// The whole report.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet) -> Value {
    findings(problems, sources).iter().map(entry).collect()
}

fn entry(finding: &Finding<'_>) -> Value {
    let problem = finding.problem;
    let severity = match problem.severity {
        Severity::Error => "critical",
        Severity::Warning => "minor",
        Severity::Info => "info",
    };
    json!({
        "type": "issue",
        "check_name": problem.code,
        "description": problem.message,
        "content": {"body": problem.help},
        "categories": ["Bug Risk"],
        "severity": severity,
        "fingerprint": finding.fingerprint,
        "location": {"path": finding.file, "lines": {"begin": finding.start.line, "end": finding.end.line}},
    })
}
