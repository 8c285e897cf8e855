//! The parts that converted objects are put together from: what YAML would have said, with the place of what said it.

use taut_resources::{
    At, Destination, HeaderChanges, HeaderOperations, HttpMatch, HttpRoute, Labels, List, MatchBy, Named, Port,
    PortRef, RouteDestination, StringMatch, VirtualService,
};
use taut_source::Span;

use crate::Text;

pub(crate) fn at<T>(value: T, span: Span) -> At<T> {
    At { value, span }
}

pub(crate) fn matching(by: MatchBy, span: Span) -> StringMatch {
    StringMatch { span, by }
}

/// A rule that says nothing yet.
pub(crate) fn rule(name: Text, span: Span) -> HttpRoute {
    HttpRoute {
        span,
        name: Some(at(name, span)),
        matches: List::new(),
        route: List::new(),
        redirect: None,
        direct_response: None,
        delegate: None,
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        mirror: None,
        mirrors: List::new(),
        mirror_percent: None,
        mirror_percentage: None,
        cors_policy: None,
        headers: None,
    }
}

/// An alternative with a condition on the path.
pub(crate) fn alternative(path: MatchBy, span: Span) -> HttpMatch {
    HttpMatch {
        span,
        name: None,
        uri: Some(Box::new(matching(path, span))),
        scheme: None,
        method: None,
        authority: None,
        headers: Named::default(),
        query_params: Named::default(),
        without_headers: Named::default(),
        port: None,
        source_labels: Labels::default(),
        source_namespace: None,
        gateways: List::new(),
        ignore_uri_case: None,
        stat_prefix: None,
    }
}

/// Where something goes. Without a host it goes nowhere: the reference is broken.
pub(crate) fn destination(host: Text, port: Option<u16>, span: Span) -> Destination {
    let port = port.map(|number| PortRef { span, number: at(Port(number), span) });
    Destination { span, host: at(host, span), subset: None, port }
}

pub(crate) fn share(destination: Destination, weight: u32) -> RouteDestination {
    let span = destination.span;
    RouteDestination { span, destination, weight: Some(at(whole(weight), span)) }
}

/// A weight as rules have it; the API has them up to a million.
pub(crate) fn whole(weight: u32) -> i32 {
    i32::try_from(weight).unwrap_or(i32::MAX)
}

pub(crate) fn headers(
    request: Option<HeaderOperations>,
    response: Option<HeaderOperations>,
    span: Span,
) -> Option<Box<HeaderChanges>> {
    (request.is_some() || response.is_some()).then(|| Box::new(HeaderChanges { span, request, response }))
}

/// A virtual service of some rules.
pub(crate) fn virtual_service(span: Span) -> VirtualService {
    VirtualService {
        span,
        hosts: List::new(),
        gateways: List::new(),
        http: List::new(),
        tls: List::new(),
        tcp: List::new(),
        export_to: List::new(),
    }
}
