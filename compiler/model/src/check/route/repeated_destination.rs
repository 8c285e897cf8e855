//! One destination twice in one rule.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, related};
use crate::mesh::Mesh;
use taut_resources::HttpDestination;

static RULE: Rule = Rule {
    code: "taut::route::repeated_destination",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "one destination twice in one rule",
    why: "Its shares add up. Probably the other one was meant to be another subset.",
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
    - {destination: {host: orders}, weight: 50}
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
            for (index, to) in rule.route.iter().enumerate() {
                // With headers of its own it is another destination.
                let Some(earlier) = rule.route[..index].iter().find(|other| same(to, other)) else { continue };
                let message = format!("`{}` stands in this rule twice", to.destination.host.value);
                problems.push(Problem {
                    label: "this destination".into(),
                    related: vec![related(routing.of.at(earlier.destination.host.span), "the first time")],
                    ..about(
                        &routing.of,
                        &RULE,
                        to.destination.host.span,
                        message,
                        "name another subset, or join the two".into(),
                    )
                });
            }
        }
    }
}

fn same(a: &HttpDestination, b: &HttpDestination) -> bool {
    let key = |it: &HttpDestination| {
        let to = &it.destination;
        (to.host.value.clone(), to.subset.as_ref().map(|it| it.value.clone()), to.port.as_ref().map(|it| it.number.0))
    };
    key(a) == key(b) && a.headers.is_none() && b.headers.is_none()
}
