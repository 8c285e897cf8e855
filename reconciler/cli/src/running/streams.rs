//! Authenticated byte streams between the reconciler and its members.

use std::io;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use rustls_pki_types::ServerName;
use taut_ca::SYSTEM_NAMESPACE;
use taut_delivery::Connect;
use taut_identity::{
    Accepted, Clients, LiveIdentity, SpiffeId, client_config, explain_handshake, server_config, verified_peer,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::address::Address;
use crate::failure::Failure;

/// The service account of the reconciler.
pub(crate) const RECONCILER: &str = "reconciler";

/// The most that a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Handshakes under way at once: beyond it, connections wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 64;

/// How a member reaches the reconciler.
pub(crate) struct ToReconciler {
    address: Address,
    connector: TlsConnector,
}

impl ToReconciler {
    /// A member of this identity, which accepts the reconciler of its own trust domain alone.
    pub(crate) fn new(address: Address, identity: &LiveIdentity) -> Result<ToReconciler, Failure> {
        let trust_domain = identity.current().id().trust_domain().to_owned();
        let reconciler = SpiffeId::workload(&trust_domain, SYSTEM_NAMESPACE, RECONCILER)?;
        let config = client_config(identity, Accepted::AnyOf([reconciler].into()), &[b"h2"]);
        Ok(ToReconciler { address, connector: TlsConnector::from(config) })
    }
}

impl Connect for ToReconciler {
    type Stream = client::TlsStream<TcpStream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(self.address.resolve()?).await?;
        stream.set_nodelay(true)?;
        // Who is there is told by the SPIFFE id; the name only has to be one.
        let name = ServerName::try_from("reconciler.taut-system").expect("a constant that is a name");
        let handshake = self.connector.connect(name, stream).await;
        handshake.map_err(|error| io::Error::new(error.kind(), explain_handshake(&error)))
    }
}

/// Members' connections, each with the id that its certificate proves. What fails on one connection ends that one.
pub(crate) fn members(
    listener: TcpListener,
    identity: &LiveIdentity,
) -> impl Stream<Item = io::Result<(server::TlsStream<TcpStream>, String)>> + Send + 'static {
    let acceptor = TlsAcceptor::from(server_config(identity, Clients::Required, &[b"h2"]));
    let accepted = stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => return Some(((stream, from), listener)),
                Err(error) => {
                    // Out of descriptors, most likely, and in a moment no longer.
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    let handshake = move |(stream, from): (TcpStream, std::net::SocketAddr)| {
        let acceptor = acceptor.clone();
        async move {
            let _ = stream.set_nodelay(true);
            let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::warn!(%from, "a connection was refused: {}", explain_handshake(&error));
                    return None;
                }
                Err(_) => {
                    tracing::warn!(%from, "a connection was refused: its handshake took too long");
                    return None;
                }
            };
            let peer = verified_peer(stream.get_ref().1)?;
            Some(Ok((stream, peer.id().as_str().to_owned())))
        }
    };
    accepted.map(handshake).buffer_unordered(HANDSHAKES_MAX).filter_map(std::future::ready)
}
