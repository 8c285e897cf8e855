//! One HTTP/2 connection to an endpoint, and the requests on it.
//!
//! Owns: its settings, the task that drives it, and a request's way from its head to the head of its answer.
//! May not: choose between connections; `pool` does.
//!
//! The h2 crate is used as it is: with a client between, each request would cost two channels and a task of its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response};
use http_body::{Body as _, Frame};
use taut_snapshot::object::Wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::answer::{AnswerBody, Failure};
use super::{HEAD_BYTES_MAX, STREAMS_MAX};
use crate::forward::upload::{Broken, Upload};
use crate::gather::{Gathered, Turns};

/// How much of one answer an endpoint may send before it is read: what fills a fast link, times what a request waits.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all answers of one connection together.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How many streams this end may reset for what the other end did wrong, before the connection is given up.
const ERROR_RESETS_MAX: usize = 1_024;

/// The requests' end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    requests: SendRequest<Bytes>,
    /// It takes no more requests.
    closed: Arc<AtomicBool>,
}

/// A request that was not answered, and the request itself if nothing of it was sent.
pub(crate) struct Unanswered {
    pub(crate) failure: Failure,
    pub(crate) unsent: Option<Box<Request<Upload>>>,
}

/// Begins a connection. What drives it lasts as long as it does, and holds `open`.
///
/// # Errors
/// If the stream takes nothing.
pub(super) async fn begin<S, O>(stream: S, wire: Option<&Wire>, open: O) -> Result<Sender, h2::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    O: Send + 'static,
{
    let stream = Gathered::new(stream);
    let turns = stream.turns();
    let (requests, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(STREAMS_MAX as usize)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .handshake(stream)
        .await?;
    let closed = Arc::new(AtomicBool::new(false));
    let alive = wire.filter(|wire| wire.ping_ms != 0).and_then(|wire| {
        let (every, patience) = (Duration::from_millis(wire.ping_ms), Duration::from_millis(wire.ping_timeout_ms));
        Some(still_alive(connection.ping_pong()?, every, patience))
    });
    let sender = Sender { requests, closed: closed.clone() };
    tokio::spawn(async move {
        let _open = open;
        let connection = Turns::new(connection, turns);
        // How it ended is told to whoever had a request on it.
        match alive {
            None => drop(connection.await),
            Some(alive) => tokio::select! {
                _ = connection => {}
                () = alive => {}
            },
        }
        closed.store(true, Ordering::Relaxed);
    });
    Ok(sender)
}

/// Asks now and then whether the other end is still there, until it is not.
async fn still_alive(mut pings: PingPong, every: Duration, patience: Duration) {
    loop {
        sleep(every).await;
        if !matches!(timeout(patience, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

impl Sender {
    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Sends a request, and waits for the head of its answer. Its body goes on being sent after that.
    ///
    /// # Errors
    /// With the request, if nothing of it was sent.
    pub(super) async fn send(&mut self, request: Request<Upload>) -> Result<Response<AnswerBody>, Unanswered> {
        if let Err(error) = poll_fn(|cx| self.requests.poll_ready(cx)).await {
            return Err(self.unsent(error, request));
        }
        let (mut head, body) = request.into_parts();
        let exact = body.size_hint().exact();
        let may_be_empty = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT);
        if let Some(length) = exact.filter(|length| *length != 0 || !may_be_empty) {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let over = body.is_end_stream();
        let (answer, stream) = match self.requests.send_request(Request::from_parts(head, ()), over) {
            Ok(sent) => sent,
            Err(error) => return Err(Unanswered { failure: Failure::Http2(error), unsent: None }),
        };
        let pouring = if over { None } else { pour(body, stream).await };
        let answer = answer.await.map_err(|error| Unanswered { failure: Failure::Http2(error), unsent: None })?;
        // From here on the body ends by itself: with its source, or because the endpoint wants no more.
        pouring.into_iter().for_each(Pouring::go_on);
        Ok(answer.map(AnswerBody::http2))
    }

    fn unsent(&self, error: h2::Error, request: Request<Upload>) -> Unanswered {
        // No request can be sent on it any more, whatever becomes of those that were.
        self.closed.store(true, Ordering::Relaxed);
        Unanswered { failure: Failure::Http2(error), unsent: Some(Box::new(request)) }
    }
}

/// A body on its way. Dropped, it is given up, and with it the stream.
struct Pouring(Option<JoinHandle<()>>);

impl Pouring {
    fn go_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Pouring {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends a body: at once what is there of it, the rest beside the answer. None if all of it was there.
async fn pour(body: Upload, stream: SendStream<Bytes>) -> Option<Pouring> {
    let mut pouring = Box::pin(pour_all(body, stream));
    let all = poll_fn(|cx| Poll::Ready(pouring.as_mut().poll(cx).is_ready())).await;
    (!all).then(|| Pouring(Some(tokio::spawn(pouring))))
}

/// What comes next of a body that is sent.
enum Next {
    Frame(Frame<Bytes>),
    End,
    Broken(Broken),
    /// The endpoint wants no more of it.
    Unwanted,
}

async fn pour_all(mut body: Upload, mut stream: SendStream<Bytes>) {
    loop {
        let next = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Next::Unwanted);
            }
            Pin::new(&mut body).poll_frame(cx).map(|frame| match frame {
                Some(Ok(frame)) => Next::Frame(frame),
                Some(Err(broken)) => Next::Broken(broken),
                None => Next::End,
            })
        });
        let frame = match next.await {
            Next::Frame(frame) => frame,
            // Whether the endpoint still takes it, the answer tells.
            Next::End => return drop(stream.send_data(Bytes::new(), true)),
            Next::Broken(broken) => return stream.send_reset(reason(&broken)),
            Next::Unwanted => return,
        };
        let over = match frame.into_data() {
            Ok(data) => {
                let over = body.is_end_stream();
                let room = data.is_empty() || has_room(&mut stream).await;
                if !room || stream.send_data(data, over).is_err() {
                    return;
                }
                over
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = stream.send_trailers(trailers);
                }
                true
            }
        };
        if over {
            return;
        }
    }
}

/// Waits until the endpoint takes more, if it ever does. A piece is asked for by its first byte: what it needs beyond that
/// waits within the stream, so that no stream holds much of what all share while others could use it.
async fn has_room(stream: &mut SendStream<Bytes>) -> bool {
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(false);
        }
        while stream.capacity() == 0 {
            match std::task::ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Why a client's stream ended is told to the endpoint, if the client said it.
fn reason(broken: &Broken) -> Reason {
    let mut source = std::error::Error::source(broken);
    while let Some(cause) = source {
        if let Some(reason) = cause.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return reason;
        }
        source = cause.source();
    }
    Reason::INTERNAL_ERROR
}

#[cfg(test)]
mod tests {
    use h2::RecvStream;
    use h2::server::{self, Connection, SendResponse};
    use http_body_util::BodyExt as _;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const LONG: usize = 1 << 20;

    fn wire() -> Wire {
        Wire { streams: 0, life_ms: 0, ping_ms: 1_000, ping_timeout_ms: 500, keepalive: None }
    }

    async fn pair(wire: Option<&Wire>) -> (Sender, Connection<DuplexStream, Bytes>) {
        let (client, endpoint) = duplex(1 << 16);
        let (sender, endpoint) = tokio::join!(begin(client, wire, ()), server::handshake(endpoint));
        (sender.unwrap(), endpoint.unwrap())
    }

    /// The next request, while the connection goes on.
    async fn asked(mut endpoint: Connection<DuplexStream, Bytes>) -> (Request<RecvStream>, SendResponse<Bytes>) {
        let asked = endpoint.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while let Some(Ok(_)) = endpoint.accept().await {} });
        asked
    }

    fn post() -> Request<Upload> {
        let body = Upload::Whole(Some(Bytes::from(vec![b'x'; LONG])));
        Request::post("http://orders/").version(http::Version::HTTP_2).body(body).unwrap()
    }

    #[tokio::test]
    async fn a_body_longer_than_any_window_arrives_whole() {
        let (mut sender, endpoint) = pair(None).await;
        let serve = async {
            let (request, mut respond) = asked(endpoint).await;
            let length = request.headers()[CONTENT_LENGTH].clone();
            let (mut body, mut received) = (request.into_body(), 0);
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                received += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            answer.send_data(Bytes::from_static(b"thanks"), false).unwrap();
            answer
                .send_trailers([(http::header::WARNING, HeaderValue::from_static("late"))].into_iter().collect())
                .unwrap();
            (length, received)
        };
        let ((length, received), answer) = tokio::join!(serve, sender.send(post()));
        assert_eq!((length.to_str().unwrap(), received), ("1048576", LONG));
        let whole = answer.unwrap_or_else(|it| panic!("{}", it.failure)).into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()[http::header::WARNING], "late");
        assert_eq!(whole.to_bytes(), "thanks");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_reset() {
        let (mut sender, endpoint) = pair(None).await;
        let (given_up, asked) = tokio::join!(timeout(Duration::from_secs(1), sender.send(post())), asked(endpoint));
        assert!(given_up.is_err(), "nobody answers");
        let mut body = asked.0.into_body();
        let ended = loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.reason(),
                None => break None,
            }
        };
        assert_eq!(ended, Some(Reason::CANCEL));
        assert!(!sender.is_closed(), "the connection goes on");
    }

    #[tokio::test]
    async fn a_connection_that_says_goodbye_gives_requests_back() {
        let (mut sender, mut endpoint) = pair(None).await;
        endpoint.graceful_shutdown();
        while let Some(Ok(_)) = endpoint.accept().await {}
        drop(endpoint);
        let Err(unanswered) = sender.send(post()).await else { panic!("nobody is there to answer") };
        assert_eq!(unanswered.unsent.unwrap().body().size_hint().exact(), Some(LONG as u64));
        assert!(sender.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_answers_no_ping_is_given_up() {
        for (answers, closed) in [(true, false), (false, true)] {
            let (sender, mut endpoint) = pair(Some(&wire())).await;
            let listening = async {
                match answers {
                    true => drop(endpoint.accept().await),
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = listening => {}
                () = sleep(Duration::from_secs(10)) => {}
            }
            assert_eq!(sender.is_closed(), closed, "{answers}");
        }
    }
}
