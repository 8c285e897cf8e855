//! A new connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use taut_snapshot::Text;
use taut_snapshot::object::Keepalive;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::accept::sniff::Rewound;
use crate::race::race;
use crate::stream::Stream;
use crate::telemetry::names::{Labels, NameId};
use crate::tls::Mutual;
use crate::upstream::{Backend, Upstream};

/// What will be spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Http1,
    Http2,
    Bytes,
    /// Bytes that have the mesh's TLS around them already.
    Sealed,
}

/// A connection, and who is at its other end.
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    pub(crate) about: About,
}

/// What is known of a connection to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// Who the other end proved to be; unknown over plaintext.
    pub(crate) principal: NameId,
    /// Our address.
    pub(crate) local: Option<SocketAddr>,
    /// The endpoint's address, or the one that answered in its place.
    pub(crate) peer: SocketAddr,
}

/// Connects to an endpoint, with TLS if it is spoken there, within the cluster's time for it.
///
/// # Errors
/// If it cannot be reached, is not who it should be, or takes too long.
pub(crate) async fn connect(
    upstream: &Upstream,
    backend: &Backend,
    language: Language,
    labels: &Labels,
) -> io::Result<Connected> {
    let work = async {
        let stream = match backend.dial().as_slice() {
            [] => TcpStream::connect(backend.address).await?,
            several => race(several).await?,
        };
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr().ok(), stream.peer_addr()?);
        if let Some(keepalive) = upstream.cluster.wire.as_ref().and_then(|wire| wire.keepalive.as_ref()) {
            keep_alive(&stream, keepalive)?;
        }
        let secured = (backend.secure || upstream.is_outside()) && language != Language::Sealed;
        match upstream.mutual.as_ref().filter(|_| secured) {
            None => {
                let about = About { principal: NameId::UNKNOWN, local, peer };
                Ok(Connected { stream: Stream::Plain(stream), about })
            }
            Some(mutual) => {
                let connector = TlsConnector::from(config(mutual, language).clone());
                let stream = connector.connect(mutual.server_name.clone(), Rewound::fresh(stream)).await?;
                let verified = taut_identity::verified_peer(stream.get_ref().1);
                let principal = verified.map(|peer| labels.principals.number(Text::from(peer.id().as_str())));
                let about = About { principal: principal.unwrap_or_default(), local, peer };
                Ok(Connected { stream: Stream::Tls(Box::new(TlsStream::Client(stream))), about })
            }
        }
    };
    match upstream.cluster.connect_timeout_ms {
        0 => work.await,
        ms => timeout(Duration::from_millis(ms), work).await?,
    }
}

/// Has the system look now and then whether the other end is still there.
fn keep_alive(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    let mut probes = TcpKeepalive::new();
    if keepalive.idle_ms != 0 {
        probes = probes.with_time(Duration::from_millis(keepalive.idle_ms));
    }
    if keepalive.interval_ms != 0 {
        probes = probes.with_interval(Duration::from_millis(keepalive.interval_ms));
    }
    if keepalive.probes != 0 {
        probes = probes.with_retries(keepalive.probes);
    }
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

fn config(mutual: &Mutual, language: Language) -> &Arc<ClientConfig> {
    match language {
        Language::Http1 => &mutual.http1,
        Language::Http2 => &mutual.http2,
        Language::Bytes | Language::Sealed => &mutual.bytes,
    }
}
