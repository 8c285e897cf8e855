//! A request on its way to an endpoint: tries, timeouts, retries (semantics.md §3.10).
//!
//! Owns: which endpoint is tried, when the next try comes, and what a failed one is to the client.
//! May not: decide whether to retry; `decide::retries` does.
//! Invariant: a try whose request may have been acted upon is only repeated if the rule says so.

mod deadline;
pub(crate) mod upload;
pub(crate) mod wishes;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use h2::Reason;
use http::header::CONTENT_LENGTH;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use taut_snapshot::decide::{Attempt, Destination, Forwarding, retries};
use taut_snapshot::object::{HeaderOps, Retry, RetryOn};
use tokio::time::{Instant, sleep_until};

use crate::balance::Draws;
use crate::exchange::{Exchange, grpc_status};
use crate::headers::{self, Host};
use crate::limits::Admission;
use crate::outlier::Outcome;
use crate::pool::answer::{AnswerBody, Failure};
use crate::pool::{Lease, NoConnection, lease};
use crate::reply::Reply;
use crate::telemetry::metrics::{Party, Reporter, Spoken};
use crate::telemetry::names::NameId;
use crate::telemetry::peer::{self, Introduction};
use crate::telemetry::record::{Flags, UpstreamLine};
use crate::upstream::{Backend, Upstream};
use crate::worker::Worker;
use deadline::{Deadline, Over, within};
use upload::Upload;
use wishes::Wishes;

/// The base of the pauses between tries, unless the rule has its own.
const PAUSE_BASE: Duration = Duration::from_millis(25);

/// No pause is longer than this many times its base.
const PAUSE_GROWTH_MAX: u32 = 10;

/// How often a request moves to another connection because the one it got was closed before anything was sent, or while
/// it was sent (RFC 9112 §9.3.1). This is no retry of a rule's. The number only keeps a wild endpoint from holding it for
/// ever.
const STALE_MAX: u32 = 10;

/// Where a request goes, and how.
pub(crate) struct Course<'w> {
    pub(crate) upstream: &'w Arc<Upstream>,
    pub(crate) forwarding: &'w Forwarding,
    pub(crate) destination: &'w Destination,
    /// Header changes of the rule.
    pub(crate) request_headers: Option<&'w HeaderOps>,
    pub(crate) response_headers: Option<&'w HeaderOps>,
    /// The host that the endpoint sees.
    pub(crate) host: Host<'w>,
    /// The path and query that it sees.
    pub(crate) path: PathAndQuery,
    /// Where the request belongs, if its cluster asks for that.
    pub(crate) hash: Option<u64>,
    /// The address of its endpoint, if the client chose that itself.
    pub(crate) toward: Option<SocketAddr>,
    /// A cookie for the client, that says so.
    pub(crate) cookie: Option<HeaderValue>,
}

/// A request without its target, which each kind of endpoint is sent in its own form.
pub(crate) struct Outbound<'w> {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Upload,
    /// Whether the client spoke HTTP/2.
    pub(crate) from_http2: bool,
    /// Whether the connection is to be upgraded, so that HTTP/1 must be spoken.
    pub(crate) upgrades: bool,
    /// How the proxy introduces itself to those of the mesh; not at all on the way to its own application.
    pub(crate) introduction: Option<&'w Introduction>,
    /// What the application asks of its proxy for this request.
    pub(crate) wishes: Wishes,
}

/// An endpoint's answer.
pub(crate) struct Answer {
    pub(crate) response: Response<AnswerBody>,
    pub(crate) lease: Lease,
    pub(crate) backend: Arc<Backend>,
    /// When the whole exchange must be over.
    pub(crate) limit: Option<Instant>,
}

/// How one try ended, if not with an answer.
enum Failed {
    NoConnection(String),
    Overflow,
    /// Nobody answered. `attempt` says how much was sent; `stream_only`, that the connection lives on.
    Reset {
        attempt: Attempt,
        stream_only: bool,
    },
    /// The time of the try, or of the whole exchange, is over.
    TimedOut {
        one_try: bool,
    },
    /// The request cannot be written in the endpoint's form.
    Unwritable,
}

