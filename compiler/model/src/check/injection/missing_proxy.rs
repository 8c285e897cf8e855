//! A pod without a sidecar in a namespace whose pods get one.

use taut_source::{Problems, Rule, Severity, Stage};

use super::injector::is_exempt;
use crate::check::{Check, name_of, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::injection::missing_proxy",
    istio: Some("IST0103"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a pod without a sidecar in a namespace whose pods get one",
    why: "It was made before the namespace asked for sidecars, or the injector did not work: it is outside the mesh until it is made anew.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}
  - {name: istio-proxy, image: "proxyv2:1.30"}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for pod in mesh.pods.all().iter().filter(|pod| pod.single && !is_exempt(mesh, pod.namespace())) {
        let labels = mesh.namespaces.get(pod.namespace()).copied().flatten();
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(|value| value.as_str());
        // A namespace that says two things is reported for that.
        if label("istio-injection") != Some("enabled") || label("istio.io/rev").is_some() {
            continue;
        }
        if pod.host_network || pod.wants_proxy() == Some(false) || pod.proxy().is_some() {
            continue;
        }
        let message = format!("the pods of `{}` get a sidecar, and this one has none", pod.namespace());
        let help = "make it anew with a Deployment, or add the label `sidecar.istio.io/inject: \"false\"`";
        problems.push(on(pod.resource, &RULE, name_of(pod.resource), message, help));
    }
}
