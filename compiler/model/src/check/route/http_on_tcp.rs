//! Rules about HTTP for a service of which no port speaks HTTP.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::mesh::Mesh;
use crate::{Protocol, ServicePort, is_wildcard};

static RULE: Rule = Rule {
    code: "taut::route::http_on_tcp",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "rules about HTTP for a service of which no port speaks HTTP",
    why: "They have no effect: nobody looks into the bytes of such a port.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: tcp-orders, port: 8080}]
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
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings().filter(|it| it.is_used_by("mesh") && !it.of.spec.http.is_empty()) {
        for (host, written) in routing.hosts.iter().zip(&routing.of.spec.hosts) {
            if is_wildcard(host) {
                continue;
            }
            let Some(id) = mesh.service_named(host, routing.of.namespace()) else { continue };
            let service = mesh.service(id);
            let opaque = |port: &ServicePort| !port.protocol.is_http() && port.protocol != Protocol::Auto;
            if service.ports.is_empty() || !service.ports.iter().all(opaque) {
                continue;
            }
            let message = format!("no port of `{}` speaks HTTP", written.value);
            let names = service.ports.iter().map(|port| format!("{} {}", port.number, port.name));
            let help = format!("name its ports after HTTP, such as `http-web`: they are {}", listed(names));
            problems.push(about(&routing.of, &RULE, written.span, message, help));
        }
    }
}
