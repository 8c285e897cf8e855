//! A destination's port that the service does not have.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, destinations, related};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::unknown_port",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a route to a port that the service does not have",
    why: "Every request that the rule takes gets a 503. The number is the Service's port, not the container's.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, port: {number: 9090}}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, port: {number: 8080}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (routing, to) in destinations(mesh) {
        let (Some(port), Some(service)) = (&to.destination.port, to.service) else { continue };
        let service = mesh.service(service);
        if service.port(port.number.0).is_some() {
            continue;
        }
        let ports: Vec<String> = service.ports.iter().map(|port| port.number.to_string()).collect();
        let message = format!("`{}` has no port {}", to.destination.host.value, port.number.0);
        let help = format!("its ports are: {}", ports.join(", "));
        let declared = taut_source::Place { file: service.resource.file, span: service.resource.span };
        problems.push(Problem {
            reftype: Some("host:port"),
            label: "this port".into(),
            related: vec![related(declared, "the service is declared here")],
            ..about(&routing.of, &RULE, port.number.span, message, help)
        });
    }
}
