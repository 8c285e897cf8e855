//! Connections to one endpoint that are kept for the next request.
//!
//! Owns: idle HTTP/1.1 connections, shared HTTP/2 connections, and waiting for one where their number is limited.
//! May not: lock while there is a connection to be had. Each worker has a shelf of its own, so that no two meet.
//! Invariant: the gauges count a connection from before it is made until it is closed.

pub(crate) mod answer;
mod http2;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use http::{Request, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use taut_snapshot::object::Cluster;
use tokio::sync::Notify;

use crate::connect::{About, Language, connect};
use crate::forward::upload::Upload;
use crate::limits::{Admission, Gauge};
use crate::upstream::{Backend, Upstream};
use crate::worker::Worker;
use answer::{AnswerBody, Failure};
pub(crate) use http2::Unanswered;

/// The most requests that are under way on one HTTP/2 connection: what every endpoint should take (RFC 9113 §6.5.2), so
/// that none waits behind others while a further connection could carry it.
const STREAMS_MAX: u32 = 100;

/// The longest head of an answer, as Envoy has it.
const HEAD_BYTES_MAX: u32 = 60 << 10;

/// The connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    shelves: Box<[Shelf]>,
    /// Open connections.
    pub(crate) connections: Arc<Gauge>,
    /// A connection was given back.
    returned: Notify,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: SegQueue<Idle>,
    shared: ArcSwap<Vec<Arc<Shared>>>,
    /// Held while an HTTP/2 connection is made, so that requests which come meanwhile share it.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Upload>,
    since: Instant,
    made: Instant,
    uses: u32,
    about: About,
}

#[derive(Debug)]
struct Shared {
    sender: http2::Sender,
    streams: Arc<Gauge>,
    /// Requests that it has carried.
    uses: AtomicU32,
    /// When the last one came, in milliseconds after `made`.
    used_ms: AtomicU32,
    made: Instant,
    about: About,
}

/// The use of a connection for one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) about: About,
    /// Whether it has carried a request before: only then can the other end have given it up meanwhile.
    pub(crate) reused: bool,
    backend: Arc<Backend>,
    shelf: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Http1 { sender: http1::SendRequest<Upload>, uses: u32, uses_max: u32, made: Instant },
    Http2 { sender: http2::Sender, _stream: Stream },
}

/// One stream of a shared connection. Its end may be what another request waits for.
#[derive(Debug)]
struct Stream {
    backend: Arc<Backend>,
    counted: Option<Admission>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.counted = None;
        self.backend.pool.returned.notify_one();
    }
}

/// Why there is no connection for a request.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// As many wait for one as may.
    Overflow,
    /// None could be made.
    Failed(String),
}

/// Tells whoever waits that one more connection may be made, once this one is closed.
struct Open {
    freed: Arc<Notify>,
    counted: Option<[Admission; 2]>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counted = None;
        self.freed.notify_one();
    }
}

impl Pool {
    /// A pool for as many threads as there are shelves.
    pub(crate) fn new(shelves: usize) -> Pool {
        Pool {
            shelves: (0..shelves.max(1)).map(|_| Shelf::default()).collect(),
            connections: Arc::default(),
            returned: Notify::new(),
        }
    }

    /// Closes connections that were idle for this long, and forgets those that the other end closed.
    pub(crate) fn close_idle(&self, idle_max: Duration) {
        for shelf in &self.shelves {
            for _ in 0..shelf.idle.len() {
                let Some(idle) = shelf.idle.pop() else { break };
                if !idle.sender.is_closed() && idle.since.elapsed() < idle_max {
                    shelf.idle.push(idle);
                }
            }
            let stale = |shared: &Arc<Shared>| {
                shared.sender.is_closed() || (shared.streams.value() == 0 && idle_max <= shared.idle_for())
            };
            if shelf.shared.load().iter().any(stale) {
                shelf.shared.rcu(|all| all.iter().filter(|shared| !stale(shared)).cloned().collect::<Vec<_>>());
            }
        }
    }
}

/// What holds for each connection of a cluster.
#[derive(Clone, Copy)]
struct Terms {
    /// Requests; 0 means no limit.
    uses_max: u32,
    /// Streams at a time.
    streams_max: u32,
    life: Option<Duration>,
}

