//! The shell around the publisher's end: streams in, arrivals out.
//!
//! Owns: the gRPC server and one task for each connection. May not: know what a message means; whoever receives the
//! arrivals has the sessions.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::follow::DeliveryError;
use crate::limits::{JOIN_TIMEOUT, MESSAGE_BYTES_MAX, OUTBOX_MESSAGES, PING_INTERVAL, PING_TIMEOUT};
use crate::message::{FromMember, Join, Report, ToMember};
use crate::wire::proto::delivery_server::{Delivery, DeliveryServer};
use crate::wire::{proto, read_from_member, to_member};

/// Streams of one connection: a member needs one, and one more while it gives up the last.
const STREAMS_MAX: u32 = 4;

/// Tells the connections of one server apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Something that comes from a member.
#[derive(Debug)]
pub enum Arrival {
    /// A connection, with the first thing said on it.
    Joined {
        /// Which connection.
        connection: ConnectionId,
        /// The SPIFFE id that TLS has proved.
        peer: String,
        /// What it says of itself.
        join: Box<Join>,
        /// The way back.
        outbox: Outbox,
    },
    /// A report.
    Reported {
        /// On which connection.
        connection: ConnectionId,
        /// What it says.
        report: Box<Report>,
    },
    /// The member stops on purpose.
    Left {
        /// On which connection.
        connection: ConnectionId,
    },
    /// The connection is gone.
    Closed {
        /// Which connection.
        connection: ConnectionId,
    },
}

/// The way back to a member. Dropping it ends the connection.
#[derive(Debug)]
pub struct Outbox {
    messages: mpsc::Sender<ToMember>,
    _open: oneshot::Sender<()>,
}

impl Outbox {
    /// Says something to the member. It is lost if the member does not read, as on any network.
    pub fn send(&self, message: ToMember) {
        let _ = self.messages.try_send(message);
    }
}

/// Serves members on authenticated streams, each with its peer's SPIFFE id, until `shutdown` completes and the outboxes
/// are gone.
///
/// # Errors
/// If the server fails.
pub async fn serve<S>(
    incoming: impl Stream<Item = io::Result<(S, String)>>,
    arrivals: mpsc::Sender<Arrival>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DeliveryError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // A connection that failed before it was one concerns nobody but its peer.
    let incoming = incoming.filter_map(|accepted| {
        let peered = accepted.map(|(stream, peer)| Ok::<_, io::Error>(Peered { stream, peer: Peer(peer.into()) }));
        std::future::ready(peered.ok())
    });
    let service = DeliveryServer::new(Service { arrivals, connections: AtomicU64::new(0) })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|error| DeliveryError::Serve(error.to_string()))
}

struct Service {
    arrivals: mpsc::Sender<Arrival>,
    connections: AtomicU64,
}

#[tonic::async_trait]
impl Delivery for Service {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<proto::ToMember, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<proto::FromMember>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let Peer(peer) = peer.ok_or_else(|| Status::unauthenticated("nothing proves who you are"))?;
        let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed));
        let (messages, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
        let (open, closed) = oneshot::channel();
        let outbox = Outbox { messages, _open: open };
        tokio::spawn(listen(connection, peer, request.into_inner(), outbox, closed, self.arrivals.clone()));
        Ok(Response::new(ReceiverStream::new(outgoing).map(|message| Ok(to_member(message))).boxed()))
    }
}

/// Passes on what one member says, until it or the receiver of the arrivals ends the connection.
async fn listen(
    connection: ConnectionId,
    peer: Arc<str>,
    mut inbox: Streaming<proto::FromMember>,
    outbox: Outbox,
    mut closed: oneshot::Receiver<()>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let first = timeout(JOIN_TIMEOUT, next(&mut inbox)).await;
    let Ok(Some(FromMember::Join(join))) = first else {
        outbox.send(ToMember::Rejected { why: "the first message must be a join".to_owned() });
        return;
    };
    let joined = Arrival::Joined { connection, peer: peer.to_string(), join, outbox };
    let mut sent = arrivals.send(joined).await;
    while sent.is_ok() {
        let message = tokio::select! {
            message = next(&mut inbox) => message,
            _ = &mut closed => None,
        };
        let arrival = match message {
            Some(FromMember::Report(report)) => Arrival::Reported { connection, report },
            Some(FromMember::Leave) => Arrival::Left { connection },
            Some(FromMember::Join(_)) | None => break,
        };
        sent = arrivals.send(arrival).await;
    }
    // If nobody listens any more, nobody needs to know.
    let _ = arrivals.send(Arrival::Closed { connection }).await;
}

/// The next message; none at the end of the stream, and after one that breaks the rules.
async fn next(inbox: &mut Streaming<proto::FromMember>) -> Option<FromMember> {
    let message = inbox.message().await.ok()??;
    match read_from_member(message) {
        Ok(message) => Some(message),
        Err(status) => {
            tracing::warn!(why = status.message(), "a member was disconnected");
            None
        }
    }
}

#[derive(Clone)]
struct Peer(Arc<str>);

/// A stream that knows who is at its other end.
struct Peered<S> {
    stream: S,
    peer: Peer,
}

impl<S> Connected for Peered<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
