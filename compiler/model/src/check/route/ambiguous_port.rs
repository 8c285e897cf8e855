//! A destination without a port, of a service that has several.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, destinations};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::ambiguous_port",
    istio: Some("IST0112"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a route without a port to a service that has several",
    why: "The port that the client asked for is taken then: on a gateway that listens on 80, port 80, which the service may not have.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports:
  - {name: http, port: 8080}
  - {name: http-admin, port: 9090}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports:
  - {name: http, port: 8080}
  - {name: http-admin, port: 9090}
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
        let (None, Some(service)) = (&to.destination.port, to.service) else { continue };
        let service = mesh.service(service);
        if service.ports.len() < 2 {
            continue;
        }
        let ports: Vec<String> = service.ports.iter().map(|port| port.number.to_string()).collect();
        let message = format!("`{}` has {} ports: {}", to.destination.host.value, ports.len(), ports.join(", "));
        let help = format!("add `port: {{number: {}}}`, or another of them", ports[0]);
        let problem = about(&routing.of, &RULE, to.destination.host.span, message, help);
        problems.push(Problem { label: "which port?".into(), ..problem });
    }
}
