//! A pod whose proxy still has the image `auto`.

use taut_source::{Problems, Rule, Severity, Stage};

use super::auto::auto_image;
use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::injection::image_not_filled_in",
    istio: Some("IST0147"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a pod whose proxy still has the image `auto`",
    why: "The injector should have filled it in and did not: there is no such image, and the pod cannot start.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}
  - {name: istio-proxy, image: auto}"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}
  - {name: istio-proxy, image: "example.org/proxyv2:1.30"}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for pod in mesh.pods.all().iter().filter(|pod| pod.single) {
        let Some(image) = auto_image(pod) else { continue };
        let message = "the injector did not fill in this image";
        let help = "let the namespace or the pod ask for a sidecar, and make the pod anew";
        problems.push(on(pod.resource, &RULE, image, message, help));
    }
}
