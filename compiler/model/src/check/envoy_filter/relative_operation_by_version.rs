//! An EnvoyFilter that puts a filter beside one that only some versions of the proxy have.

use taut_source::{Problems, Rule, Severity, Stage};

use super::relative::{operation_span, relative_patches};
use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::envoy_filter::relative_operation_by_version",
    istio: Some("IST0155"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an EnvoyFilter that puts a filter beside one that only some versions of the proxy have",
    why: "For other versions of the proxy there is nothing to put it beside, and the patch is lost.",
    bad: r#"apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: orders}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      proxy: {proxyVersion: '^1\.2'}
    patch:
      operation: ADD
      value: {name: lua}
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
    patch:
      operation: INSERT_BEFORE
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
      proxy: {proxyVersion: '^1\.2'}
    patch:
      operation: ADD
      value: {name: lua}
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
    patch:
      operation: INSERT_BEFORE
      value: {name: lua}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for filter in &mesh.inventory.envoy_filters {
        let Some(patch) = relative_patches(filter.spec).find(|(_, by_version)| *by_version) else { continue };
        let message = "this is relative to filters that other objects put there".to_owned();
        let help = "set `priority`, or use `INSERT_FIRST` or `ADD`".into();
        problems.push(about(filter, &RULE, operation_span(patch.0), message, help));
    }
}
