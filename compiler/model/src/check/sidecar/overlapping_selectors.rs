//! Two Sidecars that select one workload.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, full_name, listed, name_of, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::Sidecar;

static RULE: Rule = Rule {
    code: "taut::sidecar::overlapping_selectors",
    istio: Some("IST0110"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two Sidecars that select one workload",
    why: "Only the oldest counts, and git knows no age.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec:
  workloadSelector: {labels: {app: orders}}
  egress:
  - hosts: ["./*"]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: b}
spec:
  workloadSelector: {labels: {app: orders}}
  egress:
  - hosts: ["./*"]"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec:
  workloadSelector: {labels: {app: orders}}
  egress:
  - hosts: ["./*"]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut selecting: BTreeMap<(&str, &str, &str), Vec<&Of<'_, Sidecar>>> = BTreeMap::new();
    for it in &mesh.inventory.sidecars {
        let labels = it.spec.workload_selector.as_ref().map(|selector| &selector.labels);
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { continue };
        for pod in mesh.pods.selected(Some(it.namespace()), labels) {
            let name = (pod.namespace(), pod.resource.subject.kind.as_str(), pod.name().as_str());
            selecting.entry(name).or_default().push(it);
        }
    }
    for ((namespace, kind, name), all) in selecting.iter().filter(|(_, all)| 1 < all.len()) {
        for it in all {
            let others = all.iter().filter(|other| !std::ptr::eq(other.resource, it.resource));
            let names = others.clone().map(|other| full_name(other.resource));
            let message = format!("the {kind} `{namespace}/{name}` is selected by {} as well", listed(names));
            problems.push(Problem {
                label: "this selector".into(),
                related: others
                    .take(RELATED_MAX)
                    .map(|other| related(place_of(other.resource), "this one selects it too"))
                    .collect(),
                ..about(it, &RULE, name_of(it.resource), message, "let one of them select the workload".into())
            });
        }
    }
}
