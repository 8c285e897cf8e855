//! What one turn of an HTTP/2 connection writes, put together so that it leaves at once.
//!
//! h2 hands every larger piece of a body to the stream alone and flushes after each: an answer of ten that are ready would
//! be ten calls of the system, and over TLS ten records. Here nothing is written while the connection is polled, and
//! everything when it has been.
//!
//! Invariant: what was taken waits no longer than the turn it came in, unless the other end does not take it. Then at most
//! `WAITING_MAX` waits, and the connection is told to wait as well.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much waits for the end of a turn: what one record of TLS holds.
const WAITING_MAX: usize = 16 << 10;

/// How much room an idle connection keeps: what most turns write.
const KEPT_MAX: usize = 4 << 10;

/// A stream as an HTTP/2 connection uses it. Its lock is free whenever it is taken: the connection and what goes on after
/// its turn are one task.
#[derive(Debug)]
pub(crate) struct Gathered<S>(Arc<Mutex<Gathering<S>>>);

/// A connection over such a stream, turn by turn.
#[derive(Debug)]
pub(crate) struct Turns<C, S> {
    pub(crate) connection: C,
    stream: Gathered<S>,
}

#[derive(Debug)]
struct Gathering<S> {
    stream: S,
    /// 0 <= gone <= waiting.len()
    waiting: Vec<u8>,
    /// How much of it was written.
    gone: usize,
    /// Something was written that may still be in the stream.
    unflushed: bool,
    /// Why it could not be written, until the connection hears of it.
    failed: Option<io::Error>,
}

impl<S> Gathered<S> {
    pub(crate) fn new(stream: S) -> Gathered<S> {
        let gathering = Gathering { stream, waiting: Vec::new(), gone: 0, unflushed: false, failed: None };
        Gathered(Arc::new(Mutex::new(gathering)))
    }

    /// What drives a connection over this stream.
    pub(crate) fn turns(&self) -> Gathered<S> {
        Gathered(self.0.clone())
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, S> Turns<C, S> {
    /// `stream` is the connection's own.
    pub(crate) fn new(connection: C, stream: Gathered<S>) -> Turns<C, S> {
        Turns { connection, stream }
    }
}

impl<C: Future + Unpin, S: AsyncWrite + Unpin> Future for Turns<C, S> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let polled = Pin::new(&mut self.connection).poll(cx);
        let mut gathering = self.stream.gathering();
        if let Poll::Ready(Err(error)) = gathering.poll_leave(cx) {
            gathering.failed = Some(error);
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    /// Writes all that waits.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gone < self.waiting.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting[self.gone..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.gone += count,
            }
            self.unflushed = true;
        }
        self.left();
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing waits any more.
    fn left(&mut self) {
        self.gone = 0;
        self.waiting.clear();
        if KEPT_MAX < self.waiting.capacity() {
            self.waiting = Vec::new();
        }
    }

    /// Takes what there is room for; the rest is written at once, behind what waits.
    fn poll_take(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        loop {
            let before = self.waiting.len() - self.gone;
            if before + whole <= WAITING_MAX {
                if KEPT_MAX < self.waiting.len() + whole {
                    self.waiting.reserve_exact(WAITING_MAX.saturating_sub(self.waiting.len()).max(whole));
                }
                parts.iter().for_each(|part| self.waiting.extend_from_slice(part));
                return Poll::Ready(Ok(whole));
            }
            let written = if before == 0 {
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?
            } else {
                ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting[self.gone..]))?
            };
            self.unflushed = true;
            if before == 0 || written == 0 {
                return Poll::Ready(Ok(written));
            }
            self.gone += written;
            if self.gone == self.waiting.len() {
                self.left();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gathering().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.gathering().poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gathering().poll_take(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The end of the turn does it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.gathering().failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathering = self.gathering();
        ready!(gathering.poll_leave(cx))?;
        Pin::new(&mut gathering.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Notes what each write is, and takes no more than `room`.
    #[derive(Debug, Default)]
    struct Notes {
        writes: Vec<usize>,
        bytes: Vec<u8>,
        room: usize,
        flushes: usize,
    }

    impl AsyncWrite for Notes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.writes.push(count);
            self.bytes.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_one_turn_writes_leaves_at_once() {
        let large = WAITING_MAX + 1;
        let table = [
            // what the connection writes, each part flushed; what the stream has room for; what it sees
            (vec![9, 1_024, 9, 1_024],   1 << 20, vec![2_066]),
            (vec![],                     1 << 20, vec![]),
            (vec![WAITING_MAX],          1 << 20, vec![WAITING_MAX]),
            (vec![large],                1 << 20, vec![large]),
            (vec![100, large],           1 << 20, vec![100, large]),
            (vec![100, 200],             150,     vec![150]),
            (vec![100, large],           150,     vec![100, 50]),
        ];
        for (parts, room, want) in table {
            let stream = Gathered::new(Notes { room, ..Notes::default() });
            let mut cx = Context::from_waker(Waker::noop());
            let (mut writer, mut sent) = (stream.turns(), Vec::new());
            let connection = std::future::poll_fn(|cx| {
                for (number, length) in parts.iter().enumerate() {
                    let bytes = vec![number as u8; *length];
                    let mut gone = 0;
                    while gone < bytes.len() {
                        let Poll::Ready(taken) = Pin::new(&mut writer).poll_write(cx, &bytes[gone..]) else { break };
                        sent.extend_from_slice(&bytes[gone..][..taken.as_ref().copied().unwrap()]);
                        gone += taken.unwrap();
                    }
                    assert!(Pin::new(&mut writer).poll_flush(cx).is_ready());
                }
                Poll::<()>::Pending
            });
            let mut turns = Turns::new(connection, stream.turns());
            assert!(Pin::new(&mut turns).poll(&mut cx).is_pending());
            drop(turns);
            assert_eq!(stream.gathering().stream.writes, want, "{parts:?}");
            stream.gathering().stream.room = usize::MAX;
            assert!(stream.gathering().poll_leave(&mut cx).is_ready());
            let gathering = stream.gathering();
            assert_eq!(gathering.stream.bytes, sent, "in their order: {parts:?}");
            assert_eq!((gathering.waiting.len(), gathering.unflushed), (0, false));
            assert!(gathering.waiting.capacity() <= KEPT_MAX, "an idle connection keeps little");
        }
    }

    #[tokio::test]
    async fn the_connection_hears_why_nothing_is_taken() {
        let (client, server) = tokio::io::duplex(8);
        drop(client);
        let stream = Gathered::new(server);
        let mut writer = stream.turns();
        let connection = Box::pin(async move {
            writer.write_all(b"x").await?;
            // The turn ends here.
            let _ = writer.read(&mut [0]).await;
            tokio::task::yield_now().await;
            writer.flush().await
        });
        let ended = Turns::new(connection, stream).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
