//! An AuthorizationPolicy that names a namespace which does not exist.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::mesh::Mesh;
use std::collections::BTreeMap;

static RULE: Rule = Rule {
    code: "taut::authz::unknown_namespace",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "an AuthorizationPolicy that names a namespace which does not exist",
    why: "An ALLOW rule for it lets nobody in, and a DENY rule for it keeps nobody out.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
  - from:
    - source: {namespaces: [shpo]}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
  - from:
    - source: {namespaces: [shop]}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Policies repeat a few names many times: each is looked for once.
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for policy in &mesh.inventory.authorization_policies {
        let rules = policy.spec.rules.iter().flatten();
        let sources = rules.flat_map(|rule| rule.from.iter().flatten()).filter_map(|from| from.source.as_ref());
        for name in sources.flat_map(|source| source.namespaces.iter().chain(&source.not_namespaces)) {
            let exists = *known.entry(name.as_str()).or_insert_with(|| {
                let pattern = name.to_ascii_lowercase();
                mesh.namespaces.keys().any(|namespace| meets(&pattern, &namespace.to_ascii_lowercase()))
            });
            if exists {
                continue;
            }
            let message = match name.contains('*') {
                true => format!("no namespace is like `{}`", name.value),
                false => format!("there is no namespace `{}`", name.value),
            };
            let help =
                format!("the namespaces are: {}", listed(mesh.namespaces.keys().filter(|name| !name.is_empty())));
            let problem = about(policy, &RULE, name.span, message, help);
            problems.push(Problem { reftype: Some("namespace"), label: "this namespace".into(), ..problem });
        }
    }
}

/// Whether a name meets a pattern with a `*` at one of its ends.
fn meets(pattern: &str, name: &str) -> bool {
    match (pattern, pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        ("*", ..) => true,
        (_, Some(end), _) => name.ends_with(end),
        (_, _, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    }
}
