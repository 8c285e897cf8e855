//! A connection from below, from its first byte to the protocol that it speaks.
//!
//! Owns: which connections a port takes (semantics.md §2.2, §9.2, §5.4), ending TLS, and who the client proved to be.
//! May not: look at a request.
//! Invariant: nothing of a connection holds the world that it was decided by; it may outlive many.

pub(crate) mod sniff;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use socket2::SockRef;
use taut_snapshot::Text;
use taut_snapshot::decide::Refusal;
use taut_snapshot::object::ServerTls;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream, server};

use crate::authorize::authorize;
use crate::carry::{Carrying, carry};
use crate::config::Role;
use crate::downstream::{Connection, PeerIdentity, Tls, serve_http};
use crate::heading::{Becomes, Heading, Nowhere, arriving, leaving, looks};
use crate::pace::Pace;
use crate::shown;
use crate::stream::Stream;
use crate::telemetry::peer::Acquaintance;
use crate::worker::Worker;
use crate::world::World;
use sniff::{Rewound, Seen, Speech, sniff};

/// How long a handshake may take, as a slow network with lost packets needs it.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection waits for the first snapshot: a proxy that restarts reads its own from disk in that time, so that
/// whoever connects meanwhile is served.
const FIRST_SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub(crate) async fn serve_connection(worker: Arc<Worker>, role: Role, stream: TcpStream, remote: SocketAddr) {
    let shared = worker.shared.clone();
    shared.counters.connections_accepted.add_one();
    let Some(_open) = shared.connections.admit(shared.connections_max) else {
        shared.counters.connections_over_limit.add_one();
        return;
    };
    let settled = async {
        let local = stream.local_addr()?;
        stream.set_nodelay(true)?;
        let dialled = dialled(role, &stream, local);
        let (role, local, dialled) = match (role, dialled) {
            // From here on it is a connection to the port that it was for.
            (Role::InboundCaptured, Some(asked)) => (Role::inbound(asked.port()), asked, None),
            (Role::InboundCaptured, None) => {
                worker.shared.counters.connections_for_nobody.add_one();
                return Err(io::Error::other("it came here by itself, and says nowhere where it wants to go"));
            }
            (role, dialled) => (role, local, dialled),
        };
        Accepted { worker, role, remote, local, dialled }.settle(stream).await
    };
    match settled.await {
        Ok(Settled::Http(stream, connection)) => serve_http(stream, connection).await,
        Ok(Settled::Bytes(stream, connection, carrying)) => carry(stream, connection, carrying).await,
        Err(error) => tracing::debug!(%remote, ?role, %error, "a connection was not served"),
    }
}

/// The address that the client asked for, if it is not the one that it reached.
fn dialled(role: Role, stream: &TcpStream, local: SocketAddr) -> Option<SocketAddr> {
    match role {
        Role::OutboundTo { address } => Some(address),
        Role::OutboundCaptured | Role::InboundCaptured => {
            let socket = SockRef::from(stream);
            let asked = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
            // Whoever came here by itself would be sent here again.
            asked.ok().and_then(|asked| asked.as_socket()).filter(|asked| *asked != local)
        }
        Role::Inbound { .. } | Role::Outbound { .. } | Role::OutboundAny | Role::Gateway { .. } => None,
    }
}

/// A connection of which nothing is known but where it came from.
struct Accepted {
    worker: Arc<Worker>,
    role: Role,
    remote: SocketAddr,
    local: SocketAddr,
    dialled: Option<SocketAddr>,
}

/// What a connection carries.
enum Settled {
    Http(Rewound<Stream>, Connection),
    Bytes(Rewound<Stream>, Connection, Carrying),
}

/// The first bytes of a connection, which are read again by whoever serves it.
struct Begun {
    seen: Seen,
    stream: Rewound<TcpStream>,
}

impl Accepted {
    async fn settle(self, stream: TcpStream) -> io::Result<Settled> {
        let world = match self.worker.shared.world.load_full() {
            Some(world) => Some(world),
            None => self.first_world().await,
        };
        let Some(world) = world else {
            // Requests are answered with the reason; a handshake could not be.
            let begun = self.begin(stream, true, Duration::ZERO).await?;
            return Ok(self.plain_http(begun));
        };
        match self.role {
            Role::Inbound { port, .. } => self.inbound(stream, port, &world).await,
            Role::InboundCaptured => Err(io::Error::other("a captured connection is for some port")),
            Role::Outbound { port } => self.outbound(stream, port, &world).await,
            Role::OutboundAny => {
                let begun = self.begin(stream, true, Duration::ZERO).await?;
                Ok(self.plain_http(begun))
            }
            Role::OutboundTo { .. } | Role::OutboundCaptured => self.captured(stream, &world).await,
            Role::Gateway { port } => self.gateway(stream, port, &world).await,
        }
    }