impl Terms {
    fn of(cluster: &Cluster) -> Terms {
        let wire = cluster.wire.as_ref();
        let streams = wire.map_or(0, |wire| wire.streams);
        Terms {
            uses_max: cluster.limits.requests_per_connection,
            streams_max: if streams == 0 { STREAMS_MAX } else { streams.min(STREAMS_MAX) },
            life: wire.map(|wire| wire.life_ms).filter(|ms| *ms != 0).map(Duration::from_millis),
        }
    }

    /// Whether a connection takes no more requests because of its age.
    fn outlived(&self, made: Instant) -> bool {
        self.life.is_some_and(|life| life <= made.elapsed())
    }
}

impl Shared {
    fn idle_for(&self) -> Duration {
        let used = Duration::from_millis(u64::from(self.used_ms.load(Ordering::Relaxed)));
        self.made.elapsed().saturating_sub(used)
    }

    /// Whether it takes no more requests.
    fn is_spent(&self, terms: Terms) -> bool {
        let uses = self.uses.load(Ordering::Relaxed);
        self.sender.is_closed() || (terms.uses_max != 0 && terms.uses_max <= uses) || terms.outlived(self.made)
    }

    /// One more stream on it, if it takes more.
    fn stream(&self, terms: Terms) -> Option<Admission> {
        if self.is_spent(terms) {
            return None;
        }
        let stream = self.streams.admit(terms.streams_max)?;
        self.uses.fetch_add(1, Ordering::Relaxed);
        let ms = u32::try_from(self.made.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.used_ms.store(ms, Ordering::Relaxed);
        Some(stream)
    }
}

/// A connection for one request: one that is there, or a new one, within the cluster's limits.
///
/// # Errors
/// If too many wait for one, or none can be made.
pub(crate) async fn lease(
    worker: &Worker,
    upstream: &Upstream,
    backend: &Arc<Backend>,
    http2: bool,
) -> Result<Lease, NoConnection> {
    let shelf = if upstream.shares_connections() { 0 } else { worker.index % backend.pool.shelves.len() };
    match backend.take(upstream, shelf, http2) {
        Some(lease) => Ok(lease),
        // Kept apart: every request would carry the room for a handshake.
        None => Box::pin(wait(worker, upstream, backend, http2, shelf)).await,
    }
}

/// A connection that is given back meanwhile, or a new one.
async fn wait(
    worker: &Worker,
    upstream: &Upstream,
    backend: &Arc<Backend>,
    http2: bool,
    shelf: usize,
) -> Result<Lease, NoConnection> {
    let pending = upstream.usage.pending.admit(upstream.cluster.limits.pending);
    let _pending = pending.ok_or(NoConnection::Overflow)?;
    let _making = if http2 { Some(backend.pool.shelves[shelf].making.lock().await) } else { None };
    loop {
        let returned = backend.pool.returned.notified();
        let freed = upstream.freed.notified();
        if let Some(lease) = backend.take(upstream, shelf, http2) {
            return Ok(lease);
        }
        if let Some(open) = admit(upstream, backend) {
            return backend.make(worker, upstream, shelf, http2, open).await;
        }
        tokio::select! {
            () = returned => {}
            () = freed => {}
        }
    }
}

/// Leave to make one more connection. An endpoint that has none may always have one, as with Envoy: otherwise requests
/// for it would wait for connections to others.
fn admit(upstream: &Upstream, backend: &Backend) -> Option<Open> {
    let all = &upstream.usage.connections;
    let counted = match all.admit(upstream.cluster.limits.connections) {
        Some(one) => one,
        None if backend.pool.connections.value() == 0 => all.enter(),
        None => return None,
    };
    Some(Open { freed: upstream.freed.clone(), counted: Some([counted, backend.pool.connections.enter()]) })
}

impl Backend {
    /// A connection that is there.
    fn take(self: &Arc<Backend>, upstream: &Upstream, shelf: usize, http2: bool) -> Option<Lease> {
        let terms = Terms::of(&upstream.cluster);
        let shelves = &self.pool.shelves[shelf];
        if http2 {
            let shared = shelves.shared.load();
            return shared.iter().find_map(|shared| Some(self.share(shared, shelf, shared.stream(terms)?, true)));
        }
        while let Some(Idle { sender, uses, about, made, .. }) = shelves.idle.pop() {
            if !sender.is_closed() && !terms.outlived(made) {
                let kind = Kind::Http1 { sender, uses: uses + 1, uses_max: terms.uses_max, made };
                return Some(Lease { about, reused: true, backend: self.clone(), shelf, kind });
            }
        }
        None
    }

