//! A connection from below, from its first byte to the protocol that it speaks.
//!
//! Owns: which connections a port takes (semantics.md §2.2, §9.2, §5.4), ending TLS, and who the client proved to be.
//! May not: look at a request.

pub(crate) mod sniff;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use taut_snapshot::Text;
use taut_snapshot::object::{MtlsMode, Protocol};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsStream, server};

use crate::carry::carry;
use crate::config::Role;
use crate::downstream::{Connection, PeerIdentity, Tls, serve_http};
use crate::headers::forwarded_cert;
use crate::pace::{IDLE_MAX, Pace};
use crate::stream::Stream;
use crate::telemetry::peer::Acquaintance;
use crate::worker::Worker;
use crate::world::World;
use sniff::{Rewound, Speech, sniff};

/// The most connections from below. Each takes a descriptor, and its requests another: beyond this, systems with usual
/// limits have none left, and then nobody is served.
const CONNECTIONS_MAX: u32 = 50_000;

/// How long a handshake may take, as a slow network with lost packets needs it.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection waits for the first snapshot: a proxy that restarts reads its own from disk in that time, so that
/// whoever connects meanwhile is served.
const FIRST_SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub(crate) async fn serve_connection(worker: Arc<Worker>, role: Role, stream: TcpStream, remote: SocketAddr) {
    let shared = worker.shared.clone();
    shared.counters.connections_accepted.add_one();
    let Some(_open) = shared.connections.admit(CONNECTIONS_MAX) else {
        shared.counters.connections_over_limit.add_one();
        return;
    };
    let connection = Accepted { worker, role, remote };
    if let Err(error) = connection.serve(stream).await {
        tracing::debug!(%remote, ?role, %error, "a connection was not served");
    }
}

/// A connection of which nothing is known but where it came from.
struct Accepted {
    worker: Arc<Worker>,
    role: Role,
    remote: SocketAddr,
}

