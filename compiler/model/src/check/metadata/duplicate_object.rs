//! Two objects of one kind, namespace and name.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, full_name, name_of, on, place_of, related};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::duplicate_object",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two objects of one kind, namespace and name",
    why: "Only one of them can be in the cluster. Which one would depend on the order in which files are applied, and git has no such order.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http, port: 8080}]"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  ports: [{name: http, port: 80}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (earlier, counts) in &mesh.inventory.replaced {
        let message = format!("the {} `{}` is declared twice", earlier.subject.kind(), full_name(earlier));
        let help = "delete one of them, or give it another name";
        problems.push(Problem {
            label: "declared here".into(),
            related: vec![related(place_of(counts), "and here")],
            ..on(earlier, &RULE, name_of(earlier), message, help)
        });
    }
}
