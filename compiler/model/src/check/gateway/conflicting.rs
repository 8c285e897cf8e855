//! Two Gateways that listen for one host on one port of the same workload.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, full_name, listed, place_of, related};
use crate::mesh::Mesh;
use std::collections::{BTreeMap, BTreeSet};
use taut_resources::Server;
use taut_source::Span;

static RULE: Rule = Rule {
    code: "taut::gateway::conflicting",
    istio: Some("IST0145"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two Gateways that listen for one host on one port of the same workload",
    why: "Which of them counts depends on their age, and git knows no age.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// The most gateways that one is compared with: a conflict with any of them is one.
const RIVALS_MAX: usize = 64;

/// A server of a gateway, by the number of the gateway.
type Claim<'m> = (usize, &'m Server);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<(u16, &str, &str), Vec<Claim<'_>>> = BTreeMap::new();
    for (number, gateway) in mesh.gateways.iter().enumerate() {
        for server in &gateway.spec.servers {
            let bind = server.bind.as_ref().map_or("", |bind| bind.value.as_str());
            for host in &server.hosts {
                claims.entry((server.port.number.0, bind, host.as_str())).or_default().push((number, server));
            }
        }
    }
    // Of each server, the gateways that claim one of its hosts too.
    let mut rivals: BTreeMap<(usize, Span), (&Server, BTreeSet<usize>)> = BTreeMap::new();
    let mut shared: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for claims in claims.values().filter(|claims| 1 < claims.len()) {
        for (one, server) in claims {
            for (other, _) in claims.iter().filter(|(other, _)| other != one).take(RIVALS_MAX) {
                let pair = (*one.min(other), *one.max(other));
                let both = shared.entry(pair).or_insert_with(|| share_a_workload(mesh, pair));
                if *both {
                    rivals.entry((*one, server.span)).or_insert((server, BTreeSet::new())).1.insert(*other);
                }
            }
        }
    }
    for ((number, _), (server, others)) in rivals {
        let gateway = &mesh.gateways[number];
        let others = others.iter().map(|other| &mesh.gateways[*other]);
        let names = others.clone().map(|other| full_name(other.resource));
        let message = format!("port {} has a host that these have too: {}", server.port.number.0, listed(names));
        let span = server.hosts.first().map_or(server.span, |host| host.span);
        problems.push(Problem {
            label: "this server".into(),
            related: others
                .take(RELATED_MAX)
                .map(|other| related(place_of(other.resource), "it has the host too"))
                .collect(),
            ..about(gateway, &RULE, span, message, "give each host of a port to one Gateway".into())
        });
    }
}

/// Whether some workload is selected by both gateways.
fn share_a_workload(mesh: &Mesh<'_>, (one, other): (usize, usize)) -> bool {
    let other = &mesh.gateways[other].spec.selector;
    mesh.pods.selected(None, &mesh.gateways[one].spec.selector).any(|pod| pod.has(other))
}
