//! A port of a Service whose name does not say what it speaks.

use taut_source::{Problems, Rule, Severity, Stage};

use super::skipped::{is_generated, protocol_of, shown_name, span_of_name};
use crate::Protocol;
use crate::check::{Check, about};
use crate::mesh::Mesh;
use taut_resources::ServiceType;

static RULE: Rule = Rule {
    code: "taut::service::unknown_protocol",
    istio: Some("IST0118"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a port of a Service whose name does not say what it speaks",
    why: "The proxies find it out from the first bytes then: a protocol in which the server speaks first hangs, and nothing of HTTP is known before a request is there.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: web, port: 8080}]"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http-web, port: 8080}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for service in mesh.inventory.services.iter().filter(|service| !is_generated(mesh, service.resource)) {
        if service.spec.kind.is_some_and(|kind| kind.value == ServiceType::ExternalName) {
            continue;
        }
        for port in service.spec.ports.iter().filter(|port| protocol_of(port) == Protocol::Auto) {
            let message = format!("{} does not say what port {} speaks", shown_name(port), port.port.0);
            let help =
                "begin the name with the protocol and `-`, such as `http-` or `tcp-`, or set `appProtocol`".into();
            problems.push(about(service, &RULE, span_of_name(port), message, help));
        }
    }
}
