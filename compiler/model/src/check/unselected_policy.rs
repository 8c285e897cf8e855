//! An authorization policy that is no workload's.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::{Check, about};
use crate::mesh::Mesh;
use crate::{Workload, selects};

static RULE: Rule = Rule {
    code: "taut::authz::no_workload",
    istio: Some("IST0127"),
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "an AuthorizationPolicy whose selector picks no workload",
    why: "It protects nothing, and a misspelt label looks just like that.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-v1}
spec:
  template:
    metadata: {labels: {app: orders, version: v1}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: odrers}}
  rules: [{}]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-v1}
spec:
  template:
    metadata: {labels: {app: orders, version: v1}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{}]"#,
};

pub(super) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for policy in &mesh.authorization_policies {
        let Some(selector) = policy.spec.selector.as_ref().filter(|selector| !selector.match_labels.is_empty()) else {
            continue;
        };
        let everywhere = *policy.namespace() == mesh.settings.root_namespace;
        let picks = |workload: &Workload<'_>| workload.meshed && selects(&selector.match_labels, &workload.labels);
        let picked = match everywhere {
            true => mesh.workloads.iter().any(picks),
            false => mesh.workloads_in(policy.namespace()).iter().any(|id| picks(mesh.workload(*id))),
        };
        if picked {
            continue;
        }
        let Some((name, value)) = selector.match_labels.0.first() else { continue };
        let place = if everywhere { "the mesh".to_owned() } else { format!("`{}`", policy.namespace()) };
        let message = format!("no workload of {place} has these labels");
        let problem =
            about(policy, &RULE, name.span.to(value.span), message, "correct the labels, or delete the policy".into());
        problems.push(Problem { label: "this selector".into(), ..problem });
    }
}
