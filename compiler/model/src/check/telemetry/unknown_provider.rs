//! Traces and access logs that go to nobody.

use taut_resources::{ENVOY_LOG, ProviderRef, Telemetry};
use taut_source::{Problem, Problems, Rule, Severity, Stage, Text};

use crate::check::{Check, about};
use crate::mesh::{Mesh, Of};
use crate::telemetry::provider_named;

static RULE: Rule = Rule {
    code: "taut::telemetry::unknown_provider",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "traces or access logs for a provider that MeshConfig does not declare, or whose service the mesh does not have",
    why: "Istio tells nobody then, and does not say so.",
    bad: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: traces}
spec:
  tracing:
  - providers: [{name: zipkin}]"#,
    good: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: traces}
spec:
  tracing:
  - disableSpanReporting: true"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for telemetry in &mesh.inventory.telemetries {
        for name in telemetry.spec.access_logging.iter().flat_map(|logging| &logging.providers) {
            let provider = provider_named(mesh, &name.name).filter(|it| it.takes_logs());
            if let Some((service, port)) = provider.and_then(|it| it.log_service()) {
                if !has(mesh, service, port, telemetry.namespace()) {
                    problems.push(nowhere(telemetry, name, service, port));
                }
            } else if provider.is_none() && !name.name.eq_ignore_ascii_case(ENVOY_LOG) {
                let message = format!("the mesh has no provider `{}` that takes access logs", name.name.value);
                let help = "declare it in `extensionProviders` of MeshConfig, as `envoyFileAccessLog` or `envoyOtelAls`, or write `envoy`";
                problems.push(about(telemetry, &RULE, name.span, message, help.into()));
            }
        }
        for name in telemetry.spec.tracing.iter().filter_map(|tracing| tracing.providers.first()) {
            let provider = provider_named(mesh, &name.name).filter(|provider| provider.takes_traces());
            let Some(provider) = provider else {
                let message = format!("the mesh has no provider `{}` that takes traces", name.name.value);
                let help = "declare it in `extensionProviders` of MeshConfig, as `zipkin` or `opentelemetry`".into();
                problems.push(about(telemetry, &RULE, name.span, message, help));
                continue;
            };
            let at = match (&provider.zipkin, &provider.opentelemetry) {
                (Some(it), _) => (&it.service, it.port.value.0),
                (None, Some(it)) => (&it.service, it.port.value.0),
                (None, None) => continue,
            };
            if !has(mesh, &at.0.value, at.1, telemetry.namespace()) {
                problems.push(nowhere(telemetry, name, &at.0.value, at.1));
            }
        }
    }
}

/// The provider is there, and its service is not.
fn nowhere(telemetry: &Of<'_, Telemetry>, name: &ProviderRef, service: &str, port: u16) -> Problem {
    let message = format!("provider `{}` is at `{service}:{port}`, which the mesh does not have", name.name.value);
    let help = "declare the service, or a ServiceEntry for it".into();
    about(telemetry, &RULE, name.span, message, help)
}

fn has(mesh: &Mesh<'_>, service: &str, port: u16, namespace: &str) -> bool {
    let (of, host) = service.split_once('/').map_or((None, service), |(of, host)| (Some(of), host));
    let host: Text = host.to_ascii_lowercase().into();
    let id = match of {
        Some(of) => mesh.services_of(&host).iter().find(|id| mesh.service(**id).namespace == of).copied(),
        None => mesh.service_named(&host, namespace),
    };
    id.is_some_and(|id| mesh.service(id).port(port).is_some())
}
