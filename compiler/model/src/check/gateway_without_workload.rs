//! A gateway whose selector picks no workload.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::{Check, about};
use crate::mesh::Mesh;
use crate::selects;

static RULE: Rule = Rule {
    code: "taut::gateway::no_workload",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a Gateway whose selector picks no workload",
    why: "Nothing listens for its servers.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingresgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]"#,
};

pub(super) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for gateway in mesh.gateways.iter().filter(|gateway| !gateway.spec.selector.is_empty()) {
        if mesh.workloads.iter().any(|workload| selects(&gateway.spec.selector, &workload.labels)) {
            continue;
        }
        let Some((name, value)) = gateway.spec.selector.0.first() else { continue };
        let pairs: Vec<String> = gateway.spec.selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let message = format!("no workload has the labels {}", pairs.join(","));
        let help = "give the pod template of the gateway's Deployment these labels".into();
        let problem = about(gateway, &RULE, name.span.to(value.span), message, help);
        problems.push(Problem { reftype: Some("selector"), label: "this selector".into(), ..problem });
    }
}
