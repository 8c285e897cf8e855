//! The server's side of a connection: HTTP from whoever connected.
//!
//! Owns: what is known of a connection, and the limits of what a client may do with it.
//! May not: decide anything of a request; `request` does.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use taut_snapshot::Text;

use crate::accept::sniff::Rewound;
use crate::config::{Patience, Role};
use crate::gather::{Gathered, Turns};
use crate::pace::{Pace, Paced};
use crate::request::serve;
use crate::stream::Stream;
use crate::telemetry::names::NameId;
use crate::telemetry::peer::Acquaintance;
use crate::worker::Worker;

/// The longest head of a request, as Envoy has it.
const HEAD_BYTES_MAX: usize = 60 << 10;

/// How many requests an HTTP/2 client may have under way on one connection. Browsers and gRPC clients keep to it; more
/// connections carry more.
const STREAMS_MAX: u32 = 1_000;

/// How many streams a client may reset before it has got anything of them ('rapid reset', CVE-2023-44487). An honest client
/// cancels a few.
const RESETS_MAX: usize = 100;

/// How much of one request's body may come before it is sent on.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all bodies of one connection together.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How much of answers waits for a slow HTTP/2 client, for one stream.
const SEND_BUFFER: usize = 256 << 10;

/// A connection from below.
pub(crate) struct Connection {
    pub(crate) worker: Arc<Worker>,
    pub(crate) role: Role,
    /// The other end.
    pub(crate) remote: SocketAddr,
    /// This end.
    pub(crate) local: SocketAddr,
    /// The address that the client asked for, if that is known and not this end.
    pub(crate) dialled: Option<SocketAddr>,
    pub(crate) tls: Option<Tls>,
    pub(crate) http2: bool,
    pub(crate) pace: Arc<Pace>,
    /// Who the client is, as it says itself.
    pub(crate) met: Acquaintance,
}

/// What TLS tells of a client.
pub(crate) struct Tls {
    /// The name that it asked for.
    pub(crate) server_name: Option<Arc<str>>,
    /// Who it proved to be; none where no certificate is asked for.
    pub(crate) peer: Option<PeerIdentity>,
    /// The certificate that it showed a gateway, as services are told; it says nothing to the mesh.
    pub(crate) shown: Option<HeaderValue>,
}

/// A client that proved who it is.
pub(crate) struct PeerIdentity {
    /// Its SPIFFE id.
    pub(crate) id: Text,
    /// The same, as labels name it.
    pub(crate) principal: NameId,
    /// The same, as the application is told.
    pub(crate) forwarded: HeaderValue,
}

impl Connection {
    /// Who the client proved to be.
    pub(crate) fn peer(&self) -> Option<&PeerIdentity> {
        self.tls.as_ref().and_then(|tls| tls.peer.as_ref())
    }

    /// The server name that the client asked for.
    pub(crate) fn server_name(&self) -> Option<&Arc<str>> {
        self.tls.as_ref().and_then(|tls| tls.server_name.as_ref())
    }

    /// The scheme of its requests.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Serves the requests of a connection until it ends.
pub(crate) async fn serve_http(stream: Rewound<Stream>, connection: Connection) {
    let connection = Arc::new(connection);
    let shared = connection.worker.shared.clone();
    let Patience { head, idle } = shared.patience;
    let head_max = Some(head).filter(|_| !connection.http2);
    let io = Paced::new(stream, connection.pace.clone(), head_max, idle);
    // In HTTP/2 as well: a client's first request may be behind its answer to the frame that says goodbye, and is then lost.
    let new = || connection.pace.is_new();
    let ended = if connection.http2 {
        let io = Gathered::new(io);
        let turns = io.turns();
        // In a box of its own, since it becomes a part of a task, which is moved.
        let service = service_fn(|request| Box::pin(serve(connection.clone(), request)));
        let http = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(RESETS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .serve_connection(TokioIo::new(io), service);
        let http = Turns::new(http, turns);
        let enter = shared.drains.of(connection.role).enter();
        enter.run(http, new, |mut http| Pin::new(&mut http.connection).graceful_shutdown()).await
    } else {
        let service = service_fn(|request| serve(connection.clone(), request));
        let http = http1::Builder::new()
            .header_read_timeout(None) // `pace` does this without a timer for every request
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        shared.drains.of(connection.role).enter().run(http, new, |http| http.graceful_shutdown()).await
    };
    if let Some(Err(error)) = ended {
        match misbehaviour(&error) {
            Some(Misbehaviour::Slow) => shared.counters.slow_clients.add_one(),
            Some(Misbehaviour::Flood) => shared.counters.flooding_clients.add_one(),
            Some(Misbehaviour::Broken) => shared.counters.broken_clients.add_one(),
            None => {}
        }
        tracing::debug!(remote = %connection.remote, %error, "a connection ended");
    }
}

/// What a client did wrong, for which its connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misbehaviour {
    Slow,
    Flood,
    Broken,
}

/// None if it only went away.
fn misbehaviour(error: &hyper::Error) -> Option<Misbehaviour> {
    if error.is_parse() {
        return Some(Misbehaviour::Broken);
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return Some(Misbehaviour::Slow);
        }
        if let Some(error) = cause.downcast_ref::<h2::Error>().filter(|error| !error.is_remote() && !error.is_io()) {
            return match error.reason() {
                None | Some(h2::Reason::NO_ERROR) => None,
                Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Misbehaviour::Flood),
                Some(_) => Some(Misbehaviour::Broken),
            };
        }
        source = cause.source();
    }
    None
}
