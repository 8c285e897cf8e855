//! An annotation of Istio's that will go away.

use taut_source::{Problems, Rule, Severity, Stage};

use super::known::{annotations, refusal};
use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::deprecated_annotation",
    istio: Some("IST0135"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "an annotation of Istio's that will go away",
    why: "It works today, and a later version will ignore it.",
    bad: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  annotations:
    sidecar.istio.io/inject: "true"
spec:
  containers: [{name: app, image: orders}]"#,
    good: r#"apiVersion: v1
kind: Pod
metadata:
  name: orders
  labels:
    sidecar.istio.io/inject: "true"
spec:
  containers: [{name: app, image: orders}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for annotation in annotations(mesh) {
        let Some(known) = annotation.known.filter(|known| known.deprecated) else { continue };
        // One with a bad value is reported for that.
        if refusal(annotation.name, annotation.value).is_some() {
            continue;
        }
        let help = match known.name {
            "sidecar.istio.io/inject" => "write it as a label of the same name",
            "traffic.sidecar.istio.io/kubevirtInterfaces" => "write `istio.io/reroute-virtual-interfaces`",
            name if name.starts_with("sidecar.istio.io/stats") => "set `proxyStatsMatcher` in `proxy.istio.io/config`",
            _ => "take it away",
        };
        let message = format!("`{}` is deprecated", known.name);
        problems.push(on(annotation.resource, &RULE, annotation.name.span, message, help));
    }
}
