//! What becomes of a request: the question to the world, by what kind of port it came to.
//!
//! Owns: which table is asked, and what its answer is for this proxy.
//! May not: match a rule or a policy itself, or send anything.

use std::net::SocketAddr;
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header};
use taut_snapshot::Digest;
use taut_snapshot::decide::{
    CorsPolicy, Faults, Hit, Outgoing, Request, Router, Sharing, ToDo, VirtualHost, faults, hash, hash_of,
    host_without_port, location, needs_cookie, normalize, rewritten_path, split,
};
use taut_snapshot::object::{HashKey, HeaderOps};

use crate::accept::sniff::{Seen, Speech};
use crate::authorize::authorize;
use crate::config::Role;
use crate::downstream::Connection;
use crate::forward::Course;
use crate::headers::{self, Asked, Host, port_of};
use crate::heading::{Heading, outgoing, unknown};
use crate::reply::Reply;
use crate::request::line;
use crate::telemetry::record::Record;
use crate::token::Token;
use crate::upstream::Upstream;
use crate::world::World;

/// The port of a Host that names none.
const PORT_DEFAULT: u16 = 80;

/// What becomes of a request.
pub(crate) enum Decision<'w> {
    /// It goes to an endpoint.
    Forward(Course<'w>),
    /// It is answered here. The second part are the header changes of the rule that says so.
    Reply(Reply, Option<&'w HeaderOps>),
    /// It waits on purpose, and then this becomes of it.
    Delayed(Duration, Box<Decision<'w>>),
    /// Its answer, wherever it comes from, may be read by the origin that it names.
    Shared(&'w CorsPolicy, Box<Decision<'w>>),
}

impl From<Reply> for Decision<'_> {
    fn from(reply: Reply) -> Self {
        Decision::Reply(reply, None)
    }
}

/// A request as it is being decided.
struct Asking<'r> {
    connection: &'r Connection,
    parts: &'r Parts,
    host: &'r Host<'static>,
    request: Request<'r>,
    /// Whether whoever is to be asked about it has let it pass.
    asked: bool,
}

/// Decides a request. `asked` says that whoever is to be asked about it has let it pass.
pub(crate) fn decide<'w>(
    world: &'w World,
    connection: &Connection,
    parts: &Parts,
    host: &Host<'static>,
    token: Option<&Token>,
    asked: bool,
    record: &mut Record,
) -> Decision<'w> {
    if parts.method == Method::CONNECT {
        return Reply::not_implemented("this proxy opens no tunnels: CONNECT is for forward proxies\n").into();
    }
    let Ok(path) = normalize(parts.uri.path(), &world.tables.mesh.path_normalization) else {
        return Reply::bad_request("path_normalization_failed").into();
    };
    let headers = Asked { headers: &parts.headers, token };
    let request = Request {
        method: parts.method.as_str(),
        scheme: headers::scheme(&parts.headers).unwrap_or_else(|| connection.scheme()),
        authority: host.as_str(),
        path: &path,
        query: parts.uri.query(),
        headers: &headers,
    };
    let asking = Asking { connection, parts, host, request, asked };
    match connection.role {
        Role::Inbound { port, .. } => inbound(world, &asking, port, record),
        Role::InboundCaptured => Reply::no_route().into(),
        // The application's own requests are plain HTTP to the mesh, however they leave.
        Role::Outbound { port } => outbound(world, &asking, port, record),
        Role::OutboundAny => outbound(world, &asking, port_of(host.as_str()).unwrap_or(PORT_DEFAULT), record),
        Role::OutboundTo { .. } | Role::OutboundCaptured => match connection.dialled {
            Some(dialled) => dialled_outbound(world, &asking, dialled, record),
            None => Reply::no_route().into(),
        },
        Role::Gateway { port } => gateway(world, &asking, port, record),
    }
}

/// A request for the workload itself.
fn inbound<'w>(world: &'w World, asking: &Asking<'_>, port: u16, record: &mut Record) -> Decision<'w> {
    let Some(inbound) = world.inbound.get(&port) else { return Reply::no_route().into() };
    record.key.service = inbound.upstream.service;
    if let Err(reply) = authorize(world, asking.connection, port, Some(&asking.request), asking.asked) {
        return Decision::from(*reply);
    }
    name_route(record, "default");
    let Some(path) = target(asking, None) else { return Reply::bad_request("invalid_path").into() };
    Decision::Forward(Course {
        upstream: &inbound.upstream,
        forwarding: &world.to_application.forwarding,
        destination: &world.to_application.destination,
        request_headers: None,
        response_headers: None,
        host: asking.host.clone(),
        path,
        hash: None,
        toward: None,
        cookie: None,
    })
}

