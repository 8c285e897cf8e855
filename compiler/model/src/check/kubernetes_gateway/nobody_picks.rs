//! An InferencePool whose endpoint picker is not asked.

use taut_resources::Spec;
use taut_resources::gateway_api::PickerFailure;
use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::nobody_picks",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an InferencePool with `failureMode: FailOpen`, whose endpoint picker is not asked",
    why: "Taut's proxy does not ask services which endpoint to use: the endpoint with the least requests under way gets the next, whatever its load or cache.",
    bad: r#"apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama}
spec:
  selector: {matchLabels: {app: llama}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: picker, port: {number: 9002}, failureMode: FailOpen}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: llama}
spec:
  selector: {app: llama}
  ports: [{name: http, port: 8000}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for service in mesh.services.iter().filter(|service| service.is_pool()) {
        let Spec::InferencePool(pool) = &service.resource.spec else { continue };
        let picker = &pool.endpoint_picker_ref;
        if picker.failure_mode.value == PickerFailure::Open {
            let message = format!("`{}` is not asked which endpoint gets a request", picker.name.value);
            let help = "make a Service of the pool, or leave it: the endpoint with the least requests gets the next";
            problems.push(on(service.resource, &RULE, picker.name.span, message, help));
        }
    }
}
