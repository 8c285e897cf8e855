//! The Kubernetes Gateway API and Ingress, as gateways, virtual services and destination rules (semantics.md §18, §19).
//!
//! Owns: which listeners there are, what routes are attached to them, in what order their rules are tried, and what a
//! controller would report of each object. What is made here stands in the mesh beside what was written: everything
//! after it has one way, and knows the resource that each part came from.
//! May not: report problems: rules look at the conditions (`check/kubernetes_gateway`).
//! Invariant: a reference that is broken is a destination without a host, which nobody can send to.

mod backend;
mod class;
mod filter;
mod grant;
mod http_route;
mod ingress;
mod listener;
mod made;
mod parent;
mod policy;
mod server_tls;
mod status;
mod stream_route;
#[cfg(test)]
mod tests;
mod world;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use taut_resources::gateway_api::ParentRef;
use taut_resources::{At, DestinationRule, Gateway, Resource, VirtualService};
use taut_source::Span;

pub(crate) use ingress::{label as ingress_label, name as ingress_name};
pub(crate) use listener::server_name;
pub use status::{Condition, ListenerStatus, ParentStatus, Status};

use crate::mesh::Of;
use crate::{Host, Settings, Text};
use backend::From_;
use http_route::{Rule, grpc_rules, http_rules, precedence};
use listener::Parent;
use parent::{Attachment, Route, To, Tried, attach};
use status::{Fault, condition};
use stream_route::Streams;
use world::{World, is_converted};

/// Who runs a gateway that was converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunBy {
    /// The workloads that its selector picks.
    Labels,
    /// The workloads behind some services of its namespace; and the pods that were made for it, which have its name.
    Services {
        /// Their hosts.
        services: Vec<Host>,
        /// The namespace and name of the Gateway whose pods they are.
        pods: Option<(Text, Text)>,
    },
}

/// A gateway that was made of a listener, or of an Ingress.
#[derive(Clone, Debug)]
pub struct MadeGateway {
    /// The object that it is of, by its number among the resources.
    pub resource: usize,
    /// `namespace/name`, which no object can have.
    pub name: Text,
    /// What it says.
    pub spec: Gateway,
    /// Who runs it.
    pub run_by: RunBy,
    /// The Secret with the certificate that it shows to services, if they speak TLS as a policy says.
    pub client_certificate: Option<(Text, Text)>,
}

/// A virtual service that was made of routes.
#[derive(Clone, Debug)]
pub struct MadeRouting {
    /// The first of the routes.
    pub resource: usize,
    /// The hosts, in full.
    pub hosts: Vec<Host>,
    /// The gateway that uses it, or `mesh`.
    pub gateway: Text,
    /// The only namespace whose clients it is for.
    pub only_for: Option<Text>,
    /// What it says.
    pub spec: VirtualService,
    /// For each of its rules for requests, the route that it is of, and what all of the path becomes.
    pub rules: Vec<(usize, Option<Text>)>,
}

/// A destination rule that was made of a policy.
#[derive(Clone, Debug)]
pub struct MadeTraffic {
    /// The policy.
    pub resource: usize,
    /// The host, in full.
    pub host: Host,
    /// What it says.
    pub spec: DestinationRule,
}

/// A reference of a route that leads nowhere.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The route.
    pub resource: usize,
    /// One word that says why, as in a condition.
    pub reason: &'static str,
    /// A sentence that says why.
    pub message: String,
    /// The reference.
    pub at: Span,
}

/// What was made of the Gateway API and of Ingresses.
#[derive(Clone, Debug, Default)]
pub struct Converted {
    /// Gateways, by seniority.
    pub gateways: Vec<MadeGateway>,
    /// Virtual services.
    pub routings: Vec<MadeRouting>,
    /// Destination rules.
    pub traffic: Vec<MadeTraffic>,
    /// What a controller would report.
    pub statuses: Vec<Status>,
    /// Gateways of classes that are not run, and where they name them.
    pub not_run: Vec<(usize, Span)>,
    /// Each reference of a route that is broken; a condition names the last alone.
    pub broken: Vec<Broken>,
    /// Parts of objects that do nothing, though no condition says so: where, and why.
    pub unused: Vec<(usize, Span, String)>,
}

