//! An `outboundTrafficPolicy` of a Sidecar that does not say its mode.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::sidecar::unsaid_mode",
    istio: None,
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "an `outboundTrafficPolicy` of a Sidecar that does not say its mode",
    why: "An empty one means REGISTRY_ONLY, although a missing one means what the mesh says, mostly ALLOW_ANY.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders}
spec:
  egress:
  - hosts: ["./*"]
  outboundTrafficPolicy: {}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders}
spec:
  egress:
  - hosts: ["./*"]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for sidecar in &mesh.inventory.sidecars {
        let Some(policy) = sidecar.spec.outbound_traffic_policy.as_ref().filter(|it| it.mode.is_none()) else {
            continue;
        };
        let message = "this means REGISTRY_ONLY: traffic for unknown hosts is stopped".into();
        problems.push(about(sidecar, &RULE, policy.span, message, "write `mode: REGISTRY_ONLY`, or ALLOW_ANY".into()));
    }
}
