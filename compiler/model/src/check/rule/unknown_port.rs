//! Settings for a port that the service does not have.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::is_wildcard;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::rule::unknown_port",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "settings for a port that the service does not have",
    why: "They are nobody's. The number is the Service's port, not the container's.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    portLevelSettings:
    - port: {number: 80}
      loadBalancer: {simple: RANDOM}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    portLevelSettings:
    - port: {number: 8080}
      loadBalancer: {simple: RANDOM}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic().filter(|traffic| !is_wildcard(&traffic.host)) {
        let Some(id) = mesh.service_named(&traffic.host, traffic.of.namespace()) else { continue };
        let service = mesh.service(id);
        let spec = traffic.of.spec;
        let policies =
            spec.traffic_policy.iter().chain(spec.subsets.iter().filter_map(|it| it.traffic_policy.as_ref()));
        for settings in policies.flat_map(|policy| &policy.port_level_settings) {
            let port = settings.port.number;
            if service.port(port.0).is_some() {
                continue;
            }
            let message = format!("`{}` has no port {}", spec.host.value, port.0);
            let help = format!("its ports are: {}", listed(service.ports.iter().map(|port| port.number.to_string())));
            problems.push(about(&traffic.of, &RULE, port.span, message, help));
        }
    }
}
