//! The body of a request on its way to an endpoint.
//!
//! Owns: counting it, and keeping the beginning of it while a retry may need it again.
//! Invariant: bytes go on as they come. What is kept are references to them, and never more than `KEPT_MAX`.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;

/// The longest body that is sent again: Envoy's own limit is larger (1 MiB a connection), but what does not fit here is
/// an upload, which is better failed early than kept in memory for every try.
const KEPT_MAX: usize = 64 << 10;

/// A request's body, or what is left of it after a try.
pub(crate) enum Upload {
    /// There is none.
    Empty,
    /// It comes from the client.
    Passing(Passing),
    /// It is here as a whole.
    Whole(Option<Bytes>),
    /// It is a copy of what comes from the client for somebody else.
    Copied(Copied),
}

/// A copy of a body, as that comes.
pub(crate) struct Copied {
    pieces: mpsc::Receiver<Piece>,
    over: bool,
}

/// What a copy is made of.
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// How many pieces of a copy may wait to be sent. A receiver that is slower than this loses the copy: the request itself
/// waits for nobody.
const COPY_PIECES_MAX: usize = 64;

/// Why a body ends before its end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client broke off.
    Client(hyper::Error),
    /// This was a copy of a request whose body was not read to its end, or faster than the copy could be sent.
    CopyGivenUp,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Client(error) => error.fmt(f),
            Broken::CopyGivenUp => f.write_str("the copy was given up"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Broken::Client(error) => Some(error),
            Broken::CopyGivenUp => None,
        }
    }
}

/// A body that passes through.
pub(crate) struct Passing {
    /// Given to the meter when this is dropped.
    source: Option<Box<Source>>,
    meter: Arc<Meter>,
    /// How many of the kept pieces were sent in this try.
    sent: usize,
    /// Whether the trailers were sent in this try.
    trailers_sent: bool,
}

/// Where a body comes from, and what was kept of it.
struct Source {
    incoming: Incoming,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    kept_bytes: usize,
    /// Nothing more comes.
    ended: bool,
    /// Whether all that came was kept.
    whole: bool,
    /// Who gets a copy of what comes.
    copies: Vec<mpsc::Sender<Piece>>,
}

/// What the rest of the request knows of its body while that is elsewhere.
pub(crate) struct Meter {
    bytes: AtomicU64,
    /// When all of it had been sent.
    completed: OnceLock<Instant>,
    /// Where a try leaves the body for the next one; none if there will be none.
    left: Option<ArrayQueue<Box<Source>>>,
}

impl Upload {
    /// The body of a request; with a meter if there is any. `replayable` says whether there may be a retry.
    pub(crate) fn new(incoming: Incoming, replayable: bool) -> (Upload, Option<Arc<Meter>>) {
        if incoming.is_end_stream() {
            return (Upload::Empty, None);
        }
        let meter = Arc::new(Meter {
            bytes: AtomicU64::new(0),
            completed: OnceLock::new(),
            left: replayable.then(|| ArrayQueue::new(1)),
        });
        let source = Source {
            incoming,
            kept: Vec::new(),
            trailers: None,
            kept_bytes: 0,
            ended: false,
            whole: replayable,
            copies: Vec::new(),
        };
        (Upload::of(Box::new(source), &meter), Some(meter))
    }

    /// A copy of it, which is sent while it is.
    pub(crate) fn copy(&mut self) -> Upload {
        let Upload::Passing(Passing { source: Some(source), .. }) = self else { return Upload::Empty };
        let (copy, pieces) = mpsc::channel(COPY_PIECES_MAX);
        source.copies.push(copy);
        Upload::Copied(Copied { pieces, over: false })
    }

    fn of(source: Box<Source>, meter: &Arc<Meter>) -> Upload {
        Upload::Passing(Passing { source: Some(source), meter: meter.clone(), sent: 0, trailers_sent: false })
    }
}

impl Meter {
    /// The body's bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When all of it had been sent, if it was.
    pub(crate) fn completed(&self) -> Option<Instant> {
        self.completed.get().copied()
    }

    /// The body for another try, from its beginning; none if a part of it is gone, or a try still has it.
    pub(crate) fn again(self: &Arc<Meter>) -> Option<Upload> {
        Some(Upload::of(self.left.as_ref()?.pop()?, self))
    }
}

impl Passing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        if let Some(piece) = source.kept.get(self.sent) {
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if !source.ended {
            match ready!(Pin::new(&mut source.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.meter.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                        source.keep(&data);
                        source.copy(|| Piece::Data(data.clone()));
                        self.sent = source.kept.len();
                        source.ended = source.incoming.is_end_stream();
                        if source.ended {
                            source.copy(|| Piece::End);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(frame) => {
                        source.trailers = frame.into_trailers().ok();
                        source.ended = true;
                        if let Some(trailers) = source.trailers.clone() {
                            source.copy(|| Piece::Trailers(trailers.clone()));
                        }
                        source.copy(|| Piece::End);
                    }
                },
                Some(Err(error)) => {
                    source.whole = false;
                    return Poll::Ready(Some(Err(Broken::Client(error))));
                }
                None => {
                    source.ended = true;
                    source.copy(|| Piece::End);
                }
            }
        }
        if let Some(trailers) = source.trailers.as_ref().filter(|_| !self.trailers_sent) {
            self.trailers_sent = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        Poll::Ready(None)
    }

    fn is_over(&self) -> bool {
        self.source.as_ref().is_none_or(|source| {
            source.ended && source.kept.len() <= self.sent && (source.trailers.is_none() || self.trailers_sent)
        })
    }
}

impl Copied {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Piece::End) => {
                self.over = true;
                None
            }
            None => Some(Err(Broken::CopyGivenUp)),
        })
    }
}

impl Source {
    /// Gives a piece to whoever gets a copy. One that is not ready for it gets no more.
    fn copy(&mut self, piece: impl Fn() -> Piece) {
        self.copies.retain(|copy| copy.try_send(piece()).is_ok());
    }

    fn keep(&mut self, data: &Bytes) {
        if !self.whole {
            return;
        }
        self.kept_bytes += data.len();
        if KEPT_MAX < self.kept_bytes {
            self.whole = false;
            self.kept = Vec::new();
        } else {
            self.kept.push(data.clone());
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Upload::Empty => Poll::Ready(None),
            Upload::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Upload::Copied(copied) => copied.poll_frame(cx),
            Upload::Passing(passing) => {
                let polled = passing.poll_frame(cx);
                if passing.is_over() {
                    passing.meter.completed.get_or_init(Instant::now);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty | Upload::Whole(None) => true,
            Upload::Whole(Some(_)) => false,
            Upload::Passing(passing) => passing.is_over(),
            Upload::Copied(copied) => copied.over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (source, sent) = match self {
            Upload::Passing(Passing { source: Some(source), sent, .. }) => (source, sent),
            Upload::Passing(_) | Upload::Empty => return SizeHint::with_exact(0),
            Upload::Whole(bytes) => return SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Upload::Copied(_) => return SizeHint::default(),
        };
        let kept: usize = source.kept.iter().skip(*sent).map(Bytes::len).sum();
        let kept = kept as u64;
        let coming = if source.ended { SizeHint::with_exact(0) } else { source.incoming.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(coming.lower() + kept);
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper + kept);
        }
        hint
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let (Some(source), Some(left)) = (self.source.take(), &self.meter.left)
            && source.whole
        {
            // Nobody else holds it, so there is room.
            let _ = left.push(source);
        }
    }
}
