//! Two Sidecars without a selector in one namespace.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::NamespaceMode;
use crate::check::Check;
use crate::check::shared_workloads::{by_namespace, report_several_defaults};
use crate::mesh::Mesh;

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
    let defaults = mesh.inventory.sidecars.iter().filter(|it| {
        it.spec.workload_selector.as_ref().is_none_or(|selector| selector.labels.is_empty())
            && mesh.namespace_mode(it.namespace()) != NamespaceMode::Ambient
    });
    report_several_defaults(&by_namespace(defaults), &RULE, problems);
}
