//! A gateway's server that another keeps from its port.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, related};
use crate::listen_ports;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::gateway::server_dropped",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two servers of one gateway workload that cannot share a port",
    why: "The later one is dropped whole, with all of its hosts, and nothing says so at run time.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.com, b.com]
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [b.com, c.com]
    tls: {mode: SIMPLE, credentialName: shop-cert}"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.com, b.com]
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [c.com]
    tls: {mode: SIMPLE, credentialName: shop-cert}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for workload in mesh.workloads.iter().filter(|workload| workload.gateway) {
        for port in listen_ports(mesh, &workload.namespace, &workload.labels, |name| workload.port_named(name)) {
            for (dropped, why) in &port.dropped {
                let message = format!("this server is dropped from port {}: {why}", port.port);
                let help = "give each host to one server of the port, or use another port".into();
                let first = port.servers.first().map(|first| {
                    let span = first.server.hosts.first().map_or(first.server.span, |host| host.span);
                    related(first.gateway.at(span), "the server that has the port")
                });
                let span = dropped.server.hosts.first().map_or(dropped.server.span, |host| host.span);
                problems.push(Problem {
                    label: "this server".into(),
                    related: first.into_iter().collect(),
                    ..about(&dropped.gateway, &RULE, span, message, help)
                });
            }
        }
    }
}
