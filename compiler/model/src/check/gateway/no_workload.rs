//! A gateway whose selector picks no workload.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, shown_labels, span_of_labels};
use crate::mesh::Mesh;

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

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Sources without any workload do not say what runs.
    if mesh.pods.all().is_empty() {
        return;
    }
    for gateway in mesh.gateways.iter().filter(|gateway| !gateway.spec.selector.is_empty()) {
        let selector = &gateway.spec.selector;
        if mesh.pods.selected(None, selector).next().is_some() {
            continue;
        }
        let message = format!("no workload has the labels {}", shown_labels(selector));
        let help = "give the pod template of the gateway's Deployment these labels".into();
        let span = span_of_labels(selector).unwrap_or(gateway.spec.span);
        let mut problem = about(gateway, &RULE, span, message, help);
        // The gateway that comes with a control plane is installed beside it, and mostly not from this repository.
        if shown_labels(selector) == "istio=ingressgateway" {
            problem.severity = Severity::Warning;
        }
        problems.push(Problem { reftype: Some("selector"), label: "this selector".into(), ..problem });
    }
}