/// Converts what some resources hold.
#[must_use]
pub fn convert(resources: &[impl Borrow<Resource>], settings: &Settings) -> Converted {
    let all = resources.iter().map(Borrow::borrow);
    if !all.clone().any(is_converted) {
        return Converted::default(); // as in most meshes
    }
    convert_among(&all.collect::<Vec<_>>(), &BTreeSet::new(), settings)
}

/// Converts what a part of the resources of a mesh holds. `namespaces` are those of all of it.
#[must_use]
pub fn convert_among(resources: &[&Resource], namespaces: &BTreeSet<Text>, settings: &Settings) -> Converted {
    let mut made = Converted::default();
    let Some(world) = World::of(resources, namespaces, settings) else { return made };
    for class in &world.class_objects {
        if world.classes.find(class.of.name()).is_some() {
            let at = class.of.spec.controller_name.span;
            made.statuses.push(Status {
                resource: class.number,
                conditions: vec![condition("Accepted", "Accepted", at, None)],
                listeners: Vec::new(),
                parents: Vec::new(),
            });
        }
    }
    let parents = listener::convert(&world, &mut made);
    requests(&world, &parents, &mut made);
    connections(&world, &parents, &mut made);
    policy::convert(&world, &mut made);
    ingress::convert(&world, &mut made);
    made
}

/// What rules for requests are put together by: the gateway, or the namespace of clients in the mesh; and the host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    gateway: Text,
    namespace: Text,
    only_for: Option<Text>,
    host: Host,
}

struct Requests<'r> {
    number: usize,
    resource: &'r Resource,
    route: Route<'r>,
    rules: http_route::Rules,
}

/// HTTPRoute and GRPCRoute: all rules of one listener and host are one list, whatever routes they are of.
fn requests(world: &World<'_>, parents: &[Parent], made: &mut Converted) {
    let http = world.http_routes.iter().map(|it| Requests {
        number: it.number,
        resource: it.of.resource,
        route: route("HTTPRoute", it.of, &it.of.spec.parent_refs, Some(&it.of.spec.hostnames)),
        rules: http_rules(world, it),
    });
    let grpc = world.grpc_routes.iter().map(|it| Requests {
        number: it.number,
        resource: it.of.resource,
        route: route("GRPCRoute", it.of, &it.of.spec.parent_refs, Some(&it.of.spec.hostnames)),
        rules: grpc_rules(world, it),
    });
    let mut all: Vec<Requests<'_>> = http.chain(grpc).collect();
    all.sort_by_key(|it| age(it.resource));
    let mut places: BTreeMap<Place, Vec<Rule>> = BTreeMap::new();
    for one in all {
        let tried = attach(world, parents, &one.route);
        for attachment in tried.iter().flat_map(|it| &it.attached) {
            for host in &attachment.hosts {
                let place = place_of(attachment, one.route.namespace, host);
                let rules = places.entry(place).or_default();
                rules.extend(one.rules.rules.iter().map(|rule| narrowed(rule, attachment)));
            }
        }
        report(one.number, one.resource, &tried, one.rules.faults, made);
    }
    for (place, mut rules) in places {
        let Some(first) = rules.first().map(|rule| rule.owner) else { continue };
        rules.sort_by_key(precedence);
        // A request may hit the same rule by several of its parents, once is enough.
        let mut spec = made::virtual_service(rules[0].rule.span);
        let owners = rules.iter().map(|rule| (rule.owner, rule.full_path.clone())).collect();
        spec.http = rules.into_iter().map(|rule| rule.rule).collect();
        made.routings.push(MadeRouting {
            resource: first,
            hosts: vec![place.host],
            gateway: place.gateway,
            only_for: place.only_for,
            spec,
            rules: owners,
        });
    }
}

/// Of equal rules those of the older route come first, then by namespace and name.
fn age(resource: &Resource) -> (&str, Option<&Text>, &Text) {
    let created = resource.meta.creation_timestamp.as_ref().map_or("", |time| time.value.as_str());
    (created, resource.subject.namespace.as_ref(), &resource.subject.name)
}

fn route<'r, T>(
    kind: &'static str,
    of: Of<'r, T>,
    parents: &'r [ParentRef],
    hosts: Option<&'r [At<Text>]>,
) -> Route<'r> {
    Route { kind, namespace: of.namespace(), parents, hosts }
}

