//! Two Telemetries without a selector in one namespace.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, full_name, listed, name_of, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::Telemetry;

static RULE: Rule = Rule {
    code: "taut::telemetry::several_defaults",
    istio: Some("IST0160"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two Telemetries without a selector in one namespace",
    why: "Only the oldest counts, and git knows no age.",
    bad: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: a}
spec:
  tracing:
  - randomSamplingPercentage: 1
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: b}
spec:
  tracing:
  - randomSamplingPercentage: 1"#,
    good: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: a}
spec:
  tracing:
  - randomSamplingPercentage: 1"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut defaults: BTreeMap<&str, Vec<&Of<'_, Telemetry>>> = BTreeMap::new();
    for it in &mesh.inventory.telemetries {
        if it.spec.selector.as_ref().is_none_or(|selector| selector.match_labels.is_empty())
            && it.spec.target_ref.is_none()
            && it.spec.target_refs.is_empty()
        {
            defaults.entry(it.namespace()).or_default().push(it);
        }
    }
    for (namespace, all) in defaults.iter().filter(|(_, all)| 1 < all.len()) {
        for it in all {
            let others = all.iter().filter(|other| !std::ptr::eq(other.resource, it.resource));
            let names = others.clone().map(|other| full_name(other.resource));
            let message = format!("`{namespace}` has other Telemetry objects for all its workloads: {}", listed(names));
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
