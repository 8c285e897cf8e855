//! A Gateway that no Service leads to.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::not_programmed",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Gateway of the Kubernetes Gateway API that no Service leads to, or not on all of its ports",
    why: "Nothing is made for a Gateway: without a Service and workloads of its own nobody can reach it.",
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
metadata: {name: egde}
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
        for bad in status.conditions.iter().filter(|it| it.kind == "Programmed" && it.reason == "AddressNotUsable") {
            let help = "write that Service, with the port, in front of the workloads that run the Gateway";
            problems.push(on(resource, &RULE, bad.at, bad.message.clone(), help));
        }
    }
}
