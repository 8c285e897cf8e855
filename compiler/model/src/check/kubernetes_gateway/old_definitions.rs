//! A definition of the Kubernetes Gateway API that is older than what is read.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::old_definitions",
    istio: Some("IST0176"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a definition of the Kubernetes Gateway API that is older than what is read",
    why: "Fields that the control plane relies on are not in it: the API server drops them.",
    bad: r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: grpcroutes.gateway.networking.k8s.io
  annotations: {gateway.networking.k8s.io/bundle-version: v1.0.0}
spec:
  group: gateway.networking.k8s.io
  names: {kind: GRPCRoute}"#,
    good: r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: grpcroutes.gateway.networking.k8s.io
  annotations: {gateway.networking.k8s.io/bundle-version: v1.5.0}
spec:
  group: gateway.networking.k8s.io
  names: {kind: GRPCRoute}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// The oldest bundle that has what is read, by kind: TLSRoute is served as `v1` since 1.5 alone. Of kinds that are not here every served version is read.
fn least(kind: &str) -> Option<(u64, u64)> {
    Some(match kind {
        "GRPCRoute" => (1, 1),
        "BackendTLSPolicy" => (1, 4),
        "TLSRoute" | "ListenerSet" => (1, 5),
        _ => return None,
    })
}

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for definition in &mesh.inventory.definitions {
        let spec = definition.spec.spec.as_ref();
        let text = |field: Option<&taut_resources::At<taut_source::Text>>| field.map(|it| it.value.to_string());
        if text(spec.and_then(|spec| spec.group.as_ref())).as_deref() != Some("gateway.networking.k8s.io") {
            continue;
        }
        let kind = text(spec.and_then(|spec| spec.names.as_ref()?.kind.as_ref())).unwrap_or_default();
        let annotations = &definition.resource.meta.annotations.0;
        let version = annotations.iter().find(|(name, _)| name.as_str() == "gateway.networking.k8s.io/bundle-version");
        let (Some(least), Some((_, version))) = (least(&kind), version) else { continue };
        if parsed(version).is_none_or(|version| least <= version) {
            continue;
        }
        let message = format!(
            "the definition of {kind} is of {}, and {}.{} is the oldest that is read",
            version.value, least.0, least.1
        );
        let help = format!("install the bundle v{}.{}.0 or a later one", least.0, least.1);
        problems.push(about(definition, &RULE, version.span, message, help));
    }
}

/// The first two numbers of a version.
fn parsed(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
