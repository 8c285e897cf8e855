//! Access logging without a provider, where the mesh has no default one.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::telemetry::no_provider",
    istio: Some("IST0157"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "access logging without a provider, where the mesh has no default one",
    why: "Nothing is logged: the object asks for a log and says nowhere to.",
    bad: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec:
  accessLogging:
  - filter: {expression: response.code >= 400}"#,
    good: r#"apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec:
  accessLogging:
  - providers: [{name: envoy}]
    filter: {expression: response.code >= 400}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let defaults = mesh.wide.config.and_then(|(_, config)| config.default_providers.as_ref());
    if defaults.is_some_and(|defaults| !defaults.access_logging.is_empty()) {
        return;
    }
    for telemetry in &mesh.inventory.telemetries {
        for logging in &telemetry.spec.access_logging {
            if !logging.providers.is_empty() || logging.disabled.is_some_and(|disabled| disabled.value) {
                continue;
            }
            let message = "this log has no provider, and the mesh has no default one".into();
            let help = "add `providers: [{name: envoy}]`".into();
            problems.push(about(telemetry, &RULE, logging.span, message, help));
            // Once for each object: one provider is for all of its logs.
            break;
        }
    }
}