/// Sends a request, as often as its rule says.
///
/// # Errors
/// With what the client is told instead of an answer.
pub(crate) async fn forward(
    worker: &Worker,
    course: &Course<'_>,
    mut outbound: Outbound<'_>,
    exchange: &mut Exchange,
) -> Result<Answer, Box<Reply>> {
    let upstream = course.upstream;
    let limits = &upstream.cluster.limits;
    note_heading(exchange, upstream, None);
    let overflow = || {
        worker.shared.counters.upstream_overflows.add_one();
        Box::new(Reply::overflow())
    };
    exchange.counted[0] = Some(upstream.usage.requests.admit(limits.requests).ok_or_else(overflow)?);
    upstream.note(exchange.started);
    let grpc = exchange.record.key.protocol == Spoken::Grpc;
    let wishes = std::mem::take(&mut outbound.wishes);
    let policy = wishes.retry(course).filter(|policy| 0 < policy.attempts);
    let timeout_ms = wishes.timeout_ms(course);
    let deadline = Deadline::of(timeout_ms, grpc, &outbound.headers, exchange);
    let mut retrying = Retrying { done: 0, tried: Vec::new(), slot: None };
    loop {
        let backend = match course.toward {
            Some(address) => upstream.toward(address, worker.shared.workers),
            None => upstream.choose(&worker.draws, &retrying.tried, course.hash),
        };
        let Some(backend) = backend else { return Err(Box::new(Reply::no_healthy_upstream())) };
        exchange.counted[1] = Some(backend.active.enter());
        let more = policy.filter(|policy| retrying.done < policy.attempts);
        let keep = more.is_some_and(|policy| may_need_again(policy, grpc, upstream));
        let try_limit = match policy.map_or(0, |policy| policy.per_try_timeout_ms) {
            0 => None,
            ms => Some(Instant::now() + Duration::from_millis(ms)),
        };
        if outbound.introduction.is_some() {
            outbound.headers.insert(headers::ATTEMPT_COUNT, HeaderValue::from(retrying.done + 1));
            let expected_ms =
                policy.map(|policy| policy.per_try_timeout_ms).filter(|ms| *ms != 0).unwrap_or(timeout_ms);
            if expected_ms != 0 {
                outbound.headers.insert(headers::EXPECTED_TIMEOUT, HeaderValue::from(expected_ms));
            }
        }
        let ended = {
            let attempt = pin!(attempt(worker, course, &backend, &mut outbound, exchange, keep));
            within(deadline.as_ref(), try_limit, attempt).await
        };
        let (attempt, outcome) = match &ended {
            Ok((response, _)) => {
                let status = response.status().as_u16();
                (answered(response.headers(), status, grpc), Outcome::Answered(status))
            }
            Err(Failed::NoConnection(_)) => (Attempt::NotConnected, Outcome::Unreachable),
            Err(Failed::Reset { attempt, .. }) => (*attempt, Outcome::Unreachable),
            Err(Failed::TimedOut { .. }) => (Attempt::TimedOut, Outcome::TimedOut),
            Err(Failed::Overflow) => return Err(overflow()),
            Err(Failed::Unwritable) => return Err(Box::new(Reply::bad_request("invalid_host"))),
        };
        if upstream.report(&backend, outcome, || worker.shared.began.elapsed()) {
            worker.shared.counters.ejections.add_one();
        }
        let tries = retrying.done;
        let finish = |ended: Result<(Response<AnswerBody>, Lease), Failed>, exchange: &mut Exchange| match ended {
            Ok((response, lease)) => {
                Ok(Answer { response, lease, backend: backend.clone(), limit: deadline.as_ref().map(Deadline::at) })
            }
            Err(failed) if tries == 0 => Err(Box::new(failed.into_reply(exchange))),
            Err(failed) => Err(Box::new(failed.into_reply(exchange).retried())),
        };
        let time_is_up = matches!(ended, Err(Failed::TimedOut { one_try: false }));
        let by_header = |policy: &Retry| {
            let answer = ended.as_ref().ok().map(|(response, _)| response.headers());
            policy.on.contains(&RetryOn::Headers)
                && answer.is_some_and(|all| wishes.retriable_headers.iter().any(|name| all.contains_key(name)))
        };
        let again = |policy: &&Retry| !time_is_up && (retries(policy, attempt) || by_header(policy));
        let Some(policy) = policy.filter(again) else {
            return finish(ended, exchange);
        };
        let mut here = outbound.restore(exchange);
        // An answer can only be let go if the request is here to be sent again; a failure is worth waiting for it.
        if !retrying.may_go_on(policy, upstream, exchange) || (!here && ended.is_ok()) {
            return finish(ended, exchange);
        }
        retrying.done += 1;
        // With one destination, a hash leads to the same endpoint again (semantics.md §4.7).
        if !policy.any_host && (course.hash.is_none() || 1 < course.forwarding.destinations.len()) {
            retrying.tried.push(backend.clone());
        }
        let failed = match ended {
            Ok((response, lease)) => {
                if response.body().is_end_stream() {
                    lease.give_back();
                }
                None
            }
            Err(failed) => Some(failed),
        };
        let wake = Instant::now() + pause(policy, retrying.done, &worker.draws);
        sleep_until(deadline.as_ref().map_or(wake, |deadline| deadline.at().min(wake))).await;
        here = here || outbound.restore(exchange);
        if let Some(failed) = failed.filter(|_| !here) {
            return Err(Box::new(failed.into_reply(exchange)));
        }
        worker.shared.counters.upstream_retries.add_one();
    }
}

