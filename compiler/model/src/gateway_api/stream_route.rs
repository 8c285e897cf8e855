//! TLSRoute and TCPRoute: rules for whole connections (semantics.md §18.5).

use taut_resources::gateway_api::ConnectionRule;
use taut_resources::{At, Labels, List, RouteDestination, TcpMatch, TcpRoute, TlsMatch, TlsRoute};
use taut_source::Span;

use super::backend::{Backend, From_, Resolved, resolve};
use super::http_route::nowhere;
use super::made::{at, share};
use super::status::Fault;
use super::world::World;
use crate::Host;

/// Where the connections of each rule go; nothing is used of a route with a reference that cannot be meant.
pub(crate) struct Streams {
    pub(crate) rules: Vec<(Span, Vec<RouteDestination>)>,
    pub(crate) faults: Vec<Fault>,
}

/// The destinations of some rules.
pub(crate) fn streams(world: &World<'_>, rules: &[ConnectionRule], from: From_<'_>) -> Streams {
    let mut made = Streams { rules: Vec::with_capacity(rules.len()), faults: Vec::new() };
    for rule in rules {
        let mut destinations = Vec::new();
        for backend in rule.backend_refs.iter().filter(|backend| 0 < backend.weight.value) {
            let destination = match resolve(world, Backend::from(backend), from) {
                Resolved::Good(destination) => destination,
                Resolved::Broken(destination, fault) => {
                    made.faults.push(fault);
                    destination
                }
                Resolved::Wrong(fault) => return Streams { rules: Vec::new(), faults: vec![fault] },
            };
            destinations.push(share(destination, backend.weight.value));
        }
        if destinations.is_empty() {
            destinations.push(share(nowhere(rule.span), 1)); // connections that go nowhere are closed
        }
        made.rules.push((rule.span, destinations));
    }
    made
}

/// Rules by server name.
pub(crate) fn tls(streams: &Streams, names: &[Host], port: Option<u16>) -> List<TlsRoute> {
    let rule = |(span, route): &(Span, Vec<RouteDestination>)| TlsRoute {
        span: *span,
        matches: [TlsMatch {
            span: *span,
            sni_hosts: names.iter().map(|name| at(name.clone(), *span)).collect(),
            destination_subnets: List::new(),
            port: wanted(port, *span),
            source_labels: Labels::default(),
            source_namespace: None,
            gateways: List::new(),
        }]
        .into(),
        route: route.as_slice().into(),
    };
    streams.rules.iter().map(rule).collect()
}

/// Rules without conditions.
pub(crate) fn tcp(streams: &Streams, port: Option<u16>) -> List<TcpRoute> {
    let rule = |(span, route): &(Span, Vec<RouteDestination>)| TcpRoute {
        span: *span,
        matches: port.map(|port| matched(port, *span)).into_iter().collect(),
        route: route.as_slice().into(),
    };
    streams.rules.iter().map(rule).collect()
}

fn wanted(port: Option<u16>, span: Span) -> Option<At<u32>> {
    port.map(|port| at(u32::from(port), span))
}

fn matched(port: u16, span: Span) -> TcpMatch {
    TcpMatch {
        span,
        destination_subnets: List::new(),
        port: wanted(Some(port), span),
        source_subnet: None,
        source_labels: Labels::default(),
        gateways: List::new(),
        source_namespace: None,
    }
}