impl Accepted {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let world = match self.worker.shared.world.load_full() {
            Some(world) => Some(world),
            None => self.first_world().await,
        };
        match (self.role, world) {
            (_, None) => {
                // Requests are answered with the reason; a handshake could not be.
                let (speech, stream) = self.first_bytes(stream).await?;
                self.http(stream.map(Stream::Plain), speech, local, None).await;
                Ok(())
            }
            (Role::Inbound { port, .. }, Some(world)) => self.inbound(stream, local, port, &world).await,
            (Role::Outbound { port }, Some(world)) => self.outbound(stream, local, port, &world).await,
            (Role::OutboundAny, Some(_)) => {
                let (speech, stream) = self.first_bytes(stream).await?;
                self.http(stream.map(Stream::Plain), speech, local, None).await;
                Ok(())
            }
            (Role::Gateway { port }, Some(world)) => self.gateway(stream, local, port, &world).await,
        }
    }

    /// The first world, if it comes soon.
    async fn first_world(&self) -> Option<Arc<World>> {
        let mut has_world = self.worker.shared.has_world.subscribe();
        let _ = timeout(FIRST_SNAPSHOT_WAIT, has_world.wait_for(|there| *there)).await;
        self.worker.shared.world.load_full()
    }

    /// The client's first bytes. It may take as long with them as a connection may be idle.
    async fn first_bytes<S: AsyncRead + Unpin>(&self, stream: S) -> io::Result<(Speech, Rewound<S>)> {
        tokio::select! {
            biased;
            sniffed = timeout(IDLE_MAX, sniff(stream)) => sniffed?,
            () = self.worker.shared.drains.of(self.role).late() => Err(io::Error::other("the proxy stops, and nothing has come")),
        }
    }

    /// A connection to the workload itself.
    async fn inbound(self, stream: TcpStream, local: SocketAddr, port: u16, world: &World) -> io::Result<()> {
        let (mode, protocol) = (world.mtls(port), world.inbound_protocol(port));
        let bytes = matches!(protocol, Protocol::Tcp | Protocol::Tls);
        if bytes && *mode == MtlsMode::Disable {
            // Nothing need be known of it, so that a server may speak first.
            self.bytes(Rewound::fresh(Stream::Plain(stream)), local, None, port, world).await;
            return Ok(());
        }
        let (speech, stream) = self.first_bytes(stream).await?;
        match (speech, mode) {
            (Speech::Tls, MtlsMode::Disable) => {
                self.bytes(stream.map(Stream::Plain), local, None, port, world).await;
            }
            (Speech::Tls, _) => {
                let inward = &self.worker.shared.inward;
                let config = if bytes { &inward.bytes } else { &inward.http };
                let accepted = timeout(HANDSHAKE_MAX, TlsAcceptor::from(config.clone()).accept(stream)).await;
                let stream = self.shaken(accepted)?;
                let peer = self.peer(&stream);
                let (tls, chosen) = tls(&stream, peer);
                let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
                if bytes {
                    self.bytes(Rewound::fresh(stream), local, Some(tls), port, world).await;
                    return Ok(());
                }
                let (speech, stream) = match chosen {
                    Some(speech) => (speech, Rewound::fresh(stream)),
                    None => self.first_bytes(stream).await?,
                };
                self.http_or_bytes(stream, speech, local, Some(tls), (port, protocol), world).await;
            }
            (_, MtlsMode::Strict) => {
                self.worker.shared.counters.plaintext_refused.add_one();
                return Err(io::Error::other("plaintext to a port that takes nothing but mTLS"));
            }
            _ if bytes => self.bytes(stream.map(Stream::Plain), local, None, port, world).await,
            _ => self.http_or_bytes(stream.map(Stream::Plain), speech, local, None, (port, protocol), world).await,
        }
        Ok(())
    }

    /// HTTP, or on a port of which nobody said what it speaks, whatever it turns out to be.
    async fn http_or_bytes(
        self,
        stream: Rewound<Stream>,
        speech: Speech,
        local: SocketAddr,
        tls: Option<Tls>,
        (port, protocol): (u16, &Protocol),
        world: &World,
    ) {
        if *protocol == Protocol::Auto && matches!(speech, Speech::Other | Speech::Tls) {
            self.bytes(stream, local, tls, port, world).await;
        } else {
            self.http(stream, speech, local, tls).await;
        }
    }

    /// A connection of the workload's application to somebody else.
    async fn outbound(self, stream: TcpStream, local: SocketAddr, port: u16, world: &World) -> io::Result<()> {
        let bytes_to = world.bytes_to.get(&port);
        if let Some(to) = bytes_to.filter(|to| !to.beside_http) {
            // Nothing need be known of it, so that a server may speak first.
            let connection = self.connection(local, None, false);
            carry(Rewound::fresh(Stream::Plain(stream)), connection, world, world.upstream(to.cluster)).await;
            return Ok(());
        }
        let (speech, stream) = self.first_bytes(stream).await?;
        let stream = stream.map(Stream::Plain);
        match (speech, bytes_to) {
            (Speech::Other | Speech::Tls, Some(to)) => {
                carry(stream, self.connection(local, None, false), world, world.upstream(to.cluster)).await;
            }
            _ => self.http(stream, speech, local, None).await,
        }
        Ok(())
    }

    /// A connection to a gateway.
    async fn gateway(self, stream: TcpStream, local: SocketAddr, port: u16, world: &World) -> io::Result<()> {
        if !world.ends_tls(port) {
            let (speech, stream) = self.first_bytes(stream).await?;
            self.http(stream.map(Stream::Plain), speech, local, None).await;
            return Ok(());
        }
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), Rewound::fresh(stream));
        let hello = self.shaken(timeout(HANDSHAKE_MAX, hello).await)?;
        let Some(config) = world.certificate(port, hello.client_hello().server_name()) else {
            self.worker.shared.counters.handshake_failures.add_one();
            return Err(io::Error::other("no server of the gateway has the name that the client asks for"));
        };
        let stream = self.shaken(timeout(HANDSHAKE_MAX, hello.into_stream(config.clone())).await)?;
        let (tls, chosen) = tls(&stream, None);
        let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
        let (speech, stream) = match chosen {
            Some(speech) => (speech, Rewound::fresh(stream)),
            None => self.first_bytes(stream).await?,
        };
        self.http(stream, speech, local, Some(tls)).await;
        Ok(())
    }

    /// The end of a handshake.
    fn shaken<T>(&self, ended: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
        let ended = ended.map_err(io::Error::from).and_then(|ended| ended);
        if ended.is_err() {
            self.worker.shared.counters.handshake_failures.add_one();
        }
        ended
    }

    /// Who a client proved to be.
    fn peer(&self, stream: &server::TlsStream<Rewound<TcpStream>>) -> Option<PeerIdentity> {
        let shared = &self.worker.shared;
        let peer = taut_identity::verified_peer(stream.get_ref().1)?;
        let id = Text::from(peer.id().as_str());
        let own = shared.labels.principals.value(shared.principal);
        Some(PeerIdentity {
            principal: shared.labels.principals.number(id.clone()),
            forwarded: forwarded_cert(&own, &id),
            id,
        })
    }

    fn connection(self, local: SocketAddr, tls: Option<Tls>, http2: bool) -> Connection {
        Connection {
            worker: self.worker,
            role: self.role,
            remote: self.remote,
            local,
            tls,
            http2,
            pace: Arc::new(Pace::default()),
            met: Acquaintance::default(),
        }
    }

    async fn http(self, stream: Rewound<Stream>, speech: Speech, local: SocketAddr, tls: Option<Tls>) {
        let connection = self.connection(local, tls, speech == Speech::Http2);
        serve_http(stream, connection).await;
    }

    async fn bytes(self, stream: Rewound<Stream>, local: SocketAddr, tls: Option<Tls>, port: u16, world: &World) {
        let Some(inbound) = world.inbound.get(&port) else { return };
        carry(stream, self.connection(local, tls, false), world, &inbound.upstream).await;
    }
}

/// What is known of a client after its handshake, and the protocol that was agreed on, if one was.
fn tls(stream: &server::TlsStream<Rewound<TcpStream>>, peer: Option<PeerIdentity>) -> (Tls, Option<Speech>) {
    let (_, session) = stream.get_ref();
    let chosen = match session.alpn_protocol() {
        Some(b"h2") => Some(Speech::Http2),
        Some(b"http/1.1") => Some(Speech::Http1),
        _ => None,
    };
    (Tls { server_name: session.server_name().map(Arc::from), peer }, chosen)
}
