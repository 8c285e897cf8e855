//! A route of the Kubernetes Gateway API to something that does not exist, or that it may not use.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::unknown_backend",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a route of the Kubernetes Gateway API to something that does not exist, or that it may not use",
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
    for (resource, broken) in &mesh.broken {
        let help = match broken.reason {
            "BackendNotFound" => "correct its name, or name its namespace",
            "RefNotPermitted" => {
                "write a ReferenceGrant in the namespace of what is named, for the kind and namespace of the route"
            }
            "InvalidKind" => "send to a Service, or to a host with `group: networking.istio.io, kind: Hostname`",
            "InvalidFilter" => "use header changes for one destination, and the filters of the API for a rule",
            _ => "name a Service, with its port",
        };
        problems.push(on(resource, &RULE, broken.at, broken.message.clone(), help));
    }
}