/// A request of the workload's application for somebody else.
fn outbound<'w>(world: &'w World, asking: &Asking<'_>, port: u16, record: &mut Record) -> Decision<'w> {
    match world.tables.outbound(port, asking.host.as_str()) {
        Some(found) => at_host(world, asking, found, port, record),
        None => Reply::unknown_service(host_without_port(asking.host.as_str()), port).into(),
    }
}

/// A request of the workload's application, which dialled this address.
fn dialled_outbound<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    dialled: SocketAddr,
    record: &mut Record,
) -> Decision<'w> {
    // The connection may be older than the world: then it may have become one for nobody.
    let requests = match outgoing(world, dialled, &Seen { speech: Some(Speech::Http1), hello: None }) {
        Ok(Outgoing::Requests(requests)) => Some(requests),
        _ => None,
    };
    if let Some(found) = requests.and_then(|requests| requests.host(asking.host.as_str())) {
        return at_host(world, asking, found, dialled.port(), record);
    }
    let Some(heading) = unknown(world, dialled) else {
        name_route(record, "block_all");
        record.key.service = world.black_hole;
        return Reply::unknown_service(host_without_port(asking.host.as_str()), dialled.port()).into();
    };
    name_route(record, "allow_any");
    pass(world, asking, &heading, record)
}

/// A request that passes, whoever it is for.
fn pass<'w>(world: &'w World, asking: &Asking<'_>, heading: &Heading, record: &mut Record) -> Decision<'w> {
    let Some(path) = target(asking, None) else { return Reply::bad_request("invalid_path").into() };
    let upstream = match (heading.toward, world.tables.through()) {
        (None, Some(proxy)) => world.upstream(proxy),
        _ => &world.passthrough,
    };
    record.key.service = upstream.service;
    Decision::Forward(Course {
        upstream,
        forwarding: &world.to_application.forwarding,
        destination: &world.to_application.destination,
        request_headers: None,
        response_headers: None,
        host: asking.host.clone(),
        path,
        hash: None,
        toward: heading.toward,
        cookie: None,
    })
}

/// A request for a host that the workload knows.
fn at_host<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    found: VirtualHost<'w>,
    port: u16,
    record: &mut Record,
) -> Decision<'w> {
    if let Some(cluster) = found.cluster {
        record.key.service = world.upstream(cluster).service;
    }
    match (found.router, found.otherwise) {
        (Some((router, digest)), _) => route(world, asking, router, digest, port, record),
        (None, Some(todo)) => {
            name_route(record, "default");
            follow(world, asking, todo, None, port, record)
        }
        (None, None) => Reply::no_route().into(),
    }
}

/// A request that came to a gateway.
fn gateway<'w>(world: &'w World, asking: &Asking<'_>, port: u16, record: &mut Record) -> Decision<'w> {
    let connection = asking.connection;
    let Some(listener) = world.listener(port) else { return Reply::no_route().into() };
    if let Err(reply) = authorize(world, connection, port, Some(&asking.request), asking.asked) {
        return Decision::from(*reply);
    }
    let server = listener.server(connection.server_name().map(AsRef::as_ref));
    // A server that ends TLS is only for connections that came with it, and the other way round.
    let server = server.filter(|server| server.ends_tls() == connection.tls.is_some());
    let Some((server, host)) = server.and_then(|server| Some((server, server.host(asking.host.as_str())?))) else {
        return Reply::no_route().into();
    };
    if host.https_only && connection.tls.is_none() {
        let request = &asking.request;
        let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
        let to = format!("https://{}{}{query}", host_without_port(request.authority), request.path);
        return Reply::redirect(301, &to).into();
    }
    match world.tables.gateway_router(host) {
        Some((router, digest)) => route(world, asking, router, digest, server.number, record),
        None => Reply::no_route().into(),
    }
}

/// What the rules of a table say.
fn route<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    router: &'w Router,
    table: Digest,
    port: u16,
    record: &mut Record,
) -> Decision<'w> {
    let Some(hit) = router.route(&asking.request) else { return Reply::no_route().into() };
    if hit.makes_headers && record.line.is_none() {
        record.line = Some(Box::new(line(asking.connection, world, asking.parts)));
    }
    if let Some(line) = &mut record.line {
        line.provenance.rule = Some((table, hit.rule + 1));
        line.route = match hit.alternative.filter(|alternative| !alternative.name.is_empty()) {
            Some(alternative) => format!("{}.{}", hit.name, alternative.name).into(),
            None => hit.name.clone(),
        };
    }
    follow(world, asking, hit.todo, Some(hit), port, record)
}

/// Does as a rule says, or as is done without one: first what goes wrong on purpose, then who may read the answer, then
/// where the request goes (semantics.md §3.13, order of filters).
fn follow<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    todo: &'w ToDo,
    hit: Option<Hit<'w>>,
    port: u16,
    record: &mut Record,
) -> Decision<'w> {
    let fault = hit.and_then(|hit| hit.fault);
    let Faults { delay_ms, abort } =
        fault.map_or_else(Faults::default, |fault| faults(fault, || asking.connection.worker.draws.draw()));
    let decision = match abort {
        Some(status) => Reply::aborted(status).into(),
        None => share(world, asking, todo, hit, port, record),
    };
    match delay_ms {
        Some(ms) => Decision::Delayed(Duration::from_millis(ms), Box::new(decision)),
        None => decision,
    }
}

