//! A Sidecar for workloads that have no sidecar.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::NamespaceMode;
use crate::check::{Check, about, full_name, name_of};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::sidecar::ambient",
    istio: Some("IST0167"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Sidecar for workloads that have no sidecar",
    why: "The nodes' proxies do not read Sidecars: the limits that it sets are not there.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders, namespace: shop}
spec:
  egress:
  - hosts: ["./*"]"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders, namespace: shop}
spec:
  egress:
  - hosts: ["./*"]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for sidecar in &mesh.inventory.sidecars {
        let labels = sidecar.spec.workload_selector.as_ref().map(|selector| &selector.labels);
        let without = match labels.filter(|labels| !labels.is_empty()) {
            Some(labels) => mesh
                .pods
                .selected(Some(sidecar.namespace()), labels)
                .find(|pod| mesh.is_ambient(pod))
                .map(|pod| format!("the {} `{}`", pod.resource.subject.kind(), full_name(pod.resource))),
            None => (mesh.namespace_mode(sidecar.namespace()) == NamespaceMode::Ambient)
                .then(|| format!("the namespace `{}`", sidecar.namespace())),
        };
        let Some(without) = without else { continue };
        let message = format!("{without} runs without sidecars");
        let help = "limit the traffic with AuthorizationPolicies instead".into();
        problems.push(about(sidecar, &RULE, name_of(sidecar.resource), message, help));
    }
}