    /// The first world, if it comes soon.
    async fn first_world(&self) -> Option<Arc<World>> {
        let mut has_world = self.worker.shared.has_world.subscribe();
        let _ = timeout(FIRST_SNAPSHOT_WAIT, has_world.wait_for(|there| *there)).await;
        self.worker.shared.world.load_full()
    }

    /// The client's first bytes, if anybody needs to see them. After `wait` whatever came is taken for bytes; without such
    /// a limit, it may take as long as a connection may be idle.
    async fn begin(&self, mut stream: TcpStream, looks: bool, wait: Duration) -> io::Result<Begun> {
        if !looks {
            return Ok(Begun { seen: Seen::default(), stream: Rewound::fresh(stream) });
        }
        let mut ahead = BytesMut::with_capacity(1024);
        let sniffing = sniff(&mut stream, &mut ahead);
        let seen = match wait {
            Duration::ZERO => self.unless_late(timeout(self.worker.shared.patience.idle, sniffing)).await???,
            wait => match self.unless_late(timeout(wait, sniffing)).await? {
                Ok(seen) => seen?,
                Err(_) => Seen::default(),
            },
        };
        Ok(Begun { seen, stream: Rewound::new(ahead.freeze(), stream) })
    }

    /// The same within TLS, where a client has not said what it will speak.
    async fn begin_within(&self, mut stream: Stream) -> io::Result<(Seen, Rewound<Stream>)> {
        let mut ahead = BytesMut::with_capacity(1024);
        let seen =
            self.unless_late(timeout(self.worker.shared.patience.idle, sniff(&mut stream, &mut ahead))).await???;
        Ok((seen, Rewound::new(ahead.freeze(), stream)))
    }

    /// Waits, unless the proxy stops and nothing comes.
    async fn unless_late<T>(&self, waiting: impl Future<Output = T>) -> io::Result<T> {
        tokio::select! {
            biased;
            done = waiting => Ok(done),
            () = self.worker.shared.drains.of(self.role).late() => Err(io::Error::other("the proxy stops, and nothing has come")),
        }
    }

    /// A connection to the workload itself.
    async fn inbound(self, stream: TcpStream, port: u16, world: &Arc<World>) -> io::Result<Settled> {
        let wait = detection(world);
        let Begun { seen, stream } = self.begin(stream, world.tables.incoming_looks(port), wait).await?;
        let connection = taut_snapshot::decide::Connection {
            address: self.local.ip(),
            port,
            // What is within TLS is only seen when it has ended.
            http: seen.is_http() || seen.hello.is_some(),
            tls: seen.hello(true),
        };
        let incoming = match world.tables.incoming(&connection) {
            Ok(incoming) if !incoming.circular => incoming,
            // Whoever speaks something else to a port of HTTP is told so in HTTP.
            Err(Refusal::Protocol) => return Ok(self.plain_http(Begun { seen, stream })),
            refused => {
                let counters = &self.worker.shared.counters;
                match (refused.err(), &seen.hello) {
                    (Some(Refusal::NoFilterChain), None) => counters.plaintext_refused.add_one(),
                    _ => counters.connections_for_nobody.add_one(),
                }
                return Err(io::Error::other("the port takes no such connection"));
            }
        };
        let to = world.inbound.get(&port).map(|inbound| inbound.upstream.clone());
        let known = to.is_some();
        let heading = to.map(|upstream| Heading { upstream, toward: None, sealed: false, rule: None });
        // What no service leads to passes as it is, if it was captured: to where it was for, and never to this machine's own
        // address, where only what is to be seen by nobody else may listen.
        let heading = heading.or_else(|| {
            let upstream = world.captured.clone()?;
            Some(Heading { upstream, toward: Some(self.local), sealed: false, rule: None })
        });
        let bytes = !incoming.requests || !known;
        if !incoming.mtls {
            return match heading {
                Some(heading) if bytes => self.bytes(stream.map(Stream::Plain), None, heading, port, world),
                _ => Ok(self.plain_http(Begun { seen, stream })),
            };
        }
        let offers = seen.hello.as_ref().map_or(&[][..], |hello| &hello.offers);
        let config = self.worker.shared.inward.config(incoming.requests, offers).clone();
        let (tls, speech, stream) = self.end_tls(stream, config, true).await?;
        match heading {
            Some(heading) if bytes => self.bytes(Rewound::fresh(stream), Some(tls), heading, port, world),
            _ => self.http_within(stream, speech, tls).await,
        }
    }

