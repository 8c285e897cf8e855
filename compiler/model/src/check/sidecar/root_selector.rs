//! A Sidecar of the root namespace with a selector.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::sidecar::root_selector",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Sidecar of the root namespace with a selector",
    why: "The root namespace's Sidecar without a selector is everybody's. One with a selector is for workloads of the root namespace alone.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders, namespace: istio-system}
spec:
  workloadSelector: {labels: {app: orders}}
  egress:
  - hosts: ["./*"]"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders, namespace: istio-system}
spec:
  egress:
  - hosts: ["./*"]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for sidecar in mesh.inventory.sidecars.iter().filter(|it| *it.namespace() == mesh.settings.root_namespace) {
        let Some(selector) = sidecar.spec.workload_selector.as_ref().filter(|it| !it.labels.is_empty()) else {
            continue;
        };
        let message = format!("this is for workloads of `{}` alone, not for the mesh", sidecar.namespace());
        let help = "put it into the workloads' namespace, or take the selector away".into();
        problems.push(about(sidecar, &RULE, selector.span, message, help));
    }
}
