//! One request: what becomes of it, by the world as it is now.
//!
//! Owns: the order of things. The world is loaded once; the request is made ready, decided, sent on or answered; the
//! answer is passed back.
//! May not: decide; `decision` asks `taut_snapshot::decide`, as `taut explain` does.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use taut_snapshot::object::MtlsMode;

use crate::config::Role;
use crate::consult::consult;
use crate::decision::{Decision, decide};
use crate::downstream::Connection;
use crate::drain::Stage;
use crate::exchange::{Exchange, Outgoing};
use crate::forward::upload::Upload;
use crate::forward::wishes::Wishes;
use crate::forward::{Answer, Course, Outbound, forward, note_answer};
use crate::headers::made::{Making, asked_for};
use crate::headers::{self, Host};
use crate::mirror::mirror;
use crate::reply::Reply;
use crate::telemetry::metrics::{Party, Reporter, Security, SeriesKey, Spoken};
use crate::telemetry::names::NameId;
use crate::telemetry::peer::{self, Introduction};
use crate::telemetry::record::{Details, Flags, Line, Provenance, Record, is_grpc};
use crate::telemetry::said::Coming;
use crate::token::{self, Bad, Token};
use crate::trace;
use crate::tunnel;
use crate::world::World;

/// How many headers a request may have, as Envoy has it. In HTTP/1 those who read it see to that.
const HEADERS_MAX: usize = 100;

/// The connection must end without an answer: it does not fit what its port takes now.
#[derive(Debug)]
pub(crate) struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the port takes nothing but mTLS")
    }
}

impl std::error::Error for HangUp {}

