//! A route that none of a Gateway's listeners takes.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::not_attached",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a route that no listener of its parent takes, or whose parent has no such listener",
    why: "It is not accepted: requests for it are answered with a 404.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
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
  hostnames: [shop.example.org]
  rules:
  - backendRefs: [{name: orders, port: 8080}]"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
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
  hostnames: [shop.example.com]
  rules:
  - backendRefs: [{name: orders, port: 8080}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (resource, status) in &mesh.statuses {
        let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        for bad in conditions.filter(|it| it.kind == "Accepted" && !it.is_good()) {
            let help = match bad.reason {
                "NoMatchingListenerHostname" => "write a host that the listener has, or give the listener a wider one",
                "NotAllowedByListeners" => "widen `allowedRoutes` of the listener, or name another one",
                "NoMatchingParent" => "correct the name of the parent, its `sectionName` or its `port`",
                _ => continue, // a policy's, which has a rule of its own
            };
            problems.push(on(resource, &RULE, bad.at, bad.message.clone(), help));
        }
    }
}
