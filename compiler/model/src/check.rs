//! What takes more than one resource to see: one rule a file, each with what it finds, why it matters, a bad and a good mesh.
//!
//! Owns: the list of checks. May not: change the mesh. Every check reports all it finds and knows nothing of the others.

mod ambiguous_port;
mod bad_certificate;
mod conflicting_hosts;
mod empty_subset;
mod gateway_without_workload;
mod host_not_in_gateway;
mod server_dropped;
mod unknown_gateway;
mod unknown_host;
mod unknown_port;
mod unknown_rule_host;
mod unknown_secret;
mod unknown_subset;
mod unselected_policy;

use taut_resources::{Destination, HttpRoute};
use taut_source::{Place, Problem, Problems, Related, Rule};

use crate::mesh::{Mesh, Of, Routing};
use crate::{Host, ServiceId, expand};

/// One thing to look for.
#[derive(Debug)]
pub struct Check {
    /// What it can report.
    pub rule: &'static Rule,
    /// Looks for it.
    pub run: fn(&Mesh<'_>, &mut Problems),
}

/// Every check, by code.
pub static CHECKS: &[Check] = &[
    ambiguous_port::CHECK,
    bad_certificate::CHECK,
    conflicting_hosts::CHECK,
    empty_subset::CHECK,
    gateway_without_workload::CHECK,
    host_not_in_gateway::CHECK,
    server_dropped::CHECK,
    unknown_gateway::CHECK,
    unknown_host::CHECK,
    unknown_port::CHECK,
    unknown_rule_host::CHECK,
    unknown_secret::CHECK,
    unknown_subset::CHECK,
    unselected_policy::CHECK,
];

/// Runs every check.
pub fn check(mesh: &Mesh<'_>, problems: &mut Problems) {
    for check in CHECKS {
        (check.run)(mesh, problems);
    }
}

/// A problem of a resource.
fn about<T>(of: &Of<'_, T>, rule: &Rule, span: taut_source::Span, message: String, help: String) -> Problem {
    Problem { subject: Some(of.resource.subject.clone()), help, ..rule.at(of.at(span), message) }
}

fn related(at: Place, message: impl Into<String>) -> Related {
    Related { at, message: message.into() }
}

/// A destination of a rule, with the host in full.
struct Destined<'m, 'r> {
    routing: &'m Routing<'r>,
    destination: &'r Destination,
    host: Host,
    service: Option<ServiceId>,
}

/// Every destination of every virtual service, those of copies among them.
fn destinations<'m, 'r>(mesh: &'m Mesh<'r>) -> impl Iterator<Item = Destined<'m, 'r>> {
    mesh.routings.iter().flat_map(move |routing| {
        let rules: &'r [HttpRoute] = &routing.of.spec.http;
        let named = |rule: &'r HttpRoute| {
            let mirrors = rule.mirror.iter().chain(rule.mirrors.iter().map(|mirror| &mirror.destination));
            rule.route.iter().map(|to| &to.destination).chain(mirrors)
        };
        rules.iter().flat_map(named).map(move |destination| {
            let namespace = routing.of.namespace();
            let host = expand(&destination.host, namespace, &mesh.settings);
            let service = mesh.service_for(&host, namespace);
            Destined { routing, destination, host, service }
        })
    })
}

/// A list for a help line: `a, b and 3 more`.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<T> = names.into_iter().collect();
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ");
    if SHOWN < names.len() {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests;
