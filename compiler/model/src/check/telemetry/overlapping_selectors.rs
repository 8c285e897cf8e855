//! Two Telemetries that select one workload.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::Check;
use crate::check::shared_workloads::{by_workload, report_overlapping};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::telemetry::overlapping_selectors",
    istio: Some("IST0159"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two Telemetries that select one workload",
    why: "Which of them is applied last depends on their age, and git knows no age.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: a}
spec:
  selector: {matchLabels: {app: orders}}
  tracing:
  - randomSamplingPercentage: 1
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: b}
spec:
  selector: {matchLabels: {app: orders}}
  tracing:
  - randomSamplingPercentage: 1"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: a}
spec:
  selector: {matchLabels: {app: orders}}
  tracing:
  - randomSamplingPercentage: 1"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let all = &mesh.inventory.telemetries;
    let selecting = all.iter().map(|it| (it, it.spec.selector.as_ref().map(|selector| &selector.match_labels)));
    report_overlapping(&by_workload(mesh, selecting), &RULE, problems);
}
