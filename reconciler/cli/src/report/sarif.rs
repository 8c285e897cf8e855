//! SARIF 2.1.0: what code hosts and editors read as findings of a static analysis.
//!
//! Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taut_source::{Place, Position, Problem, Rule, Severity, SourceSet};

use super::finding::{Finding, findings, path};

/// One log with one run.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet) -> Value {
    let known: BTreeMap<&str, &Rule> = taut_compile::rules().into_iter().map(|rule| (rule.code, rule)).collect();
    let found = findings(problems, sources);
    let mut rules: BTreeMap<&str, (usize, &Problem)> =
        found.iter().map(|finding| (&*finding.problem.code, (0, finding.problem))).collect();
    for (index, (at, _)) in rules.values_mut().enumerate() {
        *at = index;
    }
    let results = found.iter().map(|finding| result(finding, rules[&*finding.problem.code].0, sources));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "taut",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|(code, (_, problem))| rule(code, problem, known.get(code).copied())).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn rule(code: &str, problem: &Problem, rule: Option<&Rule>) -> Value {
    let mut tags = vec![problem.stage.word()];
    tags.extend(problem.istio);
    let mut value = json!({
        "id": code,
        "shortDescription": {"text": rule.map_or(code, |rule| rule.finds)},
        "defaultConfiguration": {"level": level(rule.map_or(problem.severity, |rule| rule.severity))},
        "properties": {"tags": tags},
    });
    if let Some(rule) = rule {
        value["fullDescription"] = json!({"text": rule.why});
        value["help"] = json!({
            "text": format!("{}\n\nWrong:\n{}\n\nRight:\n{}", rule.why, rule.bad, rule.good),
            "markdown": format!("{}\n\nWrong:\n\n```yaml\n{}\n```\n\nRight:\n\n```yaml\n{}\n```\n", rule.why, rule.bad, rule.good),
        });
    }
    value
}

fn result(finding: &Finding<'_>, rule: usize, sources: &SourceSet) -> Value {
    let problem = finding.problem;
    let mut location = json!({"physicalLocation": physical(finding.file, finding.start, finding.end)});
    let resource = finding.resource();
    if !resource.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": resource, "kind": "resource"}]);
    }
    let related = problem.related.iter().enumerate().map(|(number, related)| {
        let Place { file, span } = related.at;
        let (start, end) = (sources.position(file, span.start), sources.position(file, span.end));
        json!({
            "id": number + 1,
            "message": {"text": related.message},
            "physicalLocation": physical(path(&sources.file(file).name), start, end),
        })
    });
    let mut value = json!({
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": level(problem.severity),
        "message": {"text": finding.said()},
        "locations": [location],
        "partialFingerprints": {"tautFinding/v1": finding.fingerprint},
    });
    if !problem.related.is_empty() {
        value["relatedLocations"] = related.collect();
    }
    value
}

fn physical(file: &str, start: Position, end: Position) -> Value {
    json!({
        "artifactLocation": {"uri": uri(file)},
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    })
}

/// A path as a URI reference (RFC 3986): relative as it is, absolute with its scheme.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_that_means_the_same_file() {
        assert_eq!(uri("a b/ü:%.yaml"), "a%20b/%C3%BC%3A%25.yaml");
        assert_eq!(uri("/mesh/a.yaml"), "file:///mesh/a.yaml");
    }
}
