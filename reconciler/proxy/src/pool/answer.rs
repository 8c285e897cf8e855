//! The body of an endpoint's answer, whatever it speaks, and why there is none.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Http1(Incoming),
    Http2(Received),
}

/// A body that comes over HTTP/2.
#[derive(Debug)]
pub(crate) struct Received {
    stream: RecvStream,
    /// Trailers alone may follow.
    data_over: bool,
}

/// Why an exchange with an endpoint failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Http1(hyper::Error),
    Http2(h2::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Http1(error) => error.fmt(f),
            Failure::Http2(error) => error.fmt(f),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Failure::Http1(error) => error,
            Failure::Http2(error) => error,
        })
    }
}

impl AnswerBody {
    pub(super) fn http2(stream: RecvStream) -> AnswerBody {
        AnswerBody::Http2(Received { stream, data_over: false })
    }
}

impl Received {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It is sent on before more is read, so that the endpoint may send as much again. Fails only for a
                    // stream that has ended.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(unless_satisfied(error)),
                None => self.data_over = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(Frame::trailers).map(Ok),
            Err(error) => unless_satisfied(error),
        })
    }
}

/// An endpoint that resets a stream without an error has answered, and wants no more of the request (RFC 9113 §8.1).
fn unless_satisfied(error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
    (error.reason() != Some(Reason::NO_ERROR)).then_some(Err(error))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            AnswerBody::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Failure::Http1),
            AnswerBody::Http2(received) => received.poll_frame(cx).map_err(Failure::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Http1(incoming) => incoming.is_end_stream(),
            AnswerBody::Http2(received) => received.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Http1(incoming) => incoming.size_hint(),
            // What is to come of it, h2 has checked against the head; to pass it on nobody needs the number.
            AnswerBody::Http2(received) if received.stream.is_end_stream() => SizeHint::with_exact(0),
            AnswerBody::Http2(_) => SizeHint::default(),
        }
    }
}
