//! Two Telemetries without a selector in one namespace.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::Check;
use crate::check::shared_workloads::{by_namespace, report_several_defaults};
use crate::mesh::Mesh;

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
    let defaults = mesh.inventory.telemetries.iter().filter(|it| {
        it.spec.selector.as_ref().is_none_or(|selector| selector.match_labels.is_empty())
            && it.spec.target_ref.is_none()
            && it.spec.target_refs.is_empty()
    });
    report_several_defaults(&by_namespace(defaults), &RULE, problems);
}
