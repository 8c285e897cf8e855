//! A listener or an Ingress that another one of the same workloads leaves no place.

use std::collections::BTreeSet;

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, on, related};
use crate::mesh::Mesh;
use crate::{Who, leading_to, ports_at};

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::listener_dropped",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a listener or an Ingress whose port and host another gateway of the same workloads has already",
    why: "It is dropped as a whole, with all of its hosts.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: one}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: bytes, port: 80, protocol: TCP}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: edge, labels: {app: edge}}"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: one}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: shop.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: edge, labels: {app: edge}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if mesh.entrances.iter().all(|entrance| entrance.run_by.is_none()) {
        return;
    }
    // Several workloads run one gateway: what is dropped is said once.
    let mut said = BTreeSet::new();
    for workload in mesh.workloads.iter().filter(|workload| workload.gateway) {
        let (namespace, labels) = (&workload.namespace, &workload.labels);
        let who = Who { namespace, labels, ports: &workload.ports, addresses: &[] };
        let leading = leading_to(mesh, who);
        for port in ports_at(mesh, namespace, labels, &leading) {
            for (dropped, why) in port.dropped.iter().filter(|(dropped, _)| dropped.made) {
                if !said.insert((dropped.name.clone(), dropped.number)) {
                    continue;
                }
                let first =
                    port.servers.first().map(|first| related(first.gateway.at(first.server.span), "what has the port"));
                let message = format!("this is dropped from port {}: {why}", port.port);
                let help = "give each host to one listener of the port, or use another port";
                problems.push(Problem {
                    related: first.into_iter().collect(),
                    ..on(dropped.gateway.resource, &RULE, dropped.server.span, message, help)
                });
            }
        }
    }
}
