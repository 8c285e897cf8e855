//! Asking another service whether a request may pass (semantics.md §11.6): `CUSTOM` policies.
//!
//! Owns: what the service is told, within which time it must answer, and what its answer is to the request.
//! May not: decide which requests it is asked about; `decide::Policies::asked` does.
//! Invariant: whoever is to be asked about and was not asked is denied, unless the provider fails open.

pub(crate) mod grpc;
mod web;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use taut_snapshot::decide::{Peer, normalize};
use taut_snapshot::object::{Asks, Authorizer};
use tokio::time::timeout;

use crate::config::Role;
use crate::downstream::Connection;
use crate::forward::upload::Upload;
use crate::headers::{self, Asked, Host};
use crate::outlier::Outcome;
use crate::pool::answer::AnswerBody;
use crate::pool::lease;
use crate::reply::Reply;
use crate::token::Token;
use crate::upstream::Upstream;
use crate::world::World;

/// The longest answer of a service that is asked: a page that explains a refusal.
const ANSWER_MAX: usize = 1 << 20;

/// What a service that lets a request pass changes of it.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Headers for the upstream, and whether they stand beside those that are there.
    pub(crate) upstream: Vec<(HeaderName, HeaderValue, bool)>,
    /// Headers that the upstream does not see.
    pub(crate) remove: Vec<HeaderName>,
    /// Headers for the client.
    pub(crate) downstream: Vec<(HeaderName, HeaderValue)>,
    /// Whether the route is chosen by the headers as they are now.
    pub(crate) before_routing: bool,
}

/// What a service says.
#[derive(Debug)]
pub(crate) enum Said {
    Pass(Passing),
    Refuse(StatusCode, HeaderMap, Bytes),
}

impl Passing {
    /// Changes the request.
    pub(crate) fn change(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value, beside) in &self.upstream {
            if *beside {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Whether a header is none of the service's business: it says how a message is framed, or who it is for.
fn is_framing(name: &HeaderName) -> bool {
    *name == HOST || *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

/// Asks, if some policy wants that. None if nobody is to be asked.
///
/// # Errors
/// With what the client is told if the request may not pass.
pub(crate) async fn consult(
    world: &World,
    connection: &Connection,
    parts: &Parts,
    host: &Host<'static>,
    token: Option<&Token>,
) -> Result<Option<Passing>, Box<Reply>> {
    let (Role::Inbound { port, .. } | Role::Gateway { port }) = connection.role else { return Ok(None) };
    // What cannot be normalized is refused when it is decided.
    let Ok(path) = normalize(parts.uri.path(), &world.tables.mesh.path_normalization) else { return Ok(None) };
    let asked = {
        let headers = Asked { headers: &parts.headers, token };
        let request = taut_snapshot::decide::Request {
            method: parts.method.as_str(),
            scheme: headers::scheme(&parts.headers).unwrap_or_else(|| connection.scheme()),
            authority: host.as_str(),
            path: &path,
            query: parts.uri.query(),
            headers: &headers,
        };
        let peer = Peer {
            identity: connection.peer().map(|peer| peer.id.as_str()),
            source: connection.remote.ip(),
            remote: crate::authorize::client(connection, &request),
            destination: connection.local.ip(),
            port,
            server_name: connection.server_name().map(AsRef::as_ref),
        };
        world.tables.policies.asked(&peer, Some(&request)).next().map(|(policy, name)| (policy.clone(), name.clone()))
    };
    let Some((policy, name)) = asked else { return Ok(None) };
    let counters = &connection.worker.shared.counters;
    let Some((authorizer, cluster)) = world.tables.authorizer(&name) else {
        counters.denials.add_one();
        return Err(Box::new(Reply::denied(Some(&policy))));
    };
    counters.consultations.add_one();
    let question = Question { connection, parts, host, authorizer };
    let limit = match authorizer.timeout_ms {
        0 => Duration::MAX,
        ms => Duration::from_millis(ms),
    };
    match timeout(limit, question.put(world.upstream(cluster))).await.ok().flatten() {
        Some(Said::Pass(passing)) => Ok(Some(Passing { before_routing: authorizer.clear_route, ..passing })),
        Some(Said::Refuse(status, headers, body)) => {
            counters.denials.add_one();
            Err(Box::new(Reply::refused_elsewhere(status, headers, body.to_vec())))
        }
        None => {
            counters.consultation_failures.add_one();
            if authorizer.fail_open {
                return Ok(Some(Passing::default()));
            }
            Err(Box::new(Reply::nobody_answered(authorizer.status_on_error)))
        }
    }
}

/// What is asked.
struct Question<'q> {
    connection: &'q Connection,
    parts: &'q Parts,
    host: &'q Host<'static>,
    authorizer: &'q Authorizer,
}

impl Question<'_> {
    /// The answer; none if there is no useful one.
    async fn put(&self, upstream: &std::sync::Arc<Upstream>) -> Option<Said> {
        let (request, http2) = match &self.authorizer.how {
            Asks::Grpc => (grpc::request(self.connection, self.parts, self.host, upstream)?, true),
            Asks::Http(how) => {
                let http2 = upstream.speaks_http2().unwrap_or(false);
                (web::request(how, self.parts, self.host, http2)?, http2)
            }
        };
        let (worker, shared) = (&self.connection.worker, &self.connection.worker.shared);
        let _counted = upstream.usage.requests.admit(upstream.cluster.limits.requests)?;
        let backend = upstream.choose(&worker.draws, &[], None)?;
        let _active = backend.active.enter();
        let report = |outcome| {
            if upstream.report(&backend, outcome, || shared.began.elapsed()) {
                shared.counters.ejections.add_one();
            }
        };
        let Ok(mut lease) = lease(worker, upstream, &backend, http2).await else {
            report(Outcome::Unreachable);
            return None;
        };
        let Ok(response) = lease.send(request).await else {
            report(Outcome::Unreachable);
            return None;
        };
        report(Outcome::Answered(response.status().as_u16()));
        let (response, trailers) = whole(response).await?;
        lease.give_back();
        match &self.authorizer.how {
            Asks::Grpc => grpc::said(&response, trailers.as_ref()),
            Asks::Http(how) => web::said(how, response),
        }
    }
}

/// An answer with all of its body; none if it breaks off, or is too long.
pub(crate) async fn whole(response: Response<AnswerBody>) -> Option<(Response<Bytes>, Option<HeaderMap>)> {
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = incoming.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) if body.len() + data.len() <= ANSWER_MAX => body.extend_from_slice(&data),
            Ok(_) => return None,
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Some((Response::from_parts(head, body.freeze()), trailers))
}

/// A request of the proxy's own.
pub(crate) fn of_proxy(method: http::Method, uri: http::Uri, headers: HeaderMap, body: Upload) -> Request<Upload> {
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    request
}