    /// A connection of the workload's application, of which only the port is known that it is for.
    async fn outbound(self, stream: TcpStream, port: u16, world: &Arc<World>) -> io::Result<Settled> {
        let Some(stand_in) = world.stand_ins.get(&port) else {
            let begun = self.begin(stream, true, Duration::ZERO).await?;
            return Ok(self.plain_http(begun));
        };
        let dialled = SocketAddr::new(stand_in.address, port);
        let looked = stand_in.beside_http || looks(world, dialled);
        let Begun { seen, stream } = self.begin(stream, looked, detection(world)).await?;
        // Of a request its Host says who it is for, whatever was dialled.
        if seen.is_http() && stand_in.beside_http {
            return Ok(self.plain_http(Begun { seen, stream }));
        }
        let becomes = leaving(world, dialled, false, &seen, &self.worker.draws);
        self.leave(Begun { seen, stream }, becomes, port, world)
    }

    /// A connection of the workload's application to an address that it dialled.
    async fn captured(self, stream: TcpStream, world: &Arc<World>) -> io::Result<Settled> {
        let Some(dialled) = self.dialled else {
            self.worker.shared.counters.connections_for_nobody.add_one();
            return Err(io::Error::other("it came here by itself, and says nowhere where it wants to go"));
        };
        let Begun { seen, stream } = self.begin(stream, looks(world, dialled), detection(world)).await?;
        let becomes = leaving(world, dialled, true, &seen, &self.worker.draws);
        self.leave(Begun { seen, stream }, becomes, dialled.port(), world)
    }

    fn leave(self, begun: Begun, becomes: Becomes, port: u16, world: &Arc<World>) -> io::Result<Settled> {
        match becomes {
            Becomes::Requests => Ok(self.plain_http(begun)),
            Becomes::Bytes(heading) => {
                let tls = begun.seen.hello.map(|hello| Tls { server_name: hello.server_name, peer: None, shown: None });
                self.bytes(begun.stream.map(Stream::Plain), tls, heading, port, world)
            }
            Becomes::End(nowhere) => Err(self.end(&begun.seen, nowhere, world)),
        }
    }

    /// A connection to a gateway.
    async fn gateway(self, stream: TcpStream, port: u16, world: &Arc<World>) -> io::Result<Settled> {
        // Other than a sidecar's, a gateway's listeners of TLS and HTTP wait: nobody speaks first there.
        let Begun { seen, stream } = self.begin(stream, world.tables.arriving_looks(port), Duration::ZERO).await?;
        let Ok((server, becomes)) = arriving(world, self.local, port, &seen, &self.worker.draws) else {
            return Err(self.end(&seen, Nowhere::no_chain(), world));
        };
        if !server.ends_tls() {
            return self.leave(Begun { seen, stream }, becomes, port, world);
        }
        let offers = seen.hello.as_ref().map_or(&[][..], |hello| &hello.offers);
        let requests = matches!(becomes, Becomes::Requests);
        let config = match server.tls {
            Some(ServerTls::IstioMutual) => Some(self.worker.shared.inward.config(requests, offers)),
            _ => world.certificate(port, server),
        };
        let Some(config) = config.cloned() else {
            self.worker.shared.counters.handshake_failures.add_one();
            return Err(io::Error::other("the server of the gateway has no certificate"));
        };
        let of_mesh = server.tls == Some(ServerTls::IstioMutual);
        let (tls, speech, stream) = self.end_tls(stream, config, of_mesh).await?;
        match becomes {
            Becomes::Requests => self.http_within(stream, speech, tls).await,
            Becomes::Bytes(heading) => self.bytes(Rewound::fresh(stream), Some(tls), heading, port, world),
            Becomes::End(nowhere) => Err(self.end(&seen, nowhere, world)),
        }
    }

