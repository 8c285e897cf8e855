//! Connections that carry something else than HTTP.
//!
//! Owns: whether one is allowed, where it goes, and how long it may be idle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use taut_snapshot::object::HashKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use crate::accept::sniff::Rewound;
use crate::authorize::authorize;
use crate::config::Role;
use crate::connect::{Language, connect};
use crate::downstream::Connection;
use crate::outlier::Outcome;
use crate::stream::Stream;
use crate::telemetry::metrics::{Party, Reporter, Security, SeriesKey, Spoken};
use crate::telemetry::names::NameId;
use crate::telemetry::record::Flags;
use crate::upstream::Upstream;
use crate::world::World;

/// Carries bytes both ways until both sides have ended; each side is told when the other has.
pub(crate) async fn carry(stream: Rewound<Stream>, connection: Connection, world: &World, upstream: &Arc<Upstream>) {
    let worker = &connection.worker;
    let shared = &worker.shared;
    let mut key = key(&connection, world, upstream);
    let refused = |key: &SeriesKey, flags: Flags| {
        let key = SeriesKey { flags, ..*key };
        worker.series.tcp_opened(&key);
        worker.series.tcp_closed(&key, 0, 0);
    };
    if let Role::Inbound { port, .. } = connection.role
        && authorize(world, &connection, port, None).is_err()
    {
        return refused(&key, Flags::NONE);
    }
    let Some(_open) = upstream.usage.connections.admit(upstream.cluster.limits.connections) else {
        shared.counters.upstream_overflows.add_one();
        return refused(&key, Flags::OVERFLOW);
    };
    // Of bytes nothing but the client's address can be hashed (semantics.md §4.7).
    let by_address = upstream.hash_key().filter(|key| matches!(key, HashKey::SourceIp));
    let hash = by_address.map(|_| taut_snapshot::decide::hash(connection.remote.ip().to_string().as_bytes(), 0));
    let Some(backend) = upstream.choose(&worker.draws, &[], hash) else { return refused(&key, Flags::NO_HEALTHY) };
    let _active = backend.active.enter();
    let connected = connect(upstream, &backend, Language::Bytes, &shared.labels).await;
    // To an endpoint whose answers are not looked at, being there is all that counts.
    let outcome = if connected.is_ok() { Outcome::Answered(200) } else { Outcome::Unreachable };
    if upstream.report(&backend, outcome, || shared.began.elapsed()) {
        shared.counters.ejections.add_one();
    }
    let Ok(connected) = connected else {
        shared.counters.upstream_connect_failures.add_one();
        return refused(&key, Flags::CONNECT_FAILURE);
    };
    shared.counters.upstream_connections.add_one();
    if key.reporter == Reporter::Source {
        key.destination = Party { workload: backend.workload(), principal: connected.about.principal };
        key.source.principal = if backend.secure { shared.principal } else { NameId::UNKNOWN };
    }
    worker.series.tcp_opened(&key);
    let clock = Arc::new(Clock { began: Instant::now(), last_ms: AtomicU64::new(0) });
    let mut below = Watched { stream, clock: clock.clone(), bytes: 0 };
    let mut above = Watched { stream: connected.stream, clock: clock.clone(), bytes: 0 };
    let idle_max = Some(upstream.cluster.idle_timeout_ms).filter(|ms| *ms != 0).map(Duration::from_millis);
    let copy = async {
        tokio::select! {
            _ = copy_bidirectional(&mut below, &mut above) => {}
            () = clock.idle_for(idle_max) => {}
        }
    };
    shared.drains.of(connection.role).run(copy).await;
    worker.series.tcp_closed(&key, above.bytes, below.bytes);
}

fn key(connection: &Connection, world: &World, upstream: &Upstream) -> SeriesKey {
    let shared = &connection.worker.shared;
    let own = Party { workload: world.workload, ..Party::default() };
    let key = SeriesKey { protocol: Spoken::Tcp, service: upstream.service, ..SeriesKey::default() };
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
