//! What takes more than one resource to see: one rule a file, each with what it finds, why it matters, a bad and a good mesh.
//!
//! Owns: the list of checks. May not: change the mesh. Every check reports all it finds and knows nothing of the others.

mod authz;
mod by_selector;
mod envoy_filter;
mod gateway;
mod injection;
mod kubernetes_gateway;
mod mesh_wide;
mod metadata;
mod order;
mod route;
mod rule;
mod security;
mod service;
mod shared_workloads;
mod sidecar;
mod telemetry;
mod webhook;
mod workload;

pub(crate) use self::workload::Behind;

use taut_resources::{Destination, Labels, Resource, VirtualService};
use taut_source::{Place, Problem, Problems, Related, Rule, Span};

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

/// Every check, area by area.
static AREAS: &[&[Check]] = &[
    authz::CHECKS,
    envoy_filter::CHECKS,
    gateway::CHECKS,
    injection::CHECKS,
    kubernetes_gateway::CHECKS,
    mesh_wide::CHECKS,
    metadata::CHECKS,
    order::CHECKS,
    route::CHECKS,
    rule::CHECKS,
    security::CHECKS,
    service::CHECKS,
    sidecar::CHECKS,
    telemetry::CHECKS,
    webhook::CHECKS,
    workload::CHECKS,
];

/// Every check.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    AREAS.iter().copied().flatten()
}

impl Check {
    /// What it finds in a mesh.
    #[must_use]
    pub fn found(&self, mesh: &Mesh<'_>) -> Vec<Problem> {
        let mut problems = Problems::default();
        (self.run)(mesh, &mut problems);
        let mut found = problems.into_all();
        found.retain(|problem| !is_about_kubernetes_own(problem));
        found
    }
}

/// Namespaces that Kubernetes itself runs in. What is wrong there is nobody's who writes a mesh.
const KUBERNETES_OWN: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

fn is_kubernetes_own(namespace: &str) -> bool {
    KUBERNETES_OWN.contains(&namespace)
}

fn is_about_kubernetes_own(problem: &Problem) -> bool {
    let Some(subject) = &problem.subject else { return false };
    let namespace = if subject.kind() == "Namespace" { Some(&subject.name) } else { subject.namespace.as_ref() };
    namespace.is_some_and(|namespace| is_kubernetes_own(namespace))
}

/// A problem of a resource, wherever the resource is from.
fn on(resource: &Resource, rule: &Rule, span: Span, message: impl Into<String>, help: impl Into<String>) -> Problem {
    let at = Place { file: resource.file, span };
    Problem { subject: Some(resource.subject.clone()), help: help.into(), ..rule.at(at, message.into()) }
}

/// The place of a whole resource: where its name is written.
fn place_of(resource: &Resource) -> Place {
    Place { file: resource.file, span: name_of(resource) }
}

/// Where the name of a resource is written.
fn name_of(resource: &Resource) -> Span {
    resource.meta.name.as_ref().map_or(resource.span, |name| name.span)
}

/// `namespace/name`, or the name alone where there is no namespace.
fn full_name(resource: &Resource) -> String {
    match &resource.subject.namespace {
        Some(namespace) => format!("{namespace}/{}", resource.subject.name),
        None => resource.subject.name.to_string(),
    }
}

/// Where the labels of a selector are written.
fn span_of_labels(labels: &Labels) -> Option<Span> {
    let first = labels.0.first()?;
    let last = labels.0.last()?;
    Some(first.0.span.to(last.1.span))
}

/// `a=b,c=d`.
fn shown_labels(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// A problem of a resource.
fn about<T>(of: &Of<'_, T>, rule: &Rule, span: taut_source::Span, message: String, help: String) -> Problem {
    Problem { subject: Some(of.resource.subject.clone()), help, ..rule.at(of.at(span), message) }
}

fn related(at: Place, message: impl Into<String>) -> Related {
    Related { at, message: message.into() }
}

/// A destination of a rule, with the host in full.
#[derive(Debug)]
pub(crate) struct Destined<'r> {
    /// The number of its virtual service.
    routing: usize,
    destination: &'r Destination,
    host: Host,
    /// The service that the clients mean; none if some of them see none.
    service: Option<ServiceId>,
    /// Whether requests are copied there, rather than sent.
    mirror: bool,
}

/// Every destination of every virtual service, those of TCP and of copies included. Several checks look at them: they are
/// found once.
fn destinations<'m, 'r>(mesh: &'m Mesh<'r>) -> impl Iterator<Item = (&'m Routing<'r>, &'m Destined<'r>)> {
    let found = mesh.destinations.get_or_init(|| {
        let of = |(number, routing)| destinations_of(mesh, number, routing);
        mesh.routings.iter().enumerate().filter(|(_, routing)| !routing.made).flat_map(of).collect()
    });
    found.iter().map(|to| (&mesh.routings[to.routing], to))
}

fn destinations_of<'m, 'r>(
    mesh: &'m Mesh<'r>,
    number: usize,
    routing: &'m Routing<'r>,
) -> impl Iterator<Item = Destined<'r>> {
    let spec: &'r VirtualService = routing.of.spec;
    let http = spec.http.iter().flat_map(|rule| &rule.route).map(|to| (&to.destination, false));
    let tls = spec.tls.iter().flat_map(|rule| &rule.route).map(|to| (&to.destination, false));
    let tcp = spec.tcp.iter().flat_map(|rule| &rule.route).map(|to| (&to.destination, false));
    let mirrors = spec.http.iter().flat_map(|rule| {
        let listed = rule.mirrors.iter().map(|mirror| &mirror.destination);
        rule.mirror.as_deref().into_iter().chain(listed).map(|to| (to, true))
    });
    let mut before: Option<(&'r str, Host, Option<ServiceId>)> = None;
    http.chain(tls).chain(tcp).chain(mirrors).map(move |(destination, mirror)| {
        // Most destinations of a rule are subsets of one host.
        let (_, host, service) =
            before.take().filter(|(written, ..)| *written == destination.host.as_str()).unwrap_or_else(|| {
                let host = expand(&destination.host, routing.of.namespace(), &mesh.settings);
                let service = service_of(mesh, routing, &host);
                (destination.host.as_str(), host, service)
            });
        before = Some((destination.host.as_str(), host.clone(), service));
        Destined { routing: number, destination, host, service, mirror }
    })
}

/// The service that the clients of a virtual service mean by a host: those of the namespaces that it is exported to.
fn service_of(mesh: &Mesh<'_>, routing: &Routing<'_>, host: &str) -> Option<ServiceId> {
    let mut clients = routing.visibility.named().peekable();
    if clients.peek().is_none() {
        return mesh.service_for(host, routing.of.namespace());
    }
    let mut first = None;
    for client in clients {
        first = first.or(Some(mesh.service_for(host, client)?));
    }
    first
}

/// The most other places that a problem names: whoever reads it needs one, and a thousand objects that claim one thing
/// would name a million.
const RELATED_MAX: usize = 6;

/// A list for a message or a help line: `a, b and more`. It looks at no more names than it shows.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(RELATED_MAX).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if names.next().is_some() { " and more" } else { "" };
    shown.join(", ") + more
}
