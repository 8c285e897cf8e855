//! An object of which the cluster says that it does not work.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;
use taut_resources::{Resource, Spec};

static RULE: Rule = Rule {
    code: "taut::metadata::negative_condition",
    istio: Some("IST0171"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an object of which the cluster says that it does not work",
    why: "The status says that nothing acts on the object as it is.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http, port: 80}]
status:
  conditions:
  - {type: istio.io/WaypointBound, status: "False", reason: WaypointMissing}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http, port: 80}]
status:
  conditions:
  - {type: istio.io/WaypointBound, status: "True", reason: WaypointAccepted}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// Which conditions count, by kind. Conditions of Istio's own carry its name in front.
fn counting(resource: &Resource) -> &'static [&'static str] {
    match (&resource.spec, resource.subject.kind().as_str()) {
        (Spec::Service(_) | Spec::ServiceEntry(_) | Spec::WorkloadEntry(_), _) => &["WaypointBound"],
        (Spec::AuthorizationPolicy(_), _) => &["ZtunnelAccepted", "WaypointAccepted"],
        (Spec::KubernetesGateway(_) | Spec::HttpRoute(_) | Spec::GrpcRoute(_), _) => {
            &["Accepted", "Programmed", "ResolvedRefs"]
        }
        _ => &[],
    }
}

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for resource in &mesh.inventory.all {
        for condition in &resource.reported.conditions {
            let kind = condition.kind.rsplit('/').next().unwrap_or_default();
            if !counting(resource).contains(&kind) {
                continue;
            }
            // A policy that is carried in part is not carried.
            let partly =
                matches!(resource.spec, Spec::AuthorizationPolicy(_)) && condition.reason == "PartiallyInvalid";
            if condition.holds != Some(false) && !partly {
                continue;
            }
            let message = match condition.message.is_empty() {
                true => format!("`{}` is not met: {}", condition.kind, condition.reason),
                false => format!("`{}` is not met: {}: {}", condition.kind, condition.reason, condition.message),
            };
            let help = "correct what it names, and take `status` out of the file: clusters write it";
            problems.push(on(resource, &RULE, condition.span, message, help));
        }
    }
}
