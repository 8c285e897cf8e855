//! A Telemetry whose selector picks no workload of its namespace.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, shown_labels, span_of_labels};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::telemetry::no_workload",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a Telemetry whose selector picks no workload of its namespace",
    why: "It is nobody's, and a misspelt label looks just like that.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: odrers}}
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
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  tracing:
  - randomSamplingPercentage: 1"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for it in &mesh.inventory.telemetries {
        let labels = it.spec.selector.as_ref().map(|selector| &selector.match_labels);
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { continue };
        if mesh.pods.selected(Some(it.namespace()), labels).next().is_some() {
            continue;
        }
        let message = format!("no workload of `{}` has the labels {}", it.namespace(), shown_labels(labels));
        let span = span_of_labels(labels).unwrap_or(it.spec.span);
        let problem = about(it, &RULE, span, message, "correct the labels, or delete the Telemetry".into());
        problems.push(Problem { reftype: Some("selector"), label: "this selector".into(), ..problem });
    }
}
