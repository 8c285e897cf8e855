//! Two Sidecars that select one workload.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::Check;
use crate::check::shared_workloads::{by_workload, report_overlapping};
use crate::mesh::Mesh;

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
    let all = &mesh.inventory.sidecars;
    let selecting = all.iter().map(|it| (it, it.spec.workload_selector.as_ref().map(|selector| &selector.labels)));
    report_overlapping(&by_workload(mesh, selecting), &RULE, problems);
}
