//! Two virtual services of sidecars that claim one host.

use std::collections::BTreeMap;

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::{Check, about, related};
use crate::mesh::{Mesh, Routing};
use crate::{Host, Visibility, is_wildcard};

static RULE: Rule = Rule {
    code: "taut::route::conflicting_hosts",
    istio: Some("IST0109"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two virtual services for the sidecars of one namespace that claim one host",
    why: "They are not merged: the older one counts whole and the other not at all. Git knows no age, so which one counts would depend on the cluster's history.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [orders]
  http:
  - route:
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
metadata: {name: a}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(super) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<&Host, Vec<&Routing<'_>>> = BTreeMap::new();
    for routing in mesh.routings.iter().filter(|routing| routing.gateways.contains("mesh")) {
        for host in routing.hosts.iter().filter(|host| !is_wildcard(host)) {
            claims.entry(host).or_default().push(routing);
        }
    }
    for (host, routings) in claims {
        for routing in &routings {
            let rivals: Vec<_> =
                routings.iter().filter(|other| !std::ptr::eq(**other, *routing) && meet(other, routing)).collect();
            let Some(at) = routing.hosts.iter().position(|known| known == host) else { continue };
            if rivals.is_empty() {
                continue;
            }
            let names: Vec<String> =
                rivals.iter().map(|other| format!("`{}/{}`", other.of.namespace(), other.of.name())).collect();
            let message = format!("`{host}` is claimed by {} as well", names.join(", "));
            let help = "put the rules into one VirtualService, in the order that is meant".into();
            let span = routing.of.spec.hosts[at].span;
            let places = rivals.iter().map(|other| {
                let span = other
                    .hosts
                    .iter()
                    .position(|known| known == host)
                    .map_or(other.of.resource.span, |at| other.of.spec.hosts[at].span);
                related(other.of.at(span), "claimed here too")
            });
            problems.push(Problem {
                label: "this host".into(),
                related: places.collect(),
                ..about(&routing.of, &RULE, span, message, help)
            });
        }
    }
}

/// Whether some client sees both.
fn meet(a: &Routing<'_>, b: &Routing<'_>) -> bool {
    match (&a.visibility, &b.visibility) {
        (Visibility::Public, Visibility::Only(only)) | (Visibility::Only(only), Visibility::Public) => !only.is_empty(),
        (Visibility::Public, Visibility::Public) => true,
        (Visibility::Only(a), Visibility::Only(b)) => !a.is_disjoint(b),
    }
}