    fn share(self: &Arc<Backend>, shared: &Shared, shelf: usize, stream: Admission, reused: bool) -> Lease {
        let stream = Stream { backend: self.clone(), counted: Some(stream) };
        let kind = Kind::Http2 { sender: shared.sender.clone(), _stream: stream };
        Lease { about: shared.about, reused, backend: self.clone(), shelf, kind }
    }

    /// A new connection.
    async fn make(
        self: &Arc<Backend>,
        worker: &Worker,
        upstream: &Upstream,
        shelf: usize,
        http2: bool,
        open: Open,
    ) -> Result<Lease, NoConnection> {
        let counters = &worker.shared.counters;
        let failed = |why: String| {
            counters.upstream_connect_failures.add_one();
            NoConnection::Failed(why)
        };
        let language = if http2 { Language::Http2 } else { Language::Http1 };
        let connected = connect(upstream, self, language, &worker.shared.labels).await;
        let connected = connected.map_err(|error| failed(error.to_string()))?;
        let about = connected.about;
        let terms = Terms::of(&upstream.cluster);
        counters.upstream_connections.add_one();
        if !http2 {
            let io = TokioIo::new(connected.stream);
            let shake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX as usize).handshake(io).await;
            let (sender, connection) = shake.map_err(|error| failed(error.to_string()))?;
            tokio::spawn(async move {
                let _open = open;
                // How it ended is told to whoever had a request on it.
                let _ = connection.with_upgrades().await;
            });
            let kind = Kind::Http1 { sender, uses: 1, uses_max: terms.uses_max, made: Instant::now() };
            return Ok(Lease { about, reused: false, backend: self.clone(), shelf, kind });
        }
        let begun = http2::begin(connected.stream, upstream.cluster.wire.as_ref(), open).await;
        let sender = begun.map_err(|error| failed(error.to_string()))?;
        let shared = Arc::new(Shared {
            sender,
            streams: Arc::default(),
            uses: AtomicU32::new(1),
            used_ms: AtomicU32::new(0),
            made: Instant::now(),
            about,
        });
        self.pool.shelves[shelf].shared.rcu(|all| {
            let usable = all.iter().filter(|shared| !shared.is_spent(terms)).cloned();
            usable.chain([shared.clone()]).collect::<Vec<_>>()
        });
        let stream = shared.streams.enter();
        Ok(self.share(&shared, shelf, stream, false))
    }
}

impl Lease {
    /// Sends a request.
    ///
    /// # Errors
    /// With the request, if nothing of it was sent.
    pub(crate) async fn send(&mut self, request: Request<Upload>) -> Result<Response<AnswerBody>, Unanswered> {
        match &mut self.kind {
            Kind::Http1 { sender, .. } => {
                if !sender.is_ready() {
                    // The last answer's end is on its way from the connection's task. If it closes instead, sending fails
                    // and gives the request back.
                    let _ = sender.ready().await;
                }
                let answered = sender.try_send_request(request).await;
                answered.map(|answer| answer.map(AnswerBody::Http1)).map_err(|mut error| {
                    let unsent = error.take_message().map(Box::new);
                    Unanswered { failure: Failure::Http1(error.into_error()), unsent }
                })
            }
            Kind::Http2 { sender, .. } => sender.send(request).await,
        }
    }

    /// Gives the connection back after the answer was read to its end.
    pub(crate) fn give_back(self) {
        if let Kind::Http1 { sender, uses, uses_max, made } = self.kind
            && (uses_max == 0 || uses < uses_max)
            && !sender.is_closed()
        {
            let pool = &self.backend.pool;
            pool.shelves[self.shelf].idle.push(Idle { sender, since: Instant::now(), made, uses, about: self.about });
            pool.returned.notify_one();
        }
    }
}
