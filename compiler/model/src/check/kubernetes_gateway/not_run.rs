//! A Gateway of a class that is not run.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::not_run",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Support,
    finds: "a Gateway of the ambient mesh: a waypoint, or one between clusters",
    why: "Neither is carried to the data plane: every workload has a sidecar of its own.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint}
spec:
  gatewayClassName: istio-waypoint
  listeners:
  - {name: mesh, port: 15008, protocol: HBONE}"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (resource, span) in &mesh.not_run {
        let message = "a gateway of the ambient mesh is not carried to the data plane";
        problems.push(on(
            resource,
            &RULE,
            *span,
            message,
            "attach policies to the workloads themselves, and leave it out",
        ));
    }
}
