//! A webhook of a control plane that leads nowhere.

use taut_source::{Problems, Rule, Severity, Stage};

use super::external::{external_webhooks, host_of};
use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::webhook::unreachable_control_plane",
    istio: Some("IST0163"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a webhook of a control plane that leads nowhere",
    why: "Its URL is none, or it has neither a URL nor a service: the API server cannot call it.",
    bad: r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istiod-default-validator}
webhooks:
- name: validation.istio.io
  clientConfig: {url: "injector.example.org/validate"}
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
        let client = webhook.client_config.as_ref();
        let name = webhook.name.as_ref().map_or("", |name| name.as_str());
        let written = client.and_then(|client| client.url.as_ref());
        let (span, message) = match written {
            Some(url) => match host_of(url) {
                Ok(_) => continue,
                Err(why) => (url.span, format!("`{}` is no URL: {why}", url.value)),
            },
            None if client.is_some_and(|client| client.service.is_some()) => continue,
            None => (webhook.span, format!("the webhook `{name}` has neither a URL nor a service")),
        };
        let help = "write `url: https://HOST:PORT/PATH`".into();
        problems.push(about(of, &RULE, span, message, help));
    }
}
