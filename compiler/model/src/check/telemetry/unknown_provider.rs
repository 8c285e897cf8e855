//! Traces and access logs that go to nobody.

use taut_resources::{ENVOY_LOG, ExtensionProvider};
use taut_source::{Place, Problem, Problems, Rule, Severity, Stage, Subject, Text, TypeMeta};

use crate::check::{Check, about};
use crate::mesh::Mesh;
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
            if let Some((provider, (service, port))) = provider.and_then(|it| Some((it, it.log_service()?))) {
                if let Some(message) = nowhere(mesh, provider, (service, port), telemetry.namespace()) {
                    problems.push(about(telemetry, &RULE, name.span, message, DECLARE.into()));
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
            let message = traced_to(provider).and_then(|to| nowhere(mesh, provider, to, telemetry.namespace()));
            if let Some(message) = message {
                problems.push(about(telemetry, &RULE, name.span, message, DECLARE.into()));
            }
        }
    }
    default_provider(mesh, problems);
}

const DECLARE: &str = "declare the service, or a ServiceEntry for it";

/// The provider that traces go to where no Telemetry says another: it is every workload's, so that its service must be
/// one that every namespace sees.
fn default_provider(mesh: &Mesh<'_>, problems: &mut Problems) {
    let Some((file, config)) = mesh.wide.config else { return };
    let named = config.default_providers.iter().flat_map(|defaults| &defaults.tracing);
    let known = |name: &str| provider_named(mesh, name).filter(|provider| provider.takes_traces());
    let Some((name, provider)) = named.filter_map(|name| Some((name, known(name)?))).next() else { return };
    let to = traced_to(provider);
    let Some(message) = to.and_then(|to| nowhere(mesh, provider, to, &mesh.settings.root_namespace)) else { return };
    let of = TypeMeta { api_version: Text::default(), kind: "MeshConfig".into() };
    let subject = Subject::new(of, Some(mesh.settings.root_namespace.clone()), "meshconfig".into());
    let at = Place { file, span: name.span };
    problems.push(Problem { subject: Some(subject), help: DECLARE.into(), ..RULE.at(at, message) });
}

/// Where a provider takes traces.
fn traced_to(provider: &ExtensionProvider) -> Option<(&str, u16)> {
    match (&provider.zipkin, &provider.opentelemetry) {
        (Some(it), _) => Some((&it.service.value, it.port.value.0)),
        (None, Some(it)) => Some((&it.service.value, it.port.value.0)),
        (None, None) => None,
    }
}

/// Says that the service of a provider is none of the mesh, as a namespace sees it.
fn nowhere(mesh: &Mesh<'_>, provider: &ExtensionProvider, to: (&str, u16), namespace: &str) -> Option<String> {
    let (name, (service, port)) = (&provider.name.value, to);
    (!has(mesh, service, port, namespace))
        .then(|| format!("provider `{name}` is at `{service}:{port}`, which the mesh does not have"))
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
