//! Which listeners and services a route is attached to, and why not to others (semantics.md §18.3).

use taut_resources::At;
use taut_resources::Spec;
use taut_resources::gateway_api::ParentRef;
use taut_source::Span;

use super::class::Class;
use super::grant::GROUP;
use super::listener::Parent;
use super::status::Fault;
use super::world::World;
use crate::{Host, Text, covers, is_wildcard};

/// A route, as far as parents look at it.
pub(crate) struct Route<'r> {
    pub(crate) kind: &'static str,
    pub(crate) namespace: &'r Text,
    pub(crate) parents: &'r [ParentRef],
    /// None for kinds without.
    pub(crate) hosts: Option<&'r [At<Text>]>,
}

/// What a route is attached to.
#[derive(Clone)]
pub(crate) enum To<'p> {
    /// A listener.
    Listener(&'p Parent),
    /// A service of the mesh: the port that is meant, and whether the route is of the service's own namespace.
    Service { port: Option<u16>, producer: bool },
}

/// One attachment.
#[derive(Clone)]
pub(crate) struct Attachment<'p> {
    pub(crate) to: To<'p>,
    /// The hosts that the route has there.
    pub(crate) hosts: Vec<Host>,
}

/// What became of one of a route's parents.
pub(crate) struct Tried<'p> {
    pub(crate) number: usize,
    pub(crate) span: Span,
    pub(crate) attached: Vec<Attachment<'p>>,
    /// Why it is attached to nothing of it.
    pub(crate) fault: Option<Fault>,
}

/// Tries each parent of a route. Those of other controllers are left out.
pub(crate) fn attach<'p>(world: &World<'_>, parents: &'p [Parent], route: &Route<'_>) -> Vec<Tried<'p>> {
    let mut tried = Vec::new();
    for (number, reference) in route.parents.iter().enumerate() {
        let namespace = reference.namespace.as_ref().map_or(route.namespace, |it| &it.value);
        let found = match (reference.group.as_str(), reference.kind.as_str()) {
            (GROUP, kind @ ("Gateway" | "ListenerSet")) => {
                let listeners: Vec<&Parent> = parents
                    .iter()
                    .filter(|it| it.kind == kind && it.namespace == *namespace && it.name == reference.name.value)
                    .collect();
                if listeners.is_empty() {
                    continue; // there is none, or it is another controller's
                }
                to_listeners(parents, &listeners, reference, route)
            }
            ("" | "core", "Service") => to_service(world, reference, namespace, route),
            ("networking.istio.io", "ServiceEntry") => to_entry(world, reference, namespace, route),
            _ => continue,
        };
        let Some(found) = found else { continue };
        let (attached, fault) = match found {
            Ok(attached) => (attached, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        tried.push(Tried { number, span: reference.span, attached, fault });
    }
    tried
}

type Found<'p> = Option<Result<Vec<Attachment<'p>>, Fault>>;

fn to_listeners<'p>(
    parents: &[Parent],
    listeners: &[&'p Parent],
    reference: &ParentRef,
    route: &Route<'_>,
) -> Found<'p> {
    let mut attached = Vec::new();
    let mut worst: Option<Fault> = None;
    for listener in listeners {
        match to_listener(parents, listener, reference, route) {
            Ok(hosts) => attached.push(Attachment { to: To::Listener(listener), hosts }),
            Err(fault) => {
                // The nearer a listener was to be the one, the more its reason says.
                if worst.as_ref().is_none_or(|known| rank(&fault) < rank(known)) {
                    worst = Some(fault);
                }
            }
        }
    }
    if attached.is_empty() { worst.map(Err) } else { Some(Ok(attached)) }
}

fn rank(fault: &Fault) -> usize {
    const ORDER: [&str; 3] = ["NotAllowedByListeners", "NoMatchingListenerHostname", "NoMatchingParent"];
    ORDER.iter().position(|reason| *reason == fault.reason).unwrap_or(ORDER.len())
}

