//! Two Gateways of one workload with the same certificate.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, full_name, listed, related};
use crate::mesh::Mesh;
use std::collections::BTreeMap;
use taut_resources::Server;
use taut_source::Span;

static RULE: Rule = Rule {
    code: "taut::gateway::duplicate_certificate",
    istio: Some("IST0138"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two Gateways of one workload with the same certificate",
    why: "A client that has a connection for one host uses it for every other host of the certificate: the requests come to the wrong server and get a 404.",
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
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.example.org]
    tls: {mode: SIMPLE, credentialName: orders}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [b.example.org]
    tls: {mode: SIMPLE, credentialName: orders}"#,
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
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.example.org]
    tls: {mode: SIMPLE, credentialName: orders}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [b.example.org]
    tls: {mode: SIMPLE, credentialName: other}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// What two servers have in common if they have one certificate.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Certificate<'m> {
    Named(&'m str),
    Files(&'m str, &'m str),
}

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut users: BTreeMap<Certificate<'_>, Vec<(usize, Span)>> = BTreeMap::new();
    for (number, gateway) in mesh.gateways.iter().enumerate() {
        for (certificate, span) in gateway.spec.servers.iter().filter_map(certificate) {
            users.entry(certificate).or_default().push((number, span));
        }
    }
    for users in users.values().filter(|users| 1 < users.len()) {
        for (number, span) in users {
            let gateway = &mesh.gateways[*number];
            // The other one has all labels that this one asks for, so its workloads are this one's as well.
            let narrower = |other: &&(usize, Span)| {
                let selector = &mesh.gateways[other.0].spec.selector;
                other.0 != *number
                    && gateway.spec.selector.iter().all(|(name, value)| selector.get(name) == Some(value))
            };
            let others: Vec<_> =
                users.iter().filter(narrower).map(|other| (&mesh.gateways[other.0], other.1)).collect();
            if others.is_empty() {
                continue;
            }
            let names = others.iter().map(|(other, _)| full_name(other.resource));
            let message = format!("this certificate is used by these as well: {}", listed(names));
            problems.push(Problem {
                label: "this certificate".into(),
                related: others
                    .iter()
                    .take(RELATED_MAX)
                    .map(|(other, span)| related(other.at(*span), "used here too"))
                    .collect(),
                ..about(gateway, &RULE, *span, message, "put the hosts of one certificate into one Gateway".into())
            });
        }
    }
}

fn certificate(server: &Server) -> Option<(Certificate<'_>, Span)> {
    let tls = server.tls.as_ref()?;
    if let Some(name) = tls.credential_name.as_ref().filter(|name| !name.is_empty()) {
        return Some((Certificate::Named(name.as_str()), name.span));
    }
    let (chain, key) = (tls.server_certificate.as_ref()?, tls.private_key.as_ref()?);
    let written = !chain.is_empty() && !key.is_empty();
    written.then(|| (Certificate::Files(chain.as_str(), key.as_str()), chain.span))
}
