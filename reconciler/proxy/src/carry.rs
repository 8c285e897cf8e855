//! Connections that carry something else than HTTP, once it is known where they go.
//!
//! Owns: connecting, how long one may be idle or last, and what is counted and written down of it.
//! May not: decide where it goes; `heading` asks. It holds no world, which it may outlive.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use taut_snapshot::Digest;
use taut_snapshot::object::HashKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use crate::accept::sniff::Rewound;
use crate::config::Role;
use crate::connect::{Connected, Language, connect};
use crate::downstream::Connection;
use crate::heading::Heading;
use crate::limits::Admission;
use crate::outlier::Outcome;
use crate::stream::Stream;
use crate::telemetry::log::{Entry, tell};
use crate::telemetry::metrics::{Party, Reporter, Security, SeriesKey, Spoken};
use crate::telemetry::names::NameId;
use crate::telemetry::record::{Details, Flags, Line, Provenance, Record, UpstreamLine};
use crate::upstream::Backend;
use crate::world::World;

/// What is kept of a connection that carries bytes.
pub(crate) struct Carrying {
    record: Record,
    began: Instant,
    /// Where it goes; nowhere if it is ended at once.
    pub(crate) heading: Option<Heading>,
}

impl Carrying {
    /// Nothing was sent yet.
    pub(crate) fn new(
        connection: &Connection,
        world: &World,
        rule: Option<(Digest, usize)>,
        service: NameId,
    ) -> Carrying {
        let logged = connection.worker.shared.log.is_some() || world.logs(connection.role).is_some();
        let line = logged.then(|| Box::new(line(connection, world, rule)));
        let key = key(connection, world, service);
        Carrying { record: Record { key, line, ..Record::default() }, began: Instant::now(), heading: None }
    }

    /// A policy keeps it out.
    pub(crate) fn denied(&mut self, details: Details) {
        if let Some(line) = &mut self.record.line {
            line.termination = details;
        }
    }

    /// It ends for this reason.
    pub(crate) fn nowhere(&mut self, flags: Flags, cluster: Option<Arc<str>>) {
        self.flag(flags);
        if let (Some(line), Some(cluster)) = (&mut self.record.line, cluster) {
            line.upstream = Some(UpstreamLine { cluster, address: None, local: None, service_time_ms: None });
        }
    }

    fn flag(&mut self, flags: Flags) {
        self.record.key.flags = self.record.key.flags.with(flags);
    }

    /// Counts a connection of which no byte was carried.
    pub(crate) fn ended_at_once(self, connection: &Connection) {
        connection.worker.series.tcp_opened(&self.record.key);
        self.ended(connection, 0);
    }

    fn ended(mut self, connection: &Connection, received: u64) {
        let worker = &connection.worker;
        worker.series.tcp_closed(&self.record.key, self.record.bytes_sent, received);
        let (record, took) = (std::mem::take(&mut self.record), self.began.elapsed());
        tell(&worker.shared, Entry { record, took, bytes_received: received });
    }
}

/// Carries bytes both ways until both sides have ended; each side is told when the other has.
pub(crate) async fn carry(stream: Rewound<Stream>, connection: Connection, mut carrying: Carrying) {
    let Some(heading) = carrying.heading.take() else { return carrying.ended_at_once(&connection) };
    let upstream = &heading.upstream;
    let (worker, shared) = (&connection.worker, &connection.worker.shared);
    let Some(Reached { connected, backend, _counted }) = reach(&connection, &heading, &mut carrying).await else {
        return carrying.ended_at_once(&connection);
    };
    let key = &mut carrying.record.key;
    if key.reporter == Reporter::Source {
        key.destination = Party { workload: backend.workload(), principal: connected.about.principal };
        key.source.principal = if backend.secure { shared.principal } else { NameId::UNKNOWN };
    }
    worker.series.tcp_opened(key);
    let clock = Arc::new(Clock { began: Instant::now(), last_ms: AtomicU64::new(0) });
    let mut below = Watched { stream, clock: clock.clone(), bytes: 0 };
    let mut above = Watched { stream: connected.stream, clock: clock.clone(), bytes: 0 };
    let limit = |ms: u64| Some(ms).filter(|ms| *ms != 0).map(Duration::from_millis);
    let idle_max = limit(upstream.cluster.idle_timeout_ms);
    let life_max = limit(upstream.cluster.wire.as_ref().map_or(0, |wire| wire.life_ms));
    let copy = async {
        tokio::select! {
            _ = copy_bidirectional(&mut below, &mut above) => Flags::NONE,
            () = clock.idle_for(idle_max) => Flags::IDLE,
            () = lasts(life_max) => Flags::NONE,
        }
    };
    let flags = shared.drains.of(connection.role).run(copy).await.unwrap_or(Flags::NONE);
    // The key stays as it was when it was opened, so that what was opened and what was closed are of one series.
    if let Some(line) = carrying.record.line.as_mut().filter(|_| flags == Flags::IDLE) {
        line.termination = Details::Word("tcp_session_idle_timeout");
    }
    carrying.record.bytes_sent = above.bytes;
    carrying.ended(&connection, below.bytes);
}

