//! A weight on the only destination of a rule.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::lone_weight",
    istio: None,
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a weight on the only destination of a rule",
    why: "Weights are shares of each other: the only destination gets every request, whatever its weight.",
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
  - route:
    - {destination: {host: orders}, weight: 50}"#,
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
  - route:
    - {destination: {host: orders}, weight: 100}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings() {
        for rule in &routing.of.spec.http {
            let [only] = rule.route.as_slice() else { continue };
            let Some(weight) = only.weight.filter(|weight| 0 < weight.value && weight.value < 100) else { continue };
            let message = format!("this destination gets every request, not {} %", weight.value);
            let help = "add the other destinations, or take the weight away".into();
            problems.push(about(&routing.of, &RULE, weight.span, message, help));
        }
    }
}