    /// Ends TLS. The protocol is the one that was agreed on, if one was. Only of the mesh's own TLS does a certificate say
    /// who a client is: any other was checked by whoever the gateway's owner believes.
    async fn end_tls(
        &self,
        stream: Rewound<TcpStream>,
        config: Arc<ServerConfig>,
        of_mesh: bool,
    ) -> io::Result<(Tls, Option<Speech>, Stream)> {
        let ended = timeout(HANDSHAKE_MAX, TlsAcceptor::from(config).accept(stream)).await;
        let stream = ended.map_err(io::Error::from).and_then(|ended| ended).inspect_err(|_| {
            self.worker.shared.counters.handshake_failures.add_one();
        })?;
        let peer = if of_mesh { self.peer(&stream) } else { None };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first()).filter(|_| !of_mesh);
        let shown = certificate.and_then(shown::to_gateway);
        let speech = match session.alpn_protocol() {
            Some(b"h2" | b"istio-h2") => Some(Speech::Http2),
            Some(b"http/1.1" | b"istio-http/1.1" | b"istio-http/1.0") => Some(Speech::Http1),
            _ => None,
        };
        let tls = Tls { server_name: session.server_name().map(Arc::from), peer, shown };
        Ok((tls, speech, Stream::Tls(Box::new(TlsStream::Server(stream)))))
    }

    /// Who a client proved to be.
    fn peer(&self, stream: &server::TlsStream<Rewound<TcpStream>>) -> Option<PeerIdentity> {
        let shared = &self.worker.shared;
        let session = stream.get_ref().1;
        let peer = taut_identity::verified_peer(session)?;
        let id = Text::from(peer.id().as_str());
        let own = shared.labels.principals.value(shared.principal);
        Some(PeerIdentity {
            principal: shared.labels.principals.number(id.clone()),
            forwarded: shown::within_mesh(&own, session.peer_certificates()?.first()?)?,
            id,
        })
    }

    fn connection(self, tls: Option<Tls>, http2: bool) -> Connection {
        Connection {
            worker: self.worker,
            role: self.role,
            remote: self.remote,
            local: self.local,
            dialled: self.dialled,
            tls,
            http2,
            pace: Arc::new(Pace::default()),
            met: Acquaintance::default(),
        }
    }

    fn plain_http(self, begun: Begun) -> Settled {
        let http2 = begun.seen.is_http2();
        Settled::Http(begun.stream.map(Stream::Plain), self.connection(None, http2))
    }

    async fn http_within(self, stream: Stream, speech: Option<Speech>, tls: Tls) -> io::Result<Settled> {
        let (speech, stream) = match speech {
            Some(speech) => (Some(speech), Rewound::fresh(stream)),
            None => {
                let (seen, stream) = self.begin_within(stream).await?;
                (seen.speech, stream)
            }
        };
        Ok(Settled::Http(stream, self.connection(Some(tls), speech == Some(Speech::Http2))))
    }

    /// A connection that carries bytes, if the workload's policies let it in.
    fn bytes(
        self,
        stream: Rewound<Stream>,
        tls: Option<Tls>,
        heading: Heading,
        port: u16,
        world: &Arc<World>,
    ) -> io::Result<Settled> {
        let connection = self.connection(tls, false);
        let mut carrying = Carrying::new(&connection, world, heading.rule, heading.upstream.service);
        if !connection.role.is_outbound()
            && let Err(reply) = authorize(world, &connection, port, None, false)
        {
            carrying.denied(reply.details);
            carrying.ended_at_once(&connection);
            return Err(io::Error::other("a policy denies it"));
        }
        carrying.heading = Some(heading);
        Ok(Settled::Bytes(stream, connection, carrying))
    }

    /// Ends a connection that goes nowhere: counted, and written down.
    fn end(self, seen: &Seen, nowhere: Nowhere, world: &Arc<World>) -> io::Error {
        self.worker.shared.counters.connections_for_nobody.add_one();
        let server_name = seen.hello.as_ref().and_then(|hello| hello.server_name.clone());
        let tls = seen.hello.is_some().then_some(Tls { server_name, peer: None, shown: None });
        let connection = self.connection(tls, false);
        let mut carrying = Carrying::new(&connection, world, nowhere.rule, nowhere.service);
        carrying.nowhere(nowhere.flags, nowhere.cluster);
        carrying.ended_at_once(&connection);
        io::Error::other("nothing is there for such a connection")
    }
}

/// How long the first bytes may take before they do not count (semantics.md §2.2).
fn detection(world: &World) -> Duration {
    Duration::from_millis(world.tables.mesh.detection_timeout_ms)
}
