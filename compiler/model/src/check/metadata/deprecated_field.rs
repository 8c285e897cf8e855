//! Something of an API that a later version will not have.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, name_of};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::deprecated_field",
    istio: Some("IST0002"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "something of an API that a later version will not have",
    why: "It works today. After the upgrade it is ignored, or refused.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders.example.org]
  http:
  - fault:
      delay: {percent: 5, fixedDelay: 1s}
    route:
    - destination: {host: orders.example.org}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders.example.org]
  http:
  - fault:
      delay: {percentage: {value: 5}, fixedDelay: 1s}
    route:
    - destination: {host: orders.example.org}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let inventory = &mesh.inventory;
    for routing in &inventory.virtual_services {
        let delays = routing.spec.http.iter().filter_map(|rule| rule.fault.as_ref()?.delay.as_ref()?.percent);
        for percent in delays.filter(|percent| 0 < percent.value) {
            let message = "`fault.delay.percent` is deprecated".into();
            let help = format!("write `percentage: {{value: {}}}`", percent.value);
            problems.push(about(routing, &RULE, percent.span, message, help));
        }
    }
    for sidecar in &inventory.sidecars {
        let policy = sidecar.spec.outbound_traffic_policy.as_ref();
        if let Some(proxy) = policy.and_then(|policy| policy.egress_proxy.as_ref()) {
            let message = "`outboundTrafficPolicy.egressProxy` is deprecated".into();
            let help = "route the hosts that are meant to the proxy with a VirtualService".into();
            problems.push(about(sidecar, &RULE, proxy.span, message, help));
        }
    }
    for definition in &inventory.definitions {
        let spec = definition.spec.spec.as_ref();
        let text = |field: Option<&taut_resources::At<taut_source::Text>>| field.map(|it| it.value.to_string());
        let group = text(spec.and_then(|spec| spec.group.as_ref())).unwrap_or_default();
        let kind = text(spec.and_then(|spec| spec.names.as_ref()?.kind.as_ref())).unwrap_or_default();
        let old = ["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"];
        if group == "rbac.istio.io" && old.contains(&kind.as_str()) {
            let message = format!("`{kind}` of `{group}` is no more");
            let help = "write AuthorizationPolicies, and delete the definition".into();
            problems.push(about(definition, &RULE, name_of(definition.resource), message, help));
        }
    }
    tracers(mesh, problems);
}

/// Telemetries that send traces to a kind of provider that is gone.
fn tracers(mesh: &Mesh<'_>, problems: &mut Problems) {
    let Some((_, config)) = mesh.wide.config else { return };
    let providers = config.extension_providers.iter().filter(|provider| provider.lightstep.is_some());
    let old: Vec<&str> = providers.map(|provider| provider.name.as_str()).collect();
    for telemetry in &mesh.inventory.telemetries {
        for provider in telemetry.spec.tracing.iter().flat_map(|tracing| &tracing.providers) {
            if old.contains(&provider.name.as_str()) {
                let message =
                    format!("the provider `{}` is of Lightstep's own kind, which is deprecated", provider.name.value);
                let help = "use a provider of the kind `opentelemetry`".into();
                problems.push(about(telemetry, &RULE, provider.span, message, help));
            }
        }
    }
}