/// Ends after the longest that a connection may last; never if there is no limit.
async fn lasts(most: Option<Duration>) {
    match most {
        Some(most) => tokio::time::sleep(most).await,
        None => std::future::pending().await,
    }
}

/// An endpoint that a connection has got to.
struct Reached {
    connected: Connected,
    backend: Arc<Backend>,
    /// What it is counted in for as long as it lasts.
    _counted: [Admission; 2],
}

/// Connects; if that fails, what is kept of the connection says why.
async fn reach(connection: &Connection, heading: &Heading, carrying: &mut Carrying) -> Option<Reached> {
    let Heading { upstream, toward, sealed, .. } = heading;
    let (worker, shared) = (&connection.worker, &connection.worker.shared);
    if let Some(line) = &mut carrying.record.line {
        let cluster = upstream.name.clone();
        line.upstream = Some(UpstreamLine { cluster, address: None, local: None, service_time_ms: None });
    }
    let Some(open) = upstream.usage.connections.admit(upstream.cluster.limits.connections) else {
        shared.counters.upstream_overflows.add_one();
        carrying.flag(Flags::OVERFLOW);
        return None;
    };
    // Of bytes nothing but the client's address can be hashed (semantics.md §4.7).
    let by_address = upstream.hash_key().filter(|key| matches!(key, HashKey::SourceIp));
    let hash = by_address.map(|_| taut_snapshot::decide::hash(connection.remote.ip().to_string().as_bytes(), 0));
    let backend = match toward {
        Some(address) => upstream.toward(*address, shared.workers),
        // Whoever does not speak the mesh's TLS could do nothing with it.
        None if *sealed => upstream.choose_secure(&worker.draws, hash),
        None => upstream.choose(&worker.draws, &[], hash),
    };
    let Some(backend) = backend else {
        carrying.flag(Flags::NO_HEALTHY);
        return None;
    };
    let active = backend.active.enter();
    let language = if *sealed { Language::Sealed } else { Language::Bytes };
    let connected = connect(upstream, &backend, language, &shared.labels).await;
    // To an endpoint whose answers are not looked at, being there is all that counts.
    let outcome = if connected.is_ok() { Outcome::Answered(200) } else { Outcome::Unreachable };
    if upstream.report(&backend, outcome, || shared.began.elapsed()) {
        shared.counters.ejections.add_one();
    }
    let line = carrying.record.line.as_mut();
    match connected {
        Ok(connected) => {
            shared.counters.upstream_connections.add_one();
            if let Some(upstream) = line.and_then(|line| line.upstream.as_mut()) {
                (upstream.address, upstream.local) = (Some(connected.about.peer), connected.about.local);
            }
            Some(Reached { connected, backend, _counted: [open, active] })
        }
        Err(error) => {
            shared.counters.upstream_connect_failures.add_one();
            if let Some(line) = line {
                line.transport_failure = Some(error.to_string());
                line.upstream.iter_mut().for_each(|upstream| upstream.address = Some(backend.first()));
            }
            // One try was all there was (Envoy's `max_connect_attempts`).
            carrying.flag(Flags::CONNECT_FAILURE.with(Flags::RETRY_LIMIT));
            None
        }
    }
}

fn line(connection: &Connection, world: &World, rule: Option<(Digest, usize)>) -> Line {
    Line {
        start: SystemTime::now(),
        method: None,
        path: "".into(),
        version: None,
        authority: "".into(),
        forwarded_for: None,
        user_agent: None,
        request_id: None,
        local: connection.dialled.unwrap_or(connection.local),
        remote: connection.remote,
        server_name: connection.server_name().cloned(),
        route: "".into(),
        upstream: None,
        termination: Details::None,
        transport_failure: None,
        kept: world.logs(connection.role).map(|logs| logs.keep(&http::HeaderMap::new())),
        provenance: Provenance { snapshot: Some(world.snapshot), rule },
    }
}

fn key(connection: &Connection, world: &World, service: NameId) -> SeriesKey {
    let shared = &connection.worker.shared;
    let own = Party { workload: world.workload, ..Party::default() };
    let key = SeriesKey { protocol: Spoken::Tcp, service, ..SeriesKey::default() };
    match (connection.role, connection.peer()) {
        (Role::Inbound { .. }, peer) => SeriesKey {
            reporter: Reporter::Destination,
            source: Party { principal: peer.map(|peer| peer.principal).unwrap_or_default(), ..Party::default() },
            destination: Party { principal: peer.map(|_| shared.principal).unwrap_or_default(), ..own },
            security: if peer.is_some() { Security::MutualTls } else { Security::None },
            ..key
        },
        _ => SeriesKey { reporter: Reporter::Source, source: own, ..key },
    }
}

/// When something last came, from either side.
struct Clock {
    began: Instant,
    last_ms: AtomicU64,
}

impl Clock {
    fn tick(&self) {
        self.last_ms.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until nothing has come for this long; for ever if there is no limit.
    async fn idle_for(&self, most: Option<Duration>) {
        let Some(most) = most else { return std::future::pending().await };
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            match (last + most).checked_sub(self.began.elapsed()) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }
}

/// One side of a connection, with what came from it.
struct Watched<S> {
    stream: S,
    clock: Arc<Clock>,
    bytes: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if 0 < read {
            self.bytes += read as u64;
            self.clock.tick();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
