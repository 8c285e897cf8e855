//! Two Sidecars without a selector in one namespace.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::NamespaceMode;
use crate::check::{Check, RELATED_MAX, about, full_name, listed, name_of, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::Sidecar;

static RULE: Rule = Rule {
    code: "taut::sidecar::several_defaults",
    istio: Some("IST0111"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two Sidecars without a selector in one namespace",
    why: "Only the oldest counts, and git knows no age.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec:
  egress:
  - hosts: ["./*"]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: b}
spec:
  egress:
  - hosts: ["./*"]"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec:
  egress:
  - hosts: ["./*"]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let ambient = |namespace: &str| mesh.namespace_mode(namespace) == NamespaceMode::Ambient;
    let mut defaults: BTreeMap<&str, Vec<&Of<'_, Sidecar>>> = BTreeMap::new();
    for it in &mesh.inventory.sidecars {
        if it.spec.workload_selector.as_ref().is_none_or(|selector| selector.labels.is_empty())
            && !ambient(it.namespace())
        {
            defaults.entry(it.namespace()).or_default().push(it);
        }
    }
    for (namespace, all) in defaults.iter().filter(|(_, all)| 1 < all.len()) {
        for it in all {
            let others = all.iter().filter(|other| !std::ptr::eq(other.resource, it.resource));
            let names = others.clone().map(|other| full_name(other.resource));
            let message = format!("`{namespace}` has other Sidecar objects for all its workloads: {}", listed(names));
            problems.push(Problem {
                label: "this one".into(),
                related: others
                    .take(RELATED_MAX)
                    .map(|other| related(place_of(other.resource), "for all workloads too"))
                    .collect(),
                ..about(
                    it,
                    &RULE,
                    name_of(it.resource),
                    message,
                    "write one for the namespace, or add selectors".into(),
                )
            });
        }
    }
}
