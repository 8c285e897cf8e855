//! An annotation under a name of Istio's that Istio does not have.

use taut_source::{Problems, Rule, Severity, Stage};

use super::known::{annotations, names_for};
use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::unknown_annotation",
    istio: Some("IST0108"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an annotation under a name of Istio's that Istio does not have",
    why: "A misspelt annotation changes nothing, and nothing says so at run time.",
    bad: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    sidecar.istio.io/proxyCpu: "1"
spec:
  containers: [{name: app, image: orders}]"#,
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
    for annotation in annotations(mesh).filter(|annotation| annotation.known.is_none()) {
        let name = annotation.name;
        let alike =
            |known: &&str| known.eq_ignore_ascii_case(name) || known.rsplit('/').next() == name.rsplit('/').next();
        let help = match names_for(annotation.resource.subject.kind()).find(alike) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "take it away, or correct its name".into(),
        };
        let message = format!("Istio has no annotation `{}`", name.value);
        problems.push(on(annotation.resource, &RULE, name.span, message, help));
    }
}
