//! A virtual service of a gateway that sends requests to a host whose own rules are for sidecars.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, full_name, place_of, related};
use crate::expand;
use crate::mesh::Mesh;
use crate::mesh::Routing;
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::route::ineffective_for_ingress",
    istio: Some("IST0140"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a virtual service of a gateway that sends requests to a host whose own rules are for sidecars",
    why: "The rules of a host count where a request begins. A gateway that names the host alone passes by the split that another virtual service makes for it.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]
---
apiVersion: v1
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
    - destination: {host: orders, subset: v1}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: public}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]
---
apiVersion: v1
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
    - destination: {host: orders, subset: v1}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: public}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - route:
    - destination: {host: orders, subset: v1}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings().filter(|routing| !routing.is_used_by("mesh")) {
        let mut said = BTreeSet::new();
        for rule in &routing.of.spec.http {
            for to in &rule.route {
                let to = &to.destination;
                if to.subset.as_ref().is_some_and(|subset| !subset.is_empty()) {
                    continue;
                }
                let host = expand(&to.host, routing.of.namespace(), &mesh.settings);
                let rules = mesh.routings_of(&host).iter().map(|number| &mesh.routings[*number]);
                let mut splitting = rules.filter(|other| !std::ptr::eq(other.of.spec, routing.of.spec));
                let Some(other) = splitting.find(|other| has_subsets(other, &host, &mesh.settings)) else { continue };
                if !said.insert(host.clone()) {
                    continue;
                }
                let message = format!(
                    "the rules of `{}` for `{}` do not count here",
                    full_name(other.of.resource),
                    to.host.value
                );
                let help = "name the subset here as well, or write the rules here too".into();
                problems.push(Problem {
                    label: "this host".into(),
                    related: vec![related(place_of(other.of.resource), "its rules are for sidecars")],
                    ..about(&routing.of, &RULE, to.host.span, message, help)
                });
            }
        }
    }
}

/// Whether a virtual service sends requests for a host to subsets of that host.
fn has_subsets(routing: &Routing<'_>, host: &str, settings: &crate::Settings) -> bool {
    let destinations = routing.of.spec.http.iter().flat_map(|rule| &rule.route).map(|to| &to.destination);
    let mut named = destinations.filter(|to| to.subset.as_ref().is_some_and(|subset| !subset.is_empty()));
    routing.is_used_by("mesh") && named.any(|to| expand(&to.host, routing.of.namespace(), settings) == host)
}
