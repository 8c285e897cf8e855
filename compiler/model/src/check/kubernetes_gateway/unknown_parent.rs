//! A route of the Kubernetes Gateway API whose Gateway does not exist.

use taut_source::{Problems, Rule, Severity, Stage};

use super::routes::parents;
use crate::check::{Check, on};
use crate::mesh::Mesh;
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::unknown_parent",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a route of the Kubernetes Gateway API whose Gateway does not exist",
    why: "It is attached to nothing.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec:
  parentRefs: [{name: pubic}]
  rules:
  - backendRefs: [{name: orders, port: 8080}]"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec:
  parentRefs: [{name: public}]
  rules:
  - backendRefs: [{name: orders, port: 8080}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let known: BTreeSet<(&str, &str)> =
        mesh.inventory.kubernetes_gateways.iter().map(|it| (it.namespace().as_str(), it.name().as_str())).collect();
    for (resource, parents) in parents(mesh) {
        let own = resource.subject.namespace.as_deref().unwrap_or_default();
        for parent in parents.iter().filter(|parent| parent.kind.as_str() == "Gateway") {
            let namespace = parent.namespace.as_ref().map_or(own, |namespace| namespace.as_str());
            if known.contains(&(namespace, parent.name.as_str())) {
                continue;
            }
            let message = format!("there is no Gateway `{namespace}/{}`", parent.name.value);
            let help = "correct its name, or name its namespace".to_owned();
            problems.push(on(resource, &RULE, parent.name.span, message, help));
        }
    }
}