/// What an answer is to a policy of retries.
fn answered(headers: &HeaderMap, status: u16, grpc: bool) -> Attempt {
    if headers.contains_key(headers::OVERLOADED) {
        return Attempt::Overloaded;
    }
    if headers.contains_key(headers::RATE_LIMITED) {
        return Attempt::RateLimited;
    }
    let grpc_status = if grpc { grpc_status(headers).map(u32::from) } else { None };
    Attempt::Answered { status, grpc_status }
}

/// What is known between the tries of one request.
struct Retrying {
    done: u32,
    tried: Vec<Arc<Backend>>,
    /// Counted among the cluster's retries from the first one on.
    slot: Option<Admission>,
}

impl Retrying {
    /// Whether there may be another try: not if all are used up, or if too many of the cluster's are under way.
    fn may_go_on(&mut self, policy: &Retry, upstream: &Upstream, exchange: &mut Exchange) -> bool {
        if policy.attempts <= self.done {
            exchange.flag(Flags::RETRY_LIMIT);
            return false;
        }
        if self.slot.is_none() {
            self.slot = upstream.usage.retries.admit(upstream.retries_max());
        }
        if self.slot.is_none() {
            exchange.flag(Flags::OVERFLOW);
        }
        self.slot.is_some()
    }
}

/// Whether the other end closed the connection before it answered: as it may with one that was idle, while the request
/// was on its way.
fn was_given_up(failure: &Failure) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let closed = |error: &std::io::Error| {
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
    };
    if let Failure::Http1(error) = failure
        && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
    {
        return true;
    }
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        let of_connection = cause
            .downcast_ref::<h2::Error>()
            .is_some_and(|error| (error.is_go_away() && error.is_remote()) || error.get_io().is_some_and(closed));
        if of_connection || cause.downcast_ref::<std::io::Error>().is_some_and(closed) {
            return true;
        }
        source = cause.source();
    }
    false
}

impl Outbound<'_> {
    /// Whether nothing changes if it is sent twice, whatever the rule says (RFC 9110 §9.2.2), and it is here to be sent.
    fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() && matches!(self.body, Upload::Empty)
    }

    /// Puts the body back that a try has sent. False if it is not there to be sent again.
    fn restore(&mut self, exchange: &Exchange) -> bool {
        let (Upload::Empty, Some(upload)) = (&self.body, &exchange.upload) else { return true };
        let again = upload.again();
        let here = again.is_some();
        self.body = again.unwrap_or(Upload::Empty);
        here
    }
}

