//! An authorization policy that is no workload's.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, name_of, shown_labels, span_of_labels};
use crate::mesh::Mesh;

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

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Sources without any workload do not say what runs.
    if mesh.pods.all().is_empty() {
        return;
    }
    for policy in &mesh.authorization_policies {
        let everywhere = *policy.namespace() == mesh.settings.root_namespace;
        let attached = policy.spec.target_ref.is_some() || !policy.spec.target_refs.is_empty();
        let namespace = (!everywhere).then(|| policy.namespace().as_str());
        let place = || if everywhere { "the mesh".to_owned() } else { format!("`{}`", policy.namespace()) };
        let labels = policy.spec.selector.as_ref().map(|selector| &selector.match_labels);
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else {
            let mut inside = mesh.pods.within(policy.namespace());
            if !everywhere && !attached && !inside.any(|pod| mesh.is_meshed(pod)) {
                let message = format!("no workload of the mesh is in {}", place());
                let help = "put it into the namespace of the workloads, or delete it".into();
                problems.push(about(policy, &RULE, name_of(policy.resource), message, help));
            }
            continue;
        };
        if mesh.pods.selected(namespace, labels).any(|pod| mesh.is_meshed(pod)) {
            continue;
        }
        let message = format!("no workload of {} has the labels {}", place(), shown_labels(labels));
        let span = span_of_labels(labels).unwrap_or(policy.spec.span);
        let problem = about(policy, &RULE, span, message, "correct the labels, or delete the policy".into());
        problems.push(Problem { label: "this selector".into(), ..problem });
    }
}
