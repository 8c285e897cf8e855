//! A Deployment that two Services put behind one port, one with TCP and one with UDP.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::behind::deployments_behind_several;
use crate::check::{Check, RELATED_MAX, full_name, listed, name_of, on, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::{Service, ServicePort, ServiceTransport};

static RULE: Rule = Rule {
    code: "taut::workload::mixed_transports",
    istio: Some("IST0116"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Deployment that two Services put behind one port, one with TCP and one with UDP",
    why: "The proxy cannot tell which protocol the port has.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: orders-2}
spec:
  selector: {app: orders}
  ports: [{name: udp, port: 8080, protocol: UDP}]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: orders-2}
spec:
  selector: {app: orders}
  ports: [{name: udp, port: 8081, protocol: UDP}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// A port of a service, and what it carries.
type Claim<'m, 'r> = (ServiceTransport, &'m Of<'r, Service>, &'m ServicePort);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (pod, services) in deployments_behind_several(mesh) {
        let mut ports: BTreeMap<u16, Vec<Claim<'_, '_>>> = BTreeMap::new();
        for service in services {
            for port in &service.spec.ports {
                let transport = port.protocol.map_or(ServiceTransport::Tcp, |transport| transport.value);
                ports.entry(port.port.0).or_default().push((transport, service, port));
            }
        }
        for (number, claims) in ports {
            if claims.iter().all(|(transport, ..)| *transport == claims[0].0) {
                continue;
            }
            let names = claims.iter().map(|(_, service, _)| full_name(service.resource));
            let message = format!("port {number} has several protocols, in: {}", listed(names));
            let places = claims
                .iter()
                .map(|(transport, service, port)| related(service.at(port.span), format!("{} here", transport.word())));
            problems.push(Problem {
                label: "this Deployment".into(),
                related: places.take(RELATED_MAX).collect(),
                ..on(pod.resource, &RULE, name_of(pod.resource), message, "give each protocol a port of its own")
            });
        }
    }
}
