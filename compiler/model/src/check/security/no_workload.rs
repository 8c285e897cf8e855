//! A PeerAuthentication or RequestAuthentication whose selector picks no workload.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, name_of, on, shown_labels, span_of_labels};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::security::no_workload",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a PeerAuthentication or RequestAuthentication whose selector picks no workload",
    why: "It protects nothing, and a misspelt label looks just like that.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: odrers}}
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  mtls: {mode: STRICT}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let inventory = &mesh.inventory;
    let peers = inventory.peer_authentications.iter().map(|it| (it.resource, it.spec.selector.as_ref(), false));
    let requests = inventory.request_authentications.iter().map(|it| (it.resource, it.spec.selector.as_ref(), true));
    for (resource, selector, wide) in peers.chain(requests) {
        let Some(labels) = selector.map(|it| &it.match_labels).filter(|labels| !labels.is_empty()) else { continue };
        let namespace = resource.subject.namespace.as_deref().unwrap_or_default();
        // Of the root namespace, what checks tokens is for the whole mesh, and what accepts connections is not.
        let everywhere = wide && namespace == mesh.settings.root_namespace;
        let inside = (!everywhere).then_some(namespace);
        if mesh.pods.all().is_empty() || mesh.pods.selected(inside, labels).next().is_some() {
            continue;
        }
        let place = if everywhere { "the mesh".to_owned() } else { format!("`{namespace}`") };
        let message = format!("no workload of {place} has the labels {}", shown_labels(labels));
        let span = span_of_labels(labels).unwrap_or_else(|| name_of(resource));
        problems.push(on(resource, &RULE, span, message, "correct the labels, or delete it"));
    }
}