/// One try: a connection, the request over it, the head of the answer.
async fn attempt(
    worker: &Worker,
    course: &Course<'_>,
    backend: &Arc<Backend>,
    outbound: &mut Outbound<'_>,
    exchange: &mut Exchange,
    keep: bool,
) -> Result<(Response<AnswerBody>, Lease), Failed> {
    let upstream = course.upstream;
    let http2 = !outbound.upgrades && upstream.speaks_http2().unwrap_or(outbound.from_http2);
    for _ in 0..STALE_MAX {
        note_heading(exchange, upstream, Some(backend));
        let mut lease = lease(worker, upstream, backend, http2).await.map_err(|none| match none {
            NoConnection::Overflow => Failed::Overflow,
            NoConnection::Failed(why) => Failed::NoConnection(why),
        })?;
        note_connection(exchange, backend, &lease, worker);
        let repeatable = lease.reused && outbound.is_repeatable();
        let request = write(course, backend, outbound, http2, keep || repeatable).ok_or(Failed::Unwritable)?;
        match lease.send(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(unanswered) => {
                let Some(unsent) = unanswered.unsent else {
                    if repeatable && was_given_up(&unanswered.failure) {
                        continue;
                    }
                    return Err(Failed::of(&unanswered.failure));
                };
                let (head, body) = unsent.into_parts();
                (outbound.headers, outbound.body) = (head.headers, body);
            }
        }
    }
    Err(Failed::Reset { attempt: Attempt::ResetBeforeRequest, stream_only: false })
}

/// The request in the form that the endpoint is sent. The headers stay here too if another try may need them.
fn write(
    course: &Course<'_>,
    backend: &Backend,
    outbound: &mut Outbound<'_>,
    http2: bool,
    keep: bool,
) -> Option<Request<Upload>> {
    let mut headers = if keep { outbound.headers.clone() } else { std::mem::take(&mut outbound.headers) };
    let (path, host, upstream) = (course.path.clone(), course.host.as_str(), course.upstream);
    let uri = if http2 {
        let scheme = if backend.secure || upstream.is_outside() { Scheme::HTTPS } else { Scheme::HTTP };
        headers::write_http2_target(&mut headers, path, host, scheme)
    } else {
        headers::write_http1_target(&mut headers, path, host)
    };
    if let Some(introduction) = outbound.introduction.filter(|_| backend.secure) {
        introduction.write(&mut headers);
    }
    // As Envoy does; some servers refuse such a request without a length.
    if !http2
        && matches!(outbound.body, Upload::Empty)
        && !matches!(outbound.method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE)
    {
        headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
    }
    let mut request = Request::new(std::mem::replace(&mut outbound.body, Upload::Empty));
    *request.method_mut() = outbound.method.clone();
    *request.uri_mut() = uri.ok()?;
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    Some(request)
}

/// Where it is headed, whether or not it gets there.
fn note_heading(exchange: &mut Exchange, upstream: &Upstream, backend: Option<&Backend>) {
    if let Some(line) = &mut exchange.record.line {
        line.upstream = Some(UpstreamLine {
            cluster: upstream.name.clone(),
            address: backend.map(Backend::first),
            local: None,
            service_time_ms: None,
        });
    }
}

/// Over which connection it goes.
fn note_connection(exchange: &mut Exchange, backend: &Backend, lease: &Lease, worker: &Worker) {
    let record = &mut exchange.record;
    if record.key.reporter == Reporter::Source {
        record.key.destination = Party { workload: backend.workload(), principal: lease.about.principal };
        record.key.source.principal = if backend.secure { worker.shared.principal } else { NameId::UNKNOWN };
    }
    if let Some(upstream) = record.line.as_mut().and_then(|line| line.upstream.as_mut()) {
        (upstream.address, upstream.local) = (Some(lease.about.peer), lease.about.local);
    }
}

