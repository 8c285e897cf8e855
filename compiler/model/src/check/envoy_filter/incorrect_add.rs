//! An EnvoyFilter with the operation ADD where Envoy's configuration cannot have it.

use taut_source::{Problems, Rule, Severity, Stage};

use super::relative::{applied_to, operation, operation_span};
use crate::check::{Check, about};
use crate::mesh::Mesh;
use taut_resources::{ApplyTo, ConfigPatch, PatchOperation};

static RULE: Rule = Rule {
    code: "taut::envoy_filter::incorrect_add",
    istio: Some("IST0153"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "an EnvoyFilter with the operation ADD where Envoy's configuration cannot have it",
    why: "The patch is ignored without a word.",
    bad: r#"apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: orders}
spec:
  priority: 10
  configPatches:
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_INBOUND
    patch:
      operation: ADD
      value: {name: lua}"#,
    good: r#"apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: orders}
spec:
  priority: 10
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
    patch:
      operation: ADD
      value: {name: lua}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for filter in &mesh.inventory.envoy_filters {
        let wrong = |patch: &&ConfigPatch| operation(patch) == Some(PatchOperation::Add) && misfits(patch);
        // Once for each filter: the same is wrong with all of its patches.
        let Some(patch) = filter.spec.config_patches.iter().find(wrong) else { continue };
        let message = "`ADD` does nothing here".to_owned();
        let help = "use `INSERT_BEFORE`, `INSERT_AFTER` or `MERGE`".into();
        problems.push(about(filter, &RULE, operation_span(patch), message, help));
    }
}

/// Routes have no order into which something could be put or taken from.
fn misfits(patch: &ConfigPatch) -> bool {
    matches!(applied_to(patch), ApplyTo::RouteConfiguration | ApplyTo::HttpRoute)
}
