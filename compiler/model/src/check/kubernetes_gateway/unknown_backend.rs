//! A route of the Kubernetes Gateway API to a Service that does not exist, or that it may not use.

use taut_source::{Problems, Rule, Severity, Stage};

use super::routes::{Backend, backends};
use crate::check::{Check, on};
use crate::mesh::Mesh;
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::unknown_backend",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a route of the Kubernetes Gateway API to a Service that does not exist, or that it may not use",
    why: "Its share of the requests gets a 500.",
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
  parentRefs: [{name: public}]
  rules:
  - backendRefs: [{name: odrers, port: 8080}]"#,
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
        mesh.inventory.services.iter().map(|it| (it.namespace().as_str(), it.name().as_str())).collect();
    for backend in backends(mesh).filter(|backend| backend.kind == "Service") {
        let own = backend.resource.subject.namespace.as_deref().unwrap_or_default();
        let namespace = backend.namespace.unwrap_or(own);
        let service = format!("{namespace}/{}", backend.name.value);
        let (message, help) = if !known.contains(&(namespace, backend.name.as_str())) {
            (format!("there is no Service `{service}`"), "correct its name, or name its namespace".to_owned())
        } else if namespace != own && !is_granted(mesh, &backend, own, namespace) {
            let help = format!(
                "write a ReferenceGrant in `{namespace}`, from {} of `{own}` to Service",
                backend.resource.subject.kind
            );
            (format!("no ReferenceGrant lets `{own}` use `{service}`"), help)
        } else {
            continue;
        };
        problems.push(on(backend.resource, &RULE, backend.name.span, message, help));
    }
}

fn is_granted(mesh: &Mesh<'_>, backend: &Backend<'_>, from: &str, to: &str) -> bool {
    mesh.inventory.reference_grants.iter().filter(|grant| *grant.namespace() == to).any(|grant| {
        let comes = grant
            .spec
            .from
            .iter()
            .any(|it| it.namespace.as_str() == from && *it.kind.value == *backend.resource.subject.kind);
        let goes = grant.spec.to.iter().any(|it| {
            it.kind.as_str() == "Service" && it.name.as_ref().is_none_or(|name| name.value == backend.name.value)
        });
        comes && goes
    })
}