/// Who answered, as it says itself; only over the mesh's mTLS is it believed.
pub(crate) fn note_answer(exchange: &mut Exchange, answer: &mut HeaderMap, backend: &Backend, worker: &Worker) {
    let (_, metadata) = peer::take(answer);
    if let Some(metadata) = metadata.filter(|_| backend.secure) {
        exchange.record.key.destination.workload = backend.met.recognize(&metadata, &worker.shared.labels);
    }
    let took_ms = u64::try_from(exchange.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer.insert(headers::SERVICE_TIME, HeaderValue::from(took_ms));
    if let Some(upstream) = exchange.record.line.as_mut().and_then(|line| line.upstream.as_mut()) {
        upstream.service_time_ms = Some(took_ms);
    }
}

impl From<Over> for Failed {
    fn from(over: Over) -> Failed {
        Failed::TimedOut { one_try: over == Over::Try }
    }
}

impl Failed {
    /// A request of which something was sent, and to which nothing came back.
    fn of(failure: &Failure) -> Failed {
        let mut source = std::error::Error::source(failure);
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<h2::Error>() {
                // An endpoint that says goodbye says which streams it has not looked at (RFC 9113 §6.8): the connection goes
                // on for the others, so that they end otherwise.
                let not_taken = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
                let refused = not_taken || error.reason() == Some(Reason::REFUSED_STREAM);
                let attempt = if refused { Attempt::Refused } else { Attempt::Reset };
                return Failed::Reset { attempt, stream_only: error.is_reset() && error.is_remote() };
            }
            source = cause.source();
        }
        Failed::Reset { attempt: Attempt::Reset, stream_only: false }
    }

    /// What the client is told.
    fn into_reply(self, exchange: &mut Exchange) -> Reply {
        match self {
            Failed::NoConnection(why) => {
                if let Some(line) = &mut exchange.record.line {
                    line.transport_failure = Some(why);
                }
                Reply::connect_failure()
            }
            Failed::Reset { stream_only, .. } => Reply::reset(stream_only),
            Failed::TimedOut { one_try } => Reply::timeout(one_try),
            Failed::Overflow => Reply::overflow(),
            Failed::Unwritable => Reply::bad_request("invalid_host"),
        }
    }
}

/// Whether the headers may be needed after they were sent. A connection that fails before that gives them back, so that
/// the policy that most rules have costs nothing over HTTP/1.
fn may_need_again(policy: &Retry, grpc: bool, upstream: &Upstream) -> bool {
    policy.on.iter().any(|on| match on {
        RetryOn::ConnectFailure | RetryOn::ResetBeforeRequest | RetryOn::Http3PostConnectFailure => false,
        RetryOn::RefusedStream => upstream.speaks_http2() != Some(false),
        RetryOn::StatusCodes => !policy.statuses.is_empty(),
        RetryOn::Cancelled
        | RetryOn::DeadlineExceeded
        | RetryOn::Internal
        | RetryOn::ResourceExhausted
        | RetryOn::Unavailable => grpc,
        RetryOn::ServerError
        | RetryOn::GatewayError
        | RetryOn::Reset
        | RetryOn::Retriable4xx
        | RetryOn::Headers
        | RetryOn::RateLimited => true,
    })
}

/// The pause before the retry of this number, from 1: drawn from zero to a bound that doubles each time (Envoy's fully
/// jittered exponential back-off).
fn pause(policy: &Retry, number: u32, draws: &Draws) -> Duration {
    let base = if policy.backoff_ms == 0 { PAUSE_BASE } else { Duration::from_millis(policy.backoff_ms) };
    let growth = 1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX).min(PAUSE_GROWTH_MAX);
    let bound = base.saturating_mul(growth);
    let bound_us = usize::try_from(bound.as_micros()).unwrap_or(usize::MAX).max(1);
    Duration::from_micros(draws.below(bound_us) as u64)
}

#[cfg(test)]
mod tests {
    use taut_snapshot::decide::default_retry;

    use super::*;

    #[test]
    fn pauses_double_up_to_ten_times_their_base() {
        let draws = Draws::new(3);
        for (base, number, most) in
            [(0, 1, 25), (0, 2, 50), (0, 3, 100), (0, 4, 200), (0, 5, 250), (0, 40, 250), (10, 2, 20)]
        {
            let policy = Retry { backoff_ms: base, ..default_retry() };
            let pauses: Vec<Duration> = (0..500).map(|_| pause(&policy, number, &draws)).collect();
            let most = Duration::from_millis(most);
            assert!(pauses.iter().all(|pause| *pause < most), "retry {number} of base {base}");
            assert!(pauses.iter().any(|pause| most * 8 / 10 < *pause), "the whole range is drawn from");
        }
    }
}
