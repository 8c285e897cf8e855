//! A DestinationRule with TLS that does not check the server's certificate.

use taut_source::{Problems, Rule, Severity, Stage};

use super::verified::is_verified;
use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::rule::unverified_server",
    istio: Some("IST0128"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a DestinationRule with TLS that does not check the server's certificate",
    why: "Without `caCertificates` any certificate is taken: the connection is private, but nobody knows with whom.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: database}
spec:
  host: database.example.org
  trafficPolicy:
    tls: {mode: SIMPLE}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: database}
spec:
  host: database.example.org
  trafficPolicy:
    tls: {mode: SIMPLE, caCertificates: /etc/certs/root.pem}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic() {
        let Some(tls) = traffic.of.spec.traffic_policy.as_ref().and_then(|policy| policy.tls.as_ref()) else {
            continue;
        };
        if is_verified(tls, traffic.of.spec) {
            continue;
        }
        let message = format!("the certificate of `{}` is not checked", traffic.of.spec.host.value);
        let help = "add `caCertificates:`, or use `mode: ISTIO_MUTUAL` within the mesh".into();
        problems.push(about(&traffic.of, &RULE, tls.span, message, help));
    }
}
