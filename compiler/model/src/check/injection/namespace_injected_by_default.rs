//! A namespace that gets sidecars because the control plane gives them to everybody.

use taut_source::{Problems, Rule, Severity, Stage};

use super::injector::{injectors, is_exempt};
use crate::NamespaceMode;
use crate::check::{Check, about, name_of};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::injection::namespace_injected_by_default",
    istio: Some("IST0148"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a namespace that gets sidecars because the control plane gives them to everybody",
    why: "Nothing in the namespace says so: whoever reads it does not see that its pods are in the mesh.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: orders}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}'"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}'"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if !injectors(mesh).iter().any(|injector| injector.by_default) {
        return;
    }
    for namespace in mesh.inventory.namespaces.iter().filter(|it| !is_exempt(mesh, it.name())) {
        let label = |name: &str| namespace.resource.meta.labels.get(name).is_some_and(|value| !value.is_empty());
        if label("istio-injection") || namespace.resource.meta.labels.get("istio.io/rev").is_some() {
            continue;
        }
        if mesh.namespace_mode(namespace.name()) == NamespaceMode::Ambient {
            continue;
        }
        let message = format!("the pods of `{}` get a sidecar by default", namespace.name());
        let help = "add the label `istio-injection: enabled`, or `disabled` if they should not".into();
        problems.push(about(namespace, &RULE, name_of(namespace.resource), message, help));
    }
}
