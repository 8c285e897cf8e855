//! A listener that cannot listen as it is written.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::invalid_listener",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a listener of the Kubernetes Gateway API that cannot listen as it is written",
    why: "It is left out: nobody answers on its port and host.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: http, port: 80, protocol: http}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80}, {name: https, port: 443}]"#,
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
  ports: [{name: http, port: 80}, {name: https, port: 443}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (resource, status) in &mesh.statuses {
        for listener in &status.listeners {
            let mut said: Vec<&str> = Vec::new();
            for bad in listener.conditions.iter().filter(|it| !it.is_good() && it.kind != "Conflicted") {
                let help = match bad.reason {
                    "UnsupportedProtocol" => {
                        "write one of HTTP, HTTPS, TLS and TCP, the last three with what they need"
                    }
                    "InvalidCertificateRef" => "name a Secret with `tls.crt` and `tls.key`",
                    "RefNotPermitted" => "write a ReferenceGrant in the namespace of what is named",
                    "InvalidRouteKinds" => "list kinds that the protocol of the listener has",
                    "InvalidCACertificateRef" | "InvalidCACertificateKind" => "name a ConfigMap with `ca.crt`",
                    // What follows from another condition, or is said by the rule about conflicts.
                    _ => continue,
                };
                if said.contains(&bad.message.as_str()) {
                    continue;
                }
                said.push(&bad.message);
                let message = format!("the listener `{}` cannot be used: {}", listener.name, bad.message);
                problems.push(on(resource, &RULE, bad.at, message, help));
            }
        }
    }
}
