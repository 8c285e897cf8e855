//! A webhook that finds its control plane by address.

use taut_source::{Problems, Rule, Severity, Stage};

use super::external::{external_webhooks, host_of};
use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::webhook::control_plane_by_address",
    istio: Some("IST0164"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a webhook that finds its control plane by address",
    why: "Certificates are for names: an address can be reached, and not trusted.",
    bad: r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istiod-default-validator}
webhooks:
- name: validation.istio.io
  clientConfig: {url: "https://10.0.0.1/validate"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}"#,
    good: r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istiod-default-validator}
webhooks:
- name: validation.istio.io
  clientConfig: {url: "https://injector.example.org/validate"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (of, webhook) in external_webhooks(mesh) {
        let Some(url) = webhook.client_config.as_ref().and_then(|client| client.url.as_ref()) else { continue };
        let Ok(host) = host_of(url) else { continue };
        if host.parse::<std::net::IpAddr>().is_ok() {
            let message = format!("`{host}` is an address, not a name");
            problems.push(about(of, &RULE, url.span, message, "write the name of the control plane".into()));
        }
    }
}
