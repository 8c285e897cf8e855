//! A workload that has the name of another one.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, full_name, name_of, on, place_of, related};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::workload::same_name",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a workload with the name of another one of its namespace, of another kind",
    why: "A proxy says by namespace and name which workload it is of. One of the two alone can be meant.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders-store}}"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: orders-store}
spec:
  template:
    metadata: {labels: {app: orders-store}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Two of one kind are the same object twice, of which another rule tells.
    for (later, kept) in mesh.shadowed.iter().filter(|(later, kept)| later.subject.kind() != kept.subject.kind()) {
        let message = format!(
            "no proxy can be of the {} `{}`: a {} has that name, and counts",
            later.subject.kind(),
            full_name(later),
            kept.subject.kind()
        );
        problems.push(Problem {
            related: vec![related(place_of(kept), "this one counts")],
            ..on(later, &RULE, name_of(later), message, "give one of them another name")
        });
    }
}