/// Serves a request.
///
/// # Errors
/// If the connection must end instead.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Outgoing>, HangUp> {
    let worker = &connection.worker;
    let Some(world) = worker.shared.world.load_full() else {
        let exchange = Exchange::begin(&connection, Record::default());
        return Ok(leave(&connection, Reply::not_ready().into_response(exchange)));
    };
    // The connection may be older than the world.
    if let Role::Inbound { port, .. } = connection.role
        && connection.tls.is_none()
        && *world.mtls(port) == MtlsMode::Strict
    {
        worker.shared.counters.plaintext_refused.add_one();
        return Err(HangUp);
    }
    let upgrade = headers::upgrade(request.headers()).map(|to| (to, hyper::upgrade::on(&mut request)));
    let (mut parts, body) = request.into_parts();
    let mut exchange = Exchange::begin(&connection, record(&connection, &world, &parts));
    if HEADERS_MAX < parts.headers.len() {
        worker.shared.counters.broken_clients.add_one();
        return Ok(leave(&connection, Reply::too_many_headers().into_response(exchange)));
    }
    let introduced = prepare(&connection, &mut parts, &mut exchange.record);
    exchange.span = trace::begin(&world, &connection, &mut parts.headers);
    if exchange.span.is_some() && exchange.record.line.is_none() {
        let mut line = line(&connection, &world, &parts);
        line.request_id = parts.headers.get(headers::REQUEST_ID).cloned();
        exchange.record.line = Some(Box::new(line));
    }
    if let (Some(line), Some(logs)) = (&mut exchange.record.line, world.logs(connection.role)) {
        line.kept = Some(logs.keep(&parts.headers));
    }
    let host = Host::of(&parts.uri, &parts.headers);
    let token = check_token(&world, &connection, &mut parts);
    let asked = match (&host, &token) {
        // Kept apart: every request would carry the room for another one.
        (Some(host), Ok(token)) if world.tables.policies.asks() => {
            Box::pin(consult(&world, &connection, &parts, host, token.as_ref())).await
        }
        _ => Ok(None),
    };
    let (asked, refusal) = asked.map_or_else(|refusal| (None, Some(refusal)), |asked| (asked, None));
    if let Some(passing) = asked.as_ref().filter(|passing| passing.before_routing) {
        passing.change(&mut parts.headers);
    }
    let record = &mut exchange.record;
    let decision = match (&host, &token) {
        (Some(host), Ok(token)) => match refusal {
            Some(refusal) => (*refusal).into(),
            None => decide(&world, &connection, &parts, host, token.as_ref(), asked.is_some(), record),
        },
        (None, _) => Reply::bad_request("invalid_host").into(),
        (Some(_), Err(bad)) => {
            let challenge = token::challenge(&parts.headers, &parts.uri, connection.scheme(), bad);
            Reply::bad_token(*bad, challenge).into()
        }
    };
    if let Some(passing) = asked.as_ref().filter(|passing| !passing.before_routing) {
        passing.change(&mut parts.headers);
    }
    let (decision, sharing) = come_to(decision, &mut exchange).await;
    let sharing = sharing.and_then(|policy| Some((policy, parts.headers.get(header::ORIGIN)?.clone())));
    let finish = |mut response: Response<Outgoing>| {
        for (name, value) in asked.iter().flat_map(|passing| &passing.downstream) {
            response.headers_mut().append(name, value.clone());
        }
        if let Some((policy, origin)) = &sharing {
            headers::share_answer(response.headers_mut(), policy, origin);
        }
        Ok(leave(&connection, response))
    };
    let course = match decision {
        Decision::Forward(course) => course,
        Decision::Reply(reply, ops) => {
            let makes = ops.is_some_and(|ops| !ops.made.is_empty());
            let line = exchange.record.line.as_ref().filter(|_| makes).map(|line| {
                let route = line.route.clone();
                Line { route, ..self::line(&connection, &world, &parts) }
            });
            let mut response = reply.into_response(exchange);
            let asked = asked_for(&parts.headers, [ops, None]);
            let making =
                Making { line: line.as_ref(), cluster: None, asked: Some((&asked, response.status().as_u16())) };
            headers::change(response.headers_mut(), ops, None, 1, &|own, pieces| making.value(own, pieces));
            return finish(response);
        }
        Decision::Delayed(..) | Decision::Shared(..) => unreachable!("both were looked into"),
    };
    if let Some(span) = &mut exchange.span {
        span.upstream = Some(course.upstream.clone());
    }
    let destinations = course.forwarding.destinations.len();
    let cluster = Some(&*course.upstream.name);
    let making = Making { line: exchange.record.line.as_deref(), cluster, asked: None };
    headers::change(
        &mut parts.headers,
        course.request_headers,
        course.destination.request_headers.as_deref(),
        destinations,
        &|own, pieces| making.value(own, pieces),
    );
    let asked = asked_for(&parts.headers, [course.response_headers, course.destination.response_headers.as_deref()]);
    let (upgrade_to, client_side) = upgrade.unzip();
    if let Some(to) = upgrade_to {
        headers::write_upgrade(&mut parts.headers, to);
    }
    let wishes = Wishes::take(&mut parts.headers, &course, &connection.role);
    let replayable = wishes.retry(&course).is_some_and(|retry| 0 < retry.attempts);
    let (mut body, meter) = Upload::new(body, replayable);
    exchange.upload = meter;
    if !course.forwarding.mirrors.is_empty() && client_side.is_none() {
        mirror(&connection, &world, &course, &parts, &mut body);
    }
    let outbound = Outbound {
        method: parts.method,
        headers: parts.headers,
        body,
        from_http2: connection.http2,
        upgrades: client_side.is_some(),
        introduction: Some(&world.introduction).filter(|_| !is_inbound(&connection)),
        wishes,
    };
    let response = match forward(worker, &course, outbound, &mut exchange).await {
        Ok(answer) => {
            let introduction = introduced.then_some(&world.introduction);
            pass_back(&connection, introduction, &course, answer, &asked, exchange, client_side)
        }
        Err(reply) => reply.into_response(exchange),
    };
    finish(response)
}

