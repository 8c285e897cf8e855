//! A Gateway's port that no Service of its workload has.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::mesh::Mesh;
use crate::{EndpointKind, ServicePort, Target};
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::gateway::port_without_service",
    istio: Some("IST0162"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Gateway's port that no Service of its workload has",
    why: "The gateway listens, and nobody outside can reach it there.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: v1
kind: Service
metadata: {name: gateway}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: v1
kind: Service
metadata: {name: gateway}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for gateway in &mesh.gateways {
        let mut ports: BTreeSet<u16> = BTreeSet::new();
        let mut selected: BTreeSet<(&str, Vec<(&str, &str)>)> = BTreeSet::new();
        for pod in mesh.pods.selected(None, &gateway.spec.selector) {
            let labels: Vec<_> = pod.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            // Replicas have the same labels, and so the same services.
            if !selected.insert((pod.namespace(), labels)) {
                continue;
            }
            for id in mesh.services_in(pod.namespace()) {
                let service = mesh.service(*id);
                let EndpointKind::Selector(selector) = service.endpoints else { continue };
                if service.kubernetes && pod.has(selector) {
                    ports.extend(service.ports.iter().flat_map(reachable));
                }
            }
        }
        // A gateway of nobody is reported for that.
        if selected.is_empty() {
            continue;
        }
        let mut said = BTreeSet::new();
        for server in &gateway.spec.servers {
            let port = server.port.number;
            // A socket in the file system has no port.
            if port.0 == 0 || ports.contains(&port.0) || !said.insert(port.0) {
                continue;
            }
            let message = format!("no Service of the gateway's workload has the port {}", port.0);
            let help = match ports.is_empty() {
                true => "declare a Service for the workload".to_owned(),
                false => format!("its Services have: {}", listed(ports.iter().map(u16::to_string))),
            };
            problems.push(about(gateway, &RULE, port.span, message, help));
        }
    }
}

/// The numbers by which a port is known: the Service's, and the workload's.
fn reachable(port: &ServicePort) -> impl Iterator<Item = u16> {
    let target = match port.target {
        Target::Number(number) => Some(number),
        Target::Name(_) => None,
    };
    [port.number].into_iter().chain(target)
}
