//! Settings for one port with TLS that does not check the server's certificate.

use taut_source::{Problems, Rule, Severity, Stage};

use super::verified::is_verified;
use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::rule::unverified_server_port",
    istio: Some("IST0129"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "settings for one port with TLS that does not check the server's certificate",
    why: "Without `caCertificates` any certificate is taken: the connection is private, but nobody knows with whom.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: database}
spec:
  host: database.example.org
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: database}
spec:
  host: database.example.org
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE, caCertificates: /etc/certs/root.pem}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic() {
        let settings = traffic.of.spec.traffic_policy.iter().flat_map(|policy| &policy.port_level_settings);
        for (port, tls) in settings.filter_map(|settings| Some((settings.port.number.0, settings.tls.as_ref()?))) {
            if is_verified(tls, traffic.of.spec) {
                continue;
            }
            let message = format!("the certificate of `{}` on port {port} is not checked", traffic.of.spec.host.value);
            let help = "add `caCertificates:`, or use `mode: ISTIO_MUTUAL` within the mesh".into();
            problems.push(about(&traffic.of, &RULE, tls.span, message, help));
        }
    }
}
