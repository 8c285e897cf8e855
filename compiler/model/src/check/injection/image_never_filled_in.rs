//! A Deployment that leaves its proxy's image to the injector, where no injector looks at its pods.

use taut_source::{Problems, Rule, Severity, Stage};

use super::auto::auto_image;
use crate::check::{Check, on};
use crate::labels::selector_admits;
use crate::mesh::Mesh;
use taut_resources::Webhook;

static RULE: Rule = Rule {
    code: "taut::injection::image_never_filled_in",
    istio: Some("IST0146"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Deployment that leaves its proxy's image to the injector, where no injector looks at its pods",
    why: "There is no image `auto`: the pods will not start.",
    bad: r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks:
- name: sidecar-injector.istio.io
  clientConfig: {url: "https://injector.example.org/inject"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway, namespace: shop}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec:
      containers: [{name: istio-proxy, image: auto}]
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: orders}"#,
    good: r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks:
- name: sidecar-injector.istio.io
  clientConfig: {url: "https://injector.example.org/inject"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway, namespace: shop}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec:
      containers: [{name: istio-proxy, image: auto}]
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let injectors: Vec<&Webhook> = mesh
        .inventory
        .webhooks
        .iter()
        .filter(|it| it.resource.subject.kind() == "MutatingWebhookConfiguration")
        .flat_map(|it| &it.spec.webhooks)
        .filter(|webhook| webhook.name.as_ref().is_some_and(|name| name.ends_with("istio.io")))
        .collect();
    for pod in mesh.pods.all().iter().filter(|pod| !pod.single) {
        let Some(image) = auto_image(pod) else { continue };
        let namespace = mesh.namespaces.get(pod.namespace()).copied().flatten();
        let labels = |name: &str| namespace.and_then(|labels| labels.get(name)).map(|value| value.as_str());
        let own = |name: &str| pod.labels.get(name).map(|value| value.as_str());
        let looked_at = |webhook: &&Webhook| {
            selector_admits(webhook.namespace_selector.as_ref(), &labels)
                && selector_admits(webhook.object_selector.as_ref(), &own)
        };
        // A repository without any webhook does not say who injects.
        if injectors.is_empty() || injectors.iter().any(looked_at) {
            continue;
        }
        let message = "no injector fills in this image";
        let help = "let the namespace or the pod template ask for a sidecar, or write the image out";
        problems.push(on(pod.resource, &RULE, image, message, help));
    }
}