fn to_listener(
    parents: &[Parent],
    listener: &Parent,
    reference: &ParentRef,
    route: &Route<'_>,
) -> Result<Vec<Host>, Fault> {
    if let Some(port) = reference.port.filter(|port| port.value.0 != listener.port) {
        let message =
            format!("`{}/{}` has no such listener on port {}", listener.namespace, listener.name, port.value.0);
        return Err(Fault::new("NoMatchingParent", port.span, message));
    }
    if let Some(section) = reference.section_name.as_ref().filter(|section| section.value != listener.section) {
        let message = format!("`{}/{}` has no listener `{}`", listener.namespace, listener.name, section.value);
        return Err(Fault::new("NoMatchingParent", section.span, message));
    }
    let named = route.hosts.filter(|hosts| !hosts.is_empty());
    let hosts: Vec<Host> = match named {
        None => vec![listener.host.clone()],
        Some(hosts) => hosts.iter().filter_map(|host| both(&listener.host, &host.to_ascii_lowercase())).collect(),
    };
    let place = || format!("listener `{}` of `{}/{}`", listener.section, listener.namespace, listener.name);
    if hosts.is_empty() {
        let span = named.and_then(|hosts| hosts.first()).map_or(reference.span, |host| host.span);
        let message = format!("none of its hosts is one of {}, which has `{}`", place(), listener.host);
        return Err(Fault::new("NoMatchingListenerHostname", span, message));
    }
    if !listener.admitted.admits(route.namespace) {
        let message = format!("{} takes no routes of `{}`", place(), route.namespace);
        return Err(Fault::new("NotAllowedByListeners", reference.name.span, message));
    }
    if !listener.kinds.contains(&route.kind) {
        let message = format!("{} takes no {}", place(), route.kind);
        return Err(Fault::new("NotAllowedByListeners", reference.name.span, message));
    }
    Ok(hosts.into_iter().filter(|host| is_its_own(parents, listener, host)).collect())
}

/// The narrower of two hosts; none if they have no name in common.
fn both(a: &str, b: &str) -> Option<Host> {
    if covers(a, b) {
        Some(b.into())
    } else if covers(b, a) {
        Some(a.into())
    } else {
        None
    }
}

/// Whether no other listener of the same Gateway, port and protocol is a narrower one for a host: what it has is not
/// served through a wider one.
fn is_its_own(parents: &[Parent], listener: &Parent, host: &str) -> bool {
    !is_wildcard(&listener.host)
        || !parents.iter().any(|other| {
            other.gateway == listener.gateway
                && other.port == listener.port
                && other.protocol == listener.protocol
                && other.bound_as != listener.bound_as
                && other.host != listener.host
                && covers(&listener.host, &other.host)
                && covers(&other.host, host)
        })
}

fn to_service<'p>(world: &World<'_>, reference: &ParentRef, namespace: &Text, route: &Route<'_>) -> Found<'p> {
    let host = world.host_of_service(&reference.name, namespace);
    let Some(service) = world.service(&host, route.namespace) else {
        let message = format!("there is no Service `{namespace}/{}`", reference.name.value);
        return Some(Err(Fault::new("NoMatchingParent", reference.name.span, message)));
    };
    to_hosts(world, vec![host], service.resource, reference, namespace, route)
}

fn to_entry<'p>(world: &World<'_>, reference: &ParentRef, namespace: &Text, route: &Route<'_>) -> Found<'p> {
    let key = (namespace.clone(), reference.name.value.clone());
    let Some(resource) = world.entries.get(&key) else {
        let message = format!("there is no ServiceEntry `{namespace}/{}`", reference.name.value);
        return Some(Err(Fault::new("NoMatchingParent", reference.name.span, message)));
    };
    let Spec::ServiceEntry(entry) = &resource.spec else { return None };
    let hosts = entry.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect();
    to_hosts(world, hosts, resource, reference, namespace, route)
}

fn to_hosts<'p>(
    world: &World<'_>,
    hosts: Vec<Host>,
    service: &taut_resources::Resource,
    reference: &ParentRef,
    namespace: &Text,
    route: &Route<'_>,
) -> Found<'p> {
    if is_anothers(world, service, namespace) {
        return None;
    }
    let to = To::Service { port: reference.port.map(|port| port.value.0), producer: namespace == route.namespace };
    Some(Ok(vec![Attachment { to, hosts }]))
}

/// Whether what is in front of a service is a waypoint of another controller, which then looks after its routes.
fn is_anothers(world: &World<'_>, service: &taut_resources::Resource, namespace: &Text) -> bool {
    const WAYPOINT: &str = "istio.io/use-waypoint";
    const WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
    let of_namespace = world.namespaces.get(namespace).copied().flatten();
    let labels = if service.meta.labels.get(WAYPOINT).is_some() { Some(&service.meta.labels) } else { of_namespace };
    let label = |name: &str| labels.and_then(|labels| labels.get(name));
    let Some(waypoint) = label(WAYPOINT).filter(|name| *name != "none") else { return false };
    let place = label(WAYPOINT_NAMESPACE).unwrap_or(namespace);
    let mut gateways = world.gateways.iter();
    let found = gateways.find(|it| it.of.name() == waypoint && it.of.namespace() == place);
    found.is_some_and(|it| {
        !matches!(
            world.classes.find(&it.of.spec.gateway_class_name),
            Some(Class::Waypoint | Class::Gateway | Class::EastWest | Class::Remote)
        )
    })
}
