//! Two listeners that want the same.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::listener_conflict",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a listener of a ListenerSet with the port and host of another, or with another protocol for its port",
    why: "Of the two the older counts, the Gateway's own before those of its ListenerSets.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
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
  - {name: shop, port: 80, protocol: HTTP, hostname: "*.example.com"}"#,
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
        for listener in &status.listeners {
            for bad in listener.conditions.iter().filter(|it| it.kind == "Conflicted" && !it.is_good()) {
                let help = match bad.reason {
                    "ProtocolConflict" => "use another port, or the protocol that the port has",
                    _ => "use another host, or another port",
                };
                problems.push(on(resource, &RULE, bad.at, bad.message.clone(), help));
            }
        }
    }
}
