//! The authority's server: connections, limits, and the renewal of the certificate that it serves with.
//!
//! Owns: sockets and handshakes. May not: look into requests; `wire` does, and `Issuer` answers them.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use taut_identity::{Clients, LiveIdentity, VerifiedPeer, explain_handshake, server_config, verified_peer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::rotate::{blocking, rotate, stopped};
use crate::{CaError, Caller, Issued, Issuer, wire};

/// The most connections at once, those in a handshake among them. The rest wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;

/// The most that a handshake may take: it is two round trips and a signature.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// The most that one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// The most that a connection may live. A caller makes one for each certificate.
const CONNECTION_MAX: Duration = Duration::from_secs(60);

/// The most requests at once on a connection.
const STREAMS_MAX: u32 = 16;

/// How long requests under way may still take at the end, and how long connections that are too old.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after the system could not accept a connection: it is out of descriptors, and will be for a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests for certificates until `shutdown` is true or its sender is gone. `identity` is what it serves with
/// ([`Issuer::own_credentials`]), which it keeps fresh meanwhile.
///
/// # Errors
/// If the server fails as a whole. What goes wrong on one connection is logged, and ends that one.
pub async fn serve(
    listener: TcpListener,
    identity: LiveIdentity,
    issuer: Issuer,
    shutdown: watch::Receiver<bool>,
) -> Result<(), CaError> {
    let config = server_config(&identity, Clients::Optional, &[b"h2"]);
    let (accepted, connections) = mpsc::channel(1);
    let server = Server::builder()
        .timeout(REQUEST_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_connection_age(CONNECTION_MAX)
        .max_connection_age_grace(DRAIN)
        .add_service(wire::server(Service { issuer: issuer.clone() }))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections).map(Ok::<_, io::Error>),
            stopped(shutdown.clone()),
        );
    let own = move || {
        let issuer = issuer.clone();
        async move { blocking(move || issuer.own_credentials(SystemTime::now())).await }
    };
    let accept = async {
        tokio::select! {
            () = accept(listener, config, accepted) => (),
            () = stopped(shutdown.clone()) => (),
        }
        pending().await
    };
    let late = async {
        stopped(shutdown.clone()).await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result.map_err(CaError::Serving),
        () = late => Ok(()),
        // These two do not end by themselves.
        () = rotate(&identity, own) => Ok(()),
        () = accept => Ok(()),
    }
}

/// Accepts connections, and hands on those whose handshake succeeds.
async fn accept(listener: TcpListener, config: Arc<ServerConfig>, accepted: mpsc::Sender<Connection>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let acceptor = TlsAcceptor::from(config);
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                // If nobody takes it, the server has ended.
                Ok(Ok(stream)) => drop(accepted.send(Connection { stream, _slot: slot }).await),
                Ok(Err(error)) => tracing::info!("{address}: no handshake: {}", explain_handshake(&error)),
                Err(_) => tracing::info!("{address}: no handshake within {} seconds", HANDSHAKE_MAX.as_secs()),
            }
        });
    }
}

/// A connection, and its part of the limit.
struct Connection {
    stream: TlsStream<TcpStream>,
    _slot: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection; nobody, if no certificate was shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer(pub(crate) Option<VerifiedPeer>);

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(verified_peer(self.stream.get_ref().1))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What requests are answered with.
pub(crate) struct Service {
    issuer: Issuer,
}

impl Service {
    /// Answers one request, and writes down the answer.
    pub(crate) async fn issue(
        &self,
        caller: Caller,
        request: Vec<u8>,
        lifetime: Option<Duration>,
    ) -> Result<Issued, CaError> {
        let issuer = self.issuer.clone();
        let asked = caller.clone();
        let result = blocking(move || issuer.issue(&asked, &request, lifetime, SystemTime::now())).await;
        match &result {
            Ok(issued) => tracing::info!("issued a certificate for `{}` to {caller}", issued.id),
            Err(CaError::Refused(refusal)) => tracing::warn!("refused a certificate to {caller}: {refusal}"),
            Err(error) => tracing::error!("failed to issue a certificate to {caller}: {error}"),
        }
        result
    }
}
