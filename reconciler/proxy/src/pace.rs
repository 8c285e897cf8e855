//! Clients that send too little for too long.
//!
//! Owns: how long the head of a request may take, and how long a connection may be idle.
//! May not: set a timer for every request. One timer is set, and looked at again when it fires.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Which requests of a connection are under way.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    begun: AtomicU32,
    under_way: AtomicU32,
}

impl Pace {
    /// A request begins.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there was no request yet.
    pub(crate) fn is_new(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// A request is over.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose client must not be too slow.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    head_max: Duration,
    idle_max: Duration,
    phase: Phase,
    since: Instant,
    /// Bytes came that are no request yet.
    unparsed: bool,
    /// How many requests had begun when that was last asked.
    begun: u32,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Busy,
    Idle,
    Head,
}

impl<S> Paced<S> {
    /// Watches over a connection. In HTTP/2 bytes between requests are no part of one, so `head_max` is not given there.
    pub(crate) fn new(stream: S, pace: Arc<Pace>, head_max: Option<Duration>, idle_max: Duration) -> Paced<S> {
        Paced {
            stream,
            pace,
            head_max: head_max.unwrap_or(idle_max),
            idle_max,
            phase: Phase::Busy,
            since: Instant::now(),
            // The first bytes have come: that is how it is known what the client speaks.
            unparsed: true,
            begun: 0,
            timer: None,
        }
    }

    /// Nothing is there to be read. Ready if that was so for too long.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begun = self.pace.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            // There was a request, whether or not anything was to be read meanwhile: whatever phase it is now began after.
            (self.begun, self.unparsed, self.phase) = (begun, false, Phase::Busy);
        }
        let (phase, limit) = match (self.pace.under_way.load(Ordering::Relaxed), self.unparsed) {
            (0, true) => (Phase::Head, self.head_max),
            (0, false) => (Phase::Idle, self.idle_max),
            _ => (Phase::Busy, self.idle_max),
        };
        if phase != self.phase {
            (self.phase, self.since) = (phase, Instant::now());
        }
        // The end of a request wakes nobody: even while one is under way, it is looked again now and then.
        let deadline = (phase != Phase::Busy).then(|| self.since + limit);
        let idle_max = self.idle_max;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle_max)));
        if let Some(deadline) = deadline.filter(|deadline| *deadline < timer.deadline()) {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.unwrap_or(now + idle_max));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.unparsed = true;
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_too_slow(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::advance;

    use super::*;

    const HEAD: Duration = Duration::from_secs(30);
    const IDLE: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_ends_the_connection_and_a_slow_answer_does_not() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(server, pace.clone(), Some(HEAD), IDLE);
        let mut buf = [0; 8];

        client.write_all(b"GET ").await.unwrap();
        assert_eq!(paced.read(&mut buf).await.unwrap(), 4);
        let began = Instant::now();
        let error = paced.read(&mut buf).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30), "half a head");

        let (mut client, server) = tokio::io::duplex(64);
        let mut paced = Paced::new(server, pace.clone(), Some(HEAD), IDLE);
        pace.begin();
        tokio::select! {
            _ = paced.read(&mut buf) => panic!("while a request is under way, nothing need come"),
            () = tokio::time::sleep(2 * IDLE) => {}
        }
        pace.end();
        let began = Instant::now();
        assert!(paced.read(&mut buf).await.is_err());
        assert_eq!(began.elapsed(), IDLE, "idle, it may stay open for longer than a head may take");
        client.write_all(b"x").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ends_unseen_leaves_a_connection_that_is_idle() {
        let (_client, server) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(server, pace.clone(), Some(HEAD), IDLE);
        pace.begin();
        let (began, mut buf) = (Instant::now(), [0; 8]);
        let (read, ()) = tokio::join!(paced.read(&mut buf), async {
            tokio::time::sleep(HEAD).await;
            pace.end();
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() <= 2 * IDLE + HEAD, "nothing woke it");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_keep_a_connection_open() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(server, pace.clone(), Some(HEAD), IDLE);
        let mut buf = [0; 8];
        for _ in 0..5 {
            pace.begin();
            pace.end();
            tokio::select! {
                _ = paced.read(&mut buf) => panic!("it was not idle for that long"),
                () = tokio::time::sleep(IDLE / 2) => {}
            }
            client.write_all(b"x").await.unwrap();
            assert_eq!(paced.read(&mut buf).await.unwrap(), 1);
            advance(Duration::from_secs(1)).await;
        }
    }
}
