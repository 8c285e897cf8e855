//! An annotation of Istio's on a kind that it means nothing on.

use taut_source::{Problems, Rule, Severity, Stage};

use super::known::annotations;
use crate::check::{Check, listed, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::misplaced_annotation",
    istio: Some("IST0107"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an annotation of Istio's on a kind that it means nothing on",
    why: "Nobody reads it there. On a Deployment it usually belongs in the pod template.",
    bad: r#"apiVersion: v1
kind: Service
metadata:
  name: orders
  annotations:
    sidecar.istio.io/proxyCPU: "1"
spec:
  ports: [{name: http, port: 80}]"#,
    good: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    sidecar.istio.io/proxyCPU: "1"
spec:
  containers: [{name: app, image: orders}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for annotation in annotations(mesh) {
        let Some(known) = annotation.known else { continue };
        if annotation.is_at_home() || known.kinds.contains(&"Any") {
            continue;
        }
        let kind = annotation.resource.subject.kind();
        let message = format!("`{}` means nothing on a {kind}", known.name);
        let help = match (kind.as_str(), known.kinds) {
            ("Deployment", ["Pod"]) => "move it to `spec.template.metadata.annotations`".into(),
            (_, kinds) => format!("it belongs on: {}", listed(kinds)),
        };
        problems.push(on(annotation.resource, &RULE, annotation.name.span, message, help));
    }
}
