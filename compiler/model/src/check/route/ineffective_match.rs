//! A match that no request reaches, because an earlier one takes them all.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::repeated::repeated;
use crate::check::{Check, about, related};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::ineffective_match",
    istio: Some("IST0131"),
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a match that no request reaches, because an earlier one takes them all",
    why: "It does nothing, and whoever reads it thinks that it does.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match:
    - uri: {prefix: /a}
    route:
    - destination: {host: orders}
  - match:
    - uri: {prefix: /ab}
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match:
    - uri: {prefix: /ab}
    route:
    - destination: {host: orders}
  - match:
    - uri: {prefix: /a}
    route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings() {
        for found in repeated(routing.of.spec).ineffective {
            problems.push(Problem {
                label: "this match".into(),
                related: vec![related(routing.of.at(found.earlier), "the earlier one")],
                ..about(
                    &routing.of,
                    &RULE,
                    found.at,
                    found.why.into(),
                    "put it before the one that takes its requests, or delete it".into(),
                )
            });
        }
    }
}