/// What the rule says of other origins.
fn share<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    todo: &'w ToDo,
    hit: Option<Hit<'w>>,
    port: u16,
    record: &mut Record,
) -> Decision<'w> {
    let Some(policy) = hit.and_then(|hit| hit.cors) else { return send(world, asking, todo, hit, port, record) };
    let (method, all) = (&asking.parts.method, &asking.parts.headers);
    let there = |name| all.get(name).is_some_and(|value: &http::HeaderValue| !value.is_empty());
    let asks = *method == Method::OPTIONS && there(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = all.get(header::ORIGIN);
    match policy.sharing(origin.map(|origin| origin.as_bytes()), asks) {
        Sharing::Granted => Reply::preflight(Some(policy), origin).into(),
        Sharing::Refused => Reply::preflight(None, None).into(),
        Sharing::None => send(world, asking, todo, hit, port, record),
        Sharing::Answer => Decision::Shared(policy, Box::new(send(world, asking, todo, hit, port, record))),
    }
}

/// Sends a request on, or answers it, as a rule says.
fn send<'w>(
    world: &'w World,
    asking: &Asking<'_>,
    todo: &'w ToDo,
    hit: Option<Hit<'w>>,
    port: u16,
    record: &mut Record,
) -> Decision<'w> {
    let matched = hit.map_or(1, |hit| hit.matched);
    let response_headers = hit.and_then(|hit| hit.response_headers);
    let forwarding = match todo {
        ToDo::Redirect(redirect) => {
            let to = location(redirect, &asking.request, matched, port);
            return Decision::Reply(Reply::redirect(redirect.status, &to), response_headers);
        }
        ToDo::Respond(response) => return Decision::Reply(Reply::direct(response), response_headers),
        ToDo::Forward(forwarding) => forwarding,
    };
    let weights = forwarding.destinations.iter().map(|destination| destination.weight);
    let draw = if weights.len() < 2 { 0 } else { asking.connection.worker.draws.draw() };
    let Some(destination) = split(weights, draw).map(|index| &forwarding.destinations[index]) else {
        return Reply::no_cluster().into();
    };
    let (upstream, toward) = match &destination.cluster {
        Ok(cluster) => (world.upstream(*cluster), world.toward(*cluster, asking.connection.dialled)),
        Err(_) => return Decision::Reply(Reply::missing(forwarding.missing_status), response_headers),
    };
    record.key.service = upstream.service;
    let rewritten = forwarding
        .path
        .as_ref()
        .map(|rewrite| rewritten_path(asking.request.path, matched, rewrite, forwarding.path_pattern.as_ref()));
    let Some(path) = target(asking, rewritten.as_deref()) else {
        return Reply::bad_request("invalid_path").into();
    };
    let (hash, cookie) = belongs(asking, upstream);
    let host = [&forwarding.host, &destination.host].into_iter().find(|host| !host.is_empty());
    Decision::Forward(Course {
        upstream,
        forwarding,
        destination,
        request_headers: hit.and_then(|hit| hit.request_headers),
        response_headers,
        host: host.map_or_else(|| asking.host.clone(), |host| Host::Rewritten(host)),
        path,
        hash,
        toward,
        cookie,
    })
}

/// Where a request belongs, if its cluster asks for that; and the cookie that tells the client.
fn belongs(asking: &Asking<'_>, upstream: &Upstream) -> (Option<u64>, Option<HeaderValue>) {
    let Some(key) = upstream.hash_key() else { return (None, None) };
    let connection = asking.connection;
    let found = hash_of(key, &asking.request, connection.remote.ip());
    match key {
        HashKey::Cookie(cookie) if needs_cookie(key, found) => {
            let (value, header) = headers::new_cookie(cookie, connection.worker.draws.draw());
            (Some(hash(value.as_bytes(), 0)), header)
        }
        _ => (found, None),
    }
}

/// The path and query that the endpoint sees; none if they are none. In most requests they are what the client sent.
fn target(asking: &Asking<'_>, rewritten: Option<&str>) -> Option<PathAndQuery> {
    let path = rewritten.unwrap_or(asking.request.path);
    if path == asking.parts.uri.path() {
        return asking.parts.uri.path_and_query().cloned();
    }
    match asking.request.query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
        None => PathAndQuery::try_from(path).ok(),
    }
}

fn name_route(record: &mut Record, name: &str) {
    if let Some(line) = &mut record.line {
        line.route = name.into();
    }
}
