//! An AuthorizationPolicy that names a method which HTTP does not have.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::authz::unknown_method",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an AuthorizationPolicy that names a method which HTTP does not have",
    why: "Methods are compared letter by letter, in upper case: such a rule takes no request.",
    bad: r#"apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - to:
    - operation: {methods: [get]}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - to:
    - operation: {methods: [GET]}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for policy in &mesh.authorization_policies {
        let rules = policy.spec.rules.iter().flatten().flat_map(|rule| rule.to.iter().flatten());
        for operation in rules.filter_map(|to| to.operation.as_ref()) {
            for method in operation.methods.iter().chain(&operation.not_methods) {
                let like = |known: &&str| match (method.strip_suffix('*'), method.strip_prefix('*')) {
                    (Some(start), _) => known.starts_with(start),
                    (_, Some(end)) => known.ends_with(end),
                    _ => *known == method.as_str(),
                };
                if METHODS.iter().any(like) {
                    continue;
                }
                let message = format!("HTTP has no method `{}`", method.value);
                let upper = method.to_ascii_uppercase();
                let help = match METHODS.contains(&upper.as_str()) {
                    true => format!("write `{upper}`"),
                    false => format!("the methods are: {}", METHODS.join(", ")),
                };
                problems.push(about(policy, &RULE, method.span, message, help));
            }
        }
    }
}
