//! A destination's subset that no destination rule declares.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, destinations, listed, related};
use crate::covers;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::unknown_subset",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a route to a subset that no DestinationRule of the host declares",
    why: "Every request that the rule takes gets a 503.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, subset: v3}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, subset: v1}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (routing, to) in destinations(mesh) {
        let Some(subset) = to.destination.subset.as_ref().filter(|subset| !subset.is_empty()) else { continue };
        let wild = mesh.wildcard_traffic().iter().filter(|(host, _)| covers(host, &to.host)).map(|(_, number)| number);
        let rules: Vec<_> = mesh.traffic_of(&to.host).iter().chain(wild).map(|number| &mesh.traffic[*number]).collect();
        let declared = || rules.iter().flat_map(|rule| &rule.of.spec.subsets);
        if declared().any(|known| known.name.value == subset.value) {
            continue;
        }
        let help = match declared().next() {
            Some(_) => format!("declared subsets: {}", listed(declared().map(|known| known.name.as_str()))),
            None => format!("declare it in a DestinationRule for `{}`", to.destination.host.value),
        };
        let message = format!("`{}` has no subset `{}`", to.destination.host.value, subset.value);
        let places = rules.iter().map(|rule| {
            let span = rule.of.spec.subsets.first().map_or(rule.of.spec.host.span, |first| first.name.span);
            related(rule.of.at(span), format!("the subsets of `{}` are declared here", rule.of.spec.host.value))
        });
        problems.push(Problem {
            reftype: Some(if to.mirror {
                "mirror+subset in destinationrule"
            } else {
                "host+subset in destinationrule"
            }),
            label: "this subset".into(),
            related: places.take(RELATED_MAX).collect(),
            ..about(&routing.of, &RULE, subset.span, message, help)
        });
    }
}