/// What becomes of a request in the end, after it has waited if it must; and who may read its answer.
async fn come_to<'w>(
    decision: Decision<'w>,
    exchange: &mut Exchange,
) -> (Decision<'w>, Option<&'w taut_snapshot::decide::CorsPolicy>) {
    let decision = match decision {
        Decision::Delayed(pause, then) => {
            exchange.flag(Flags::DELAY);
            tokio::time::sleep(pause).await;
            *then
        }
        now => now,
    };
    match decision {
        Decision::Shared(policy, then) => (*then, Some(policy)),
        alone => (alone, None),
    }
}

/// The token of a request, where tokens are looked at: on the server's side and at gateways.
fn check_token(world: &World, connection: &Connection, parts: &mut Parts) -> Result<Option<Token>, Bad> {
    match (&world.tokens, connection.role) {
        (Some(tokens), Role::Inbound { .. } | Role::Gateway { .. }) => tokens.check(parts),
        _ => Ok(None),
    }
}

fn is_inbound(connection: &Connection) -> bool {
    matches!(connection.role, Role::Inbound { .. })
}

/// What is known of a request from its head.
fn record(connection: &Connection, world: &World, parts: &Parts) -> Record {
    let shared = &connection.worker.shared;
    let own = Party { workload: world.workload, ..Party::default() };
    let protocol = if is_grpc(&parts.headers) { Spoken::Grpc } else { Spoken::Http };
    let key = match (is_inbound(connection), connection.peer()) {
        (true, Some(peer)) => SeriesKey {
            reporter: Reporter::Destination,
            source: Party { principal: peer.principal, ..Party::default() },
            destination: Party { principal: shared.principal, ..own },
            security: Security::MutualTls,
            ..SeriesKey::default()
        },
        (true, None) => SeriesKey {
            reporter: Reporter::Destination,
            destination: own,
            security: Security::None,
            ..SeriesKey::default()
        },
        (false, _) => SeriesKey { reporter: Reporter::Source, source: own, ..SeriesKey::default() },
    };
    let logged = shared.log.is_some() || world.logs(connection.role).is_some();
    let line = logged.then(|| Box::new(line(connection, world, parts)));
    let said = world.said(is_inbound(connection)).map_or(NameId::UNKNOWN, |wanted| {
        let host = Host::of(&parts.uri, &parts.headers);
        let server_name = connection.server_name().map(|name| &**name);
        let coming = Coming { parts, host: host.as_ref().map_or("", Host::as_str), server_name };
        wanted.number(&coming, &shared.labels)
    });
    Record { key: SeriesKey { protocol, said, ..key }, line, ..Record::default() }
}

pub(crate) fn line(connection: &Connection, world: &World, parts: &Parts) -> Line {
    let path = parts.uri.path_and_query().map_or("-", |path| path.as_str());
    let host = Host::of(&parts.uri, &parts.headers);
    Line {
        start: SystemTime::now(),
        method: Some(parts.method.clone()),
        path: path.into(),
        version: Some(parts.version),
        authority: host.as_ref().map_or("-", Host::as_str).into(),
        forwarded_for: parts.headers.get(headers::FORWARDED_FOR).cloned(),
        user_agent: parts.headers.get(header::USER_AGENT).cloned(),
        request_id: None,
        local: connection.local,
        remote: connection.remote,
        server_name: connection.server_name().cloned(),
        route: "".into(),
        upstream: None,
        termination: Details::None,
        transport_failure: None,
        kept: None,
        provenance: Provenance { snapshot: Some(world.snapshot), rule: None },
    }
}

