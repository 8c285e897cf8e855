//! A policy that picks a gateway of the Kubernetes Gateway API by labels.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::Pod;
use crate::attachment::GATEWAY_NAME;
use crate::check::{Check, name_of, on, place_of, related, span_of_labels};
use crate::mesh::Mesh;
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::selected_by_labels",
    istio: Some("IST0166"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a policy that picks a gateway of the Kubernetes Gateway API by labels",
    why: "Such gateways are picked by `targetRefs`. Labels do not work for waypoints at all, and for other gateways only while a setting of the control plane allows it.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: v1
kind: Pod
metadata: {name: public-istio, labels: {gateway.networking.k8s.io/gateway-name: public}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: public}}
  jwtRules:
  - issuer: https://issuer.example.org"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: v1
kind: Pod
metadata: {name: public-istio, labels: {gateway.networking.k8s.io/gateway-name: public}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}]
  jwtRules:
  - issuer: https://issuer.example.org"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// The label that the pods of such gateways have.
fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if !mesh.pods.all().iter().any(|pod| pod.labels.get(GATEWAY_NAME).is_some()) {
        return; // as in most meshes: nobody need be looked for
    }
    let inventory = &mesh.inventory;
    let policies = inventory.authorization_policies.iter().map(|it| (it.resource, it.spec.selector.as_ref()));
    let tokens = inventory.request_authentications.iter().map(|it| (it.resource, it.spec.selector.as_ref()));
    let telemetries = inventory.telemetries.iter().map(|it| (it.resource, it.spec.selector.as_ref()));
    let plugins = inventory.wasm_plugins.iter().map(|it| (it.resource, it.spec.selector.as_ref()));
    let known: BTreeSet<(&str, &str)> =
        inventory.kubernetes_gateways.iter().map(|it| (it.namespace().as_str(), it.name().as_str())).collect();
    for (resource, selector) in policies.chain(tokens).chain(telemetries).chain(plugins) {
        let Some(labels) = selector.map(|it| &it.match_labels).filter(|labels| !labels.is_empty()) else { continue };
        let namespace = resource.subject.namespace.as_deref().unwrap_or_default();
        let of_gateway = |pod: &&Pod<'_>| {
            let name = pod.labels.get(GATEWAY_NAME);
            name.is_some_and(|name| known.is_empty() || known.contains(&(namespace, name.as_str())))
        };
        let mut said = BTreeSet::new();
        for pod in mesh.pods.selected(Some(namespace), labels).filter(of_gateway) {
            let gateway = pod.labels.get(GATEWAY_NAME).map_or("", |name| name.as_str());
            if !said.insert(gateway) {
                continue;
            }
            let message = format!("these labels pick a workload of the Kubernetes Gateway `{gateway}`");
            let help = format!(
                "write `targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {gateway}}}]` in place of the selector"
            );
            let span = span_of_labels(labels).unwrap_or_else(|| name_of(resource));
            problems.push(Problem {
                label: "this selector".into(),
                related: vec![related(place_of(pod.resource), "the gateway's workload")],
                ..on(resource, &RULE, span, message, help)
            });
        }
    }
}
