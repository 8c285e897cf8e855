//! One request from its head to the last byte of its answer.
//!
//! Owns: the record of it, what it counts as under way, and the body of the answer, with which it ends.
//! Invariant: every request is counted and logged exactly once, when its `Exchange` is dropped, however it ended.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::downstream::Connection;
use crate::forward::upload::Meter;
use crate::limits::Admission;
use crate::pool::Lease;
use crate::pool::answer::{AnswerBody, Failure};
use crate::telemetry::log::{Entry, tell};
use crate::telemetry::record::{Details, Flags, Record};
use crate::trace::Span;
use crate::trace::export::Report;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A request under way.
pub(crate) struct Exchange {
    pub(crate) record: Record,
    pub(crate) started: Instant,
    /// The request's body, if it has one.
    pub(crate) upload: Option<Arc<Meter>>,
    /// What it is counted in while it is under way: the cluster's requests, and the endpoint's.
    pub(crate) counted: [Option<Admission>; 2],
    /// Its span, if it is traced.
    pub(crate) span: Option<Box<Span>>,
    connection: Arc<Connection>,
}

impl Exchange {
    /// A request begins.
    pub(crate) fn begin(connection: &Arc<Connection>, record: Record) -> Box<Exchange> {
        connection.pace.begin();
        Box::new(Exchange {
            record,
            started: Instant::now(),
            upload: None,
            counted: [None, None],
            span: None,
            connection: connection.clone(),
        })
    }

    /// Adds a flag.
    pub(crate) fn flag(&mut self, flag: Flags) {
        self.record.key.flags = self.record.key.flags.with(flag);
    }

    /// Notes the gRPC status of an answer, if there is one among these headers.
    pub(crate) fn note_grpc_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = grpc_status(headers) {
            self.record.key.grpc_status = Some(status);
        }
    }
}

/// The gRPC status among some headers.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.pace.end();
        let worker = &self.connection.worker;
        let mut record = std::mem::take(&mut self.record);
        if record.key.status == 0 {
            record.key.flags = record.key.flags.with(Flags::CLIENT_GONE);
        }
        let took = self.started.elapsed();
        let bytes_received = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        if let Some(span) = self.span.take() {
            let span = span.finish(&record, took, bytes_received);
            worker.shared.reports.add(Report::Span(span), &worker.shared.counters);
        }
        worker.series.request(&record.key, took, bytes_received, record.bytes_sent);
        tell(&worker.shared, Entry { record, took, bytes_received });
    }
}

/// The body of an answer.
pub(crate) struct Outgoing(Part);

enum Part {
    Empty,
    Full { bytes: Bytes, _exchange: Box<Exchange> },
    Passing(Passing),
}

/// The body of an endpoint's answer, as it passes through.
struct Passing {
    incoming: AnswerBody,
    /// None once all of it has passed.
    rest: Option<Rest>,
    limit: Option<Pin<Box<Sleep>>>,
}

/// What ends with the body.
struct Rest {
    exchange: Box<Exchange>,
    lease: Lease,
}

/// Why an answer ends before its end.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The endpoint broke off.
    Upstream(Failure),
    /// The rule's time is over.
    TimedOut,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Upstream(error) => error.fmt(f),
            Cut::TimedOut => f.write_str("the upstream took too long"),
        }
    }
}

impl std::error::Error for Cut {}

impl Outgoing {
    /// No body.
    pub(crate) fn empty() -> Outgoing {
        Outgoing(Part::Empty)
    }

    /// These bytes.
    pub(crate) fn full(bytes: Bytes, exchange: Box<Exchange>) -> Outgoing {
        Outgoing(Part::Full { bytes, _exchange: exchange })
    }

    /// What comes from an endpoint. The connection is given back when all of it has come, and cut off at the limit.
    pub(crate) fn passing(
        incoming: AnswerBody,
        exchange: Box<Exchange>,
        lease: Lease,
        limit: Option<tokio::time::Instant>,
    ) -> Outgoing {
        let over = incoming.is_end_stream();
        let limit = limit.filter(|_| !over).map(|limit| Box::pin(tokio::time::sleep_until(limit)));
        let mut passing = Passing { incoming, rest: Some(Rest { exchange, lease }), limit };
        if over {
            passing.finish();
            return Outgoing::empty();
        }
        Outgoing(Part::Passing(passing))
    }
}

impl Passing {
    /// All of the body has come.
    fn finish(&mut self) {
        if let Some(Rest { exchange, lease }) = self.rest.take()
            && exchange.upload.as_ref().is_none_or(|upload| upload.completed().is_some())
        {
            lease.give_back();
        }
    }

    fn cut(&mut self, flag: Flags, details: &'static str) {
        if let Some(mut rest) = self.rest.take() {
            rest.exchange.flag(flag);
            rest.exchange.record.details = Details::Word(details);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(rest) = &mut self.rest {
                    match (frame.data_ref(), frame.trailers_ref()) {
                        (Some(data), _) => rest.exchange.record.bytes_sent += data.len() as u64,
                        (None, Some(trailers)) => rest.exchange.note_grpc_status(trailers),
                        (None, None) => {}
                    }
                }
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.cut(Flags::UPSTREAM_CLOSED, "upstream_reset_after_response_started{connection_termination}");
                Poll::Ready(Some(Err(Cut::Upstream(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(limit) = &mut self.limit else { return Poll::Pending };
                ready!(limit.as_mut().poll(cx));
                self.cut(Flags::TIMEOUT, "response_timeout");
                Poll::Ready(Some(Err(Cut::TimedOut)))
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Still there: the client did not wait for the rest.
        self.cut(Flags::CLIENT_GONE, "downstream_remote_disconnect");
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.get_mut().0 {
            Part::Empty => Poll::Ready(None),
            Part::Full { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Part::Full { bytes, .. } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Part::Passing(passing) => passing.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Part::Empty => true,
            Part::Full { bytes, .. } => bytes.is_empty(),
            Part::Passing(passing) => passing.rest.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Part::Empty => SizeHint::with_exact(0),
            Part::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Part::Passing(passing) => passing.incoming.size_hint(),
        }
    }
}
