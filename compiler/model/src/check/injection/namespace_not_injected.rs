//! A namespace that does not say whether its pods get a sidecar.

use taut_source::{Problems, Rule, Severity, Stage};

use super::injector::{injectors, is_exempt};
use crate::NamespaceMode;
use crate::check::{Check, about, name_of};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::injection::namespace_not_injected",
    istio: Some("IST0102"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a namespace that does not say whether its pods get a sidecar",
    why: "Its workloads are outside the mesh, where the mesh's rules do not hold. In a repository whose namespaces say nothing at all about sidecars this is not looked at.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: orders}
---
apiVersion: v1
kind: Namespace
metadata:
  name: other
  labels: {istio-injection: enabled}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: disabled}
---
apiVersion: v1
kind: Namespace
metadata:
  name: other
  labels: {istio-injection: enabled}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if !mesh.injection_is_said || injectors(mesh).iter().any(|injector| injector.by_default) {
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
        let message = format!("the pods of `{}` get no sidecar", namespace.name());
        let help = "add the label `istio-injection: enabled`, or `disabled` if that is meant".into();
        problems.push(about(namespace, &RULE, name_of(namespace.resource), message, help));
    }
}