fn place_of(attachment: &Attachment<'_>, namespace: &Text, host: &Host) -> Place {
    match &attachment.to {
        To::Listener(listener) => {
            Place { gateway: listener.bound_as.clone(), namespace: Text::default(), only_for: None, host: host.clone() }
        }
        // A route of the service's own namespace is for every client; one of another is for that namespace alone.
        To::Service { producer, .. } => Place {
            gateway: "mesh".into(),
            namespace: namespace.clone(),
            only_for: (!producer).then(|| namespace.clone()),
            host: host.clone(),
        },
    }
}

/// A rule as it is for one parent: of a service it may be for one port alone.
fn narrowed(rule: &Rule, attachment: &Attachment<'_>) -> Rule {
    let mut rule = rule.clone();
    if let To::Service { port: Some(port), .. } = &attachment.to {
        for alternative in &mut rule.rule.matches {
            alternative.port = Some(made::at(u32::from(*port), alternative.span));
        }
    }
    rule
}

/// Writes down what became of the parents of a route.
fn report(number: usize, resource: &Resource, tried: &[Tried<'_>], broken: Vec<Fault>, made: &mut Converted) {
    let mut status = Status { resource: number, conditions: Vec::new(), listeners: Vec::new(), parents: Vec::new() };
    let at = resource.meta.name.as_ref().map_or(resource.span, |name| name.span);
    for one in tried {
        let conditions = vec![
            condition("Accepted", "Accepted", one.span, one.fault.as_ref()),
            condition("ResolvedRefs", "ResolvedRefs", at, broken.last()),
        ];
        status.parents.push(ParentStatus { number: one.number, conditions });
    }
    // A route counts once for a listener, however many of its parents lead there.
    let mut counted: Vec<(usize, usize)> = Vec::new();
    for attachment in tried.iter().flat_map(|it| &it.attached) {
        if let To::Listener(listener) = &attachment.to
            && !counted.contains(&listener.status)
        {
            counted.push(listener.status);
            made.statuses[listener.status.0].listeners[listener.status.1].attached += 1;
        }
    }
    made.statuses.push(status);
    made.broken.extend(broken.into_iter().map(|fault| Broken {
        resource: number,
        reason: fault.reason,
        message: fault.message,
        at: fault.at,
    }));
}

/// TLSRoute and TCPRoute: each attachment is a virtual service of its own.
fn connections(world: &World<'_>, parents: &[Parent], made: &mut Converted) {
    for it in &world.tls_routes {
        let spec = it.of.spec;
        let from = From_ { kind: "TLSRoute", namespace: it.of.namespace() };
        let streams = stream_route::streams(world, &spec.rules, from);
        let route = route("TLSRoute", it.of, &spec.parent_refs, Some(&spec.hostnames));
        stream(world, parents, (it.number, it.of.resource, spec.span), &route, streams, made);
    }
    for it in &world.tcp_routes {
        let spec = it.of.spec;
        let from = From_ { kind: "TCPRoute", namespace: it.of.namespace() };
        let streams = stream_route::streams(world, &spec.rules, from);
        let route = route("TCPRoute", it.of, &spec.parent_refs, None);
        stream(world, parents, (it.number, it.of.resource, spec.span), &route, streams, made);
    }
}

fn stream(
    world: &World<'_>,
    parents: &[Parent],
    (number, resource, span): (usize, &Resource, Span),
    route: &Route<'_>,
    streams: Streams,
    made: &mut Converted,
) {
    let tried = attach(world, parents, route);
    for attachment in tried.iter().flat_map(|it| &it.attached).filter(|it| !it.hosts.is_empty()) {
        let place = place_of(attachment, route.namespace, &attachment.hosts[0]);
        let port = match &attachment.to {
            To::Service { port, .. } => *port,
            To::Listener(_) => None,
        };
        let mut spec = made::virtual_service(span);
        match route.hosts {
            None => spec.tcp = stream_route::tcp(&streams, port),
            Some(names) => {
                let named: Vec<Host> = names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
                let names = match &attachment.to {
                    // Of a service, the names are those that the route says.
                    To::Service { .. } if !named.is_empty() => &named,
                    _ => &attachment.hosts,
                };
                spec.tls = stream_route::tls(&streams, names, port);
            }
        }
        made.routings.push(MadeRouting {
            resource: number,
            hosts: attachment.hosts.clone(),
            gateway: place.gateway,
            only_for: place.only_for,
            spec,
            rules: Vec::new(),
        });
    }
    report(number, resource, &tried, streams.faults, made);
}
