//! A port of an ExternalName service that would take the traffic of every host.

use taut_source::{Problems, Rule, Severity, Stage};

use super::skipped::{is_generated, protocol_of, shown_name, span_of_name};
use crate::Protocol;
use crate::check::{Check, about};
use crate::mesh::Mesh;
use taut_resources::ServiceType;

static RULE: Rule = Rule {
    code: "taut::service::external_name_port",
    istio: Some("IST0150"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a port of an ExternalName service that would take the traffic of every host",
    why: "An ExternalName service has no address, so a port that is not named after a protocol with hosts listens for all addresses at once.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  type: ExternalName
  externalName: example.org
  ports: [{name: tcp, port: 8080}]"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  type: ExternalName
  externalName: example.org
  ports: [{name: http, port: 8080}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for service in mesh.inventory.services.iter().filter(|service| !is_generated(mesh, service.resource)) {
        if service.spec.kind.is_none_or(|kind| kind.value != ServiceType::ExternalName) {
            continue;
        }
        for port in &service.spec.ports {
            let plain = port.name.as_ref().is_some_and(|name| name.as_str() == "tcp");
            if protocol_of(port) != Protocol::Auto && !plain {
                continue;
            }
            let message = format!("{} is not enough for an ExternalName service", shown_name(port));
            let help = "begin the name with `http`, `https`, `tls` or another protocol that names its host".into();
            problems.push(about(service, &RULE, span_of_name(port), message, help));
        }
    }
}
