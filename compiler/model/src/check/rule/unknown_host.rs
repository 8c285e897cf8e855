//! A destination rule for a host that is no service.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;
use crate::{is_wildcard, overlap};

static RULE: Rule = Rule {
    code: "taut::rule::unknown_host",
    istio: Some("IST0174"),
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a DestinationRule for a host that no Service or ServiceEntry has",
    why: "It says nothing about anything.",
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
  host: odrers
  subsets:
  - {name: v1, labels: {version: v1}}"#,
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
  subsets:
  - {name: v1, labels: {version: v1}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic() {
        let namespace = traffic.of.namespace();
        let known = match is_wildcard(&traffic.host) {
            true => mesh
                .services
                .iter()
                .any(|service| overlap(&traffic.host, &service.host) && service.visibility.admits(namespace)),
            false => mesh.service_for(&traffic.host, namespace).is_some(),
        };
        if known {
            continue;
        }
        let written = &traffic.of.spec.host;
        let message = format!("no service has the host `{}`", traffic.host);
        let help = "correct the host, or declare the service".into();
        let problem = about(&traffic.of, &RULE, written.span, message, help);
        problems.push(Problem { label: "this host".into(), ..problem });
    }
}
