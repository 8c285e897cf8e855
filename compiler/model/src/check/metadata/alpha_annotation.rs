//! An annotation of Istio's whose meaning may still change.

use taut_source::{Problems, Rule, Severity, Stage};

use super::known::annotations;
use crate::check::{Check, on};
use crate::mesh::Mesh;
use taut_resources::{Resource, Spec};

static RULE: Rule = Rule {
    code: "taut::metadata::alpha_annotation",
    istio: Some("IST0136"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "an annotation of Istio's whose meaning may still change",
    why: "It may change or go away with any version, without notice.",
    bad: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    sidecar.istio.io/proxyCPU: "1"
spec:
  containers: [{name: app, image: orders}]"#,
    good: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    proxy.istio.io/config: "concurrency: 2"
spec:
  containers: [{name: app, image: orders}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// What the network plugin of Istio writes onto every pod.
const WRITTEN_BY_THE_PLUGIN: &[&str] = &[
    "sidecar.istio.io/interceptionMode",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
];

/// What a control plane writes onto objects itself.
const WRITTEN_BY_A_CONTROLLER: &[&str] =
    &["istio.io/rev", "sidecar.istio.io/status", "ambient.istio.io/redirection", "gateway.istio.io/controller-version"];

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for annotation in annotations(mesh) {
        // Suppressing findings is no feature of a workload.
        let Some(known) = annotation.known.filter(|known| known.alpha && !known.kinds.contains(&"Any")) else {
            continue;
        };
        if WRITTEN_BY_A_CONTROLLER.contains(&known.name) {
            continue;
        }
        if WRITTEN_BY_THE_PLUGIN.contains(&known.name) && has_the_plugin(annotation.resource) {
            continue;
        }
        let message = format!("`{}` is alpha", known.name);
        let help = "do not rely on it where an upgrade may not hurt";
        problems.push(on(annotation.resource, &RULE, annotation.name.span, message, help));
    }
}

/// Whether the network plugin set the pod up: it leaves a container behind that checks its work.
fn has_the_plugin(resource: &Resource) -> bool {
    let Spec::Workload(workload) = &resource.spec else { return false };
    let containers = workload.spec.as_ref().map_or(&[][..], |spec| &spec.init_containers);
    containers.iter().any(|it| it.name.as_ref().is_some_and(|name| name.as_str() == "istio-validation"))
}
