//! A Gateway or ListenerSet that is not accepted as a whole.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::not_accepted",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Gateway or ListenerSet of the Kubernetes Gateway API that is not accepted",
    why: "What it says is not followed.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  allowedListeners: {namespaces: {from: None}}
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80}, {name: https, port: 443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public}
  listeners:
  - {name: shop, port: 80, protocol: HTTP, hostname: "shop.example.org"}"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  allowedListeners: {namespaces: {from: Same}}
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80}, {name: https, port: 443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public}
  listeners:
  - {name: shop, port: 80, protocol: HTTP, hostname: "shop.example.org"}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (resource, status) in &mesh.statuses {
        for bad in status.conditions.iter().filter(|it| !it.is_good()) {
            let help = match bad.reason {
                "NotAllowed" => "add `allowedListeners:` to the Gateway",
                "InvalidParameters" => "name a ConfigMap of the same namespace, or leave `parametersRef` out",
                "UnsupportedAddress" => "write addresses of type Hostname alone",
                "InvalidClientCertificateRef" => "name a Secret with `tls.crt` and `tls.key`",
                "RefNotPermitted" => "write a ReferenceGrant in the namespace of what is named",
                // That no listener is valid is said of each; that nobody leads there has a rule of its own.
                _ => continue,
            };
            if bad.kind != "Programmed" {
                problems.push(on(resource, &RULE, bad.at, bad.message.clone(), help));
            }
        }
    }
}