/// Makes the headers of a request ready to be decided by and sent on. True if the client is a proxy of the mesh that
/// introduced itself.
fn prepare(connection: &Connection, parts: &mut Parts, record: &mut Record) -> bool {
    let (shared, all) = (&connection.worker.shared, &mut parts.headers);
    headers::strip_hop_by_hop(all);
    headers::join_repeated(all);
    // Whoever waits for it is told to continue when the body is first read.
    all.remove(header::EXPECT);
    let (named, metadata) = peer::take(all);
    let mut introduced = false;
    match connection.role {
        Role::Inbound { .. } => {
            headers::forwarded_within(all, connection.scheme());
            let peer = connection.peer();
            headers::write_forwarded_cert(all, peer.map(|peer| &peer.forwarded));
            if peer.is_some() {
                introduced = named;
                if let Some(metadata) = metadata {
                    record.key.source.workload = connection.met.recognize(&metadata, &shared.labels);
                }
            }
        }
        Role::InboundCaptured
        | Role::Outbound { .. }
        | Role::OutboundAny
        | Role::OutboundTo { .. }
        | Role::OutboundCaptured => {
            headers::forwarded_within(all, connection.scheme());
            headers::write_forwarded_cert(all, None);
        }
        Role::Gateway { .. } => {
            headers::forwarded_at_edge(all, connection.remote, connection.scheme());
            if let Some(shown) = connection.tls.as_ref().and_then(|tls| tls.shown.clone()) {
                all.insert(headers::FORWARDED_CERT, shown);
            }
        }
    }
    headers::identify(all, &connection.worker.draws);
    if let Some(line) = &mut record.line {
        line.request_id = all.get(headers::REQUEST_ID).cloned();
    }
    introduced
}

/// The endpoint's answer, as the client gets it.
fn pass_back(
    connection: &Connection,
    introduction: Option<&Introduction>,
    course: &Course<'_>,
    answer: Answer,
    asked: &HeaderMap,
    mut exchange: Box<Exchange>,
    client_side: Option<OnUpgrade>,
) -> Response<Outgoing> {
    let Answer { mut response, lease, backend, limit } = answer;
    note_answer(&mut exchange, response.headers_mut(), &backend, &connection.worker);
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgraded_to = response.headers().get(header::UPGRADE).filter(|_| switched).cloned();
    let endpoint_side = switched.then(|| hyper::upgrade::on(&mut response));
    let (mut head, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    let destinations = course.forwarding.destinations.len();
    let of_destination = course.destination.response_headers.as_deref();
    let making = Making {
        line: exchange.record.line.as_deref(),
        cluster: Some(&course.upstream.name),
        asked: Some((asked, head.status.as_u16())),
    };
    headers::change(&mut head.headers, course.response_headers, of_destination, destinations, &|own, pieces| {
        making.value(own, pieces)
    });
    if let Some(cookie) = &course.cookie {
        head.headers.append(header::SET_COOKIE, cookie.clone());
    }
    if let Some(introduction) = introduction {
        introduction.write(&mut head.headers);
    }
    if let Some(kept) = exchange.record.line.as_mut().and_then(|line| line.kept.as_mut()) {
        kept.answer(&head.headers);
    }
    head.version = Version::default();
    exchange.record.key.status = head.status.as_u16();
    exchange.record.details = Details::Word("via_upstream");
    if exchange.record.key.protocol == Spoken::Grpc {
        exchange.note_grpc_status(&head.headers);
    }
    if let (Some(client_side), Some(endpoint_side), Some(to)) = (client_side, endpoint_side, upgraded_to) {
        headers::write_upgrade(&mut head.headers, to);
        tunnel::join(
            connection.worker.shared.drains.of(connection.role).clone(),
            client_side,
            endpoint_side,
            exchange,
            lease,
        );
        return Response::from_parts(head, Outgoing::empty());
    }
    Response::from_parts(head, Outgoing::passing(body, exchange, lease, limit))
}

/// An answer as it leaves. A gateway signs it; while the proxy stops, it asks HTTP/1 clients to connect elsewhere. HTTP/2 ones are told so
/// by a frame.
fn leave(connection: &Connection, mut response: Response<Outgoing>) -> Response<Outgoing> {
    if matches!(connection.role, Role::Gateway { .. }) {
        response.headers_mut().insert(header::SERVER, headers::SERVER);
    }
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !connection.http2 && !switching && connection.worker.shared.drains.of(connection.role).stage() != Stage::Serving
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How large the future is that this gives.
    fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_does_not_carry_room_for_what_few_need() {
        // It is moved once, and copied whole: a handshake or a question to others within it would be most of it.
        let size = size_of_future(serve);
        assert!(size <= 4_500, "{size} bytes");
    }
}
