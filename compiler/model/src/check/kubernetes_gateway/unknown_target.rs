//! A policy that is attached to a Gateway which does not exist.

use taut_resources::{Resource, TargetRef};
use taut_source::{Problems, Rule, Severity, Stage};

use crate::attachment::{Attached as _, is_gateway};
use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::unknown_target",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "an AuthorizationPolicy, RequestAuthentication or Telemetry that is attached to a Gateway which does not exist in its namespace",
    why: "It is for nobody: what it forbids is allowed, and what it asks for is not done.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-ingress}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: istio-ingress}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: egde}]"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-ingress}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: istio-ingress}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let inventory = &mesh.inventory;
    // Sources without any Gateway do not say what there is.
    if inventory.kubernetes_gateways.is_empty() {
        return;
    }
    let mut look = |resource: &Resource, to: &TargetRef| {
        let namespace = resource.subject.namespace.clone().unwrap_or_default();
        let is_it = |name: &str, of: &str| *name == *to.name.value && *of == *namespace;
        if is_gateway(to) && !inventory.kubernetes_gateways.iter().any(|it| is_it(it.name(), it.namespace())) {
            let message = format!("there is no Gateway `{namespace}/{}`", to.name.value);
            let help = "correct the name, or put it into the namespace of the Gateway";
            problems.push(on(resource, &RULE, to.name.span, message, help));
        }
    };
    inventory.authorization_policies.iter().for_each(|it| it.spec.targets().for_each(|to| look(it.resource, to)));
    inventory.request_authentications.iter().for_each(|it| it.spec.targets().for_each(|to| look(it.resource, to)));
    inventory.telemetries.iter().for_each(|it| it.spec.targets().for_each(|to| look(it.resource, to)));
}
