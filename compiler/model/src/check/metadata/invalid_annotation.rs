//! An annotation of Istio's with a value that it does not take.

use taut_source::{Problems, Rule, Severity, Stage};

use super::known::{annotations, refusal};
use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::invalid_annotation",
    istio: Some("IST0125"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an annotation of Istio's with a value that it does not take",
    why: "The injector refuses the pod, or goes on as if the annotation were not there.",
    bad: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    traffic.sidecar.istio.io/excludeInboundPorts: "80, http"
spec:
  containers: [{name: app, image: orders}]"#,
    good: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    traffic.sidecar.istio.io/excludeInboundPorts: "80, 8080"
spec:
  containers: [{name: app, image: orders}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for annotation in annotations(mesh).filter(super::known::Annotation::is_at_home) {
        let Some(why) = refusal(annotation.name, annotation.value) else { continue };
        let message = format!("`{}` cannot be `{}`: {why}", annotation.name.value, annotation.value.value);
        problems.push(on(annotation.resource, &RULE, annotation.value.span, message, "correct the value"));
    }
}
