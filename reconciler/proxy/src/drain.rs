//! How a proxy stops.
//!
//! Owns: what connections are told while it stops, and knowing when all of them are closed.
//! Invariant: a connection looks at one number when it is polled anyway; it waits on nothing that is shared.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config::Role;

/// How long a connection whose first request has not come yet is kept open when the proxy closes: it is on its way.
const LATE_MAX: Duration = Duration::from_secs(1);

/// How far the proxy is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It is not stopping.
    Serving = 0,
    /// It says that it is leaving: answers ask clients to connect elsewhere.
    Leaving = 1,
    /// It takes no connections and no more requests than are under way.
    Closing = 2,
    /// What is still open is cut.
    Cutting = 3,
}

/// What stops in turn: requests of others end first, since the application may need its own requests to answer them.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    /// What others ask of the workload, or of a gateway.
    pub(crate) others: Arc<Drain>,
    /// What the application asks of others.
    pub(crate) own: Arc<Drain>,
}

impl Drains {
    /// The one for connections to a listener of this role.
    pub(crate) fn of(&self, role: Role) -> &Arc<Drain> {
        if role.is_outbound() { &self.own } else { &self.others }
    }

    /// How far the proxy is: it stops as soon as others are asked to leave.
    pub(crate) fn stage(&self) -> Stage {
        self.others.stage()
    }
}

/// Connections of a proxy, and how far it is with stopping to serve them.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    stage: AtomicU8,
    open: Mutex<Open>,
    /// A connection was closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// Each open connection, and how to wake it once it was polled.
    wakers: BTreeMap<u64, Option<Waker>>,
}

impl Drain {
    /// How far the proxy is.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Serving,
            1 => Stage::Leaving,
            2 => Stage::Closing,
            _ => Stage::Cutting,
        }
    }

    /// Goes on to a stage, and wakes all connections so that they see it. It never goes back.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
        self.open().wakers.values().flatten().for_each(Waker::wake_by_ref);
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.open().wakers.len()
    }

    /// Waits until no connection is open, at most for this long. True if none is.
    pub(crate) async fn empty(&self, most: Duration) -> bool {
        let all_closed = async {
            loop {
                let closed = self.closed.notified();
                if self.connections() == 0 {
                    return;
                }
                closed.await;
            }
        };
        timeout(most, all_closed).await.is_ok()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection as open, from before anything is known of it.
    pub(crate) fn enter(self: &Arc<Drain>) -> Guard {
        Guard::new(self.clone())
    }

    /// Waits until no more requests are taken than are under way, and then a little longer, for what was sent before that
    /// was known. Only within [`Guard::run`], which sees to it that this is looked at again.
    pub(crate) async fn late(&self) {
        std::future::poll_fn(|_| if Stage::Closing <= self.stage() { Poll::Ready(()) } else { Poll::Pending }).await;
        sleep(LATE_MAX).await;
    }

    /// Runs something to its end, or until it is cut.
    pub(crate) async fn run<C: Future>(self: &Arc<Drain>, work: C) -> Option<C::Output> {
        self.enter().run(work, || true, |_| {}).await
    }
}

/// One open connection.
pub(crate) struct Guard {
    drain: Arc<Drain>,
    number: u64,
}

impl Guard {
    fn new(drain: Arc<Drain>) -> Guard {
        let mut open = drain.open();
        let number = open.next;
        open.next += 1;
        open.wakers.insert(number, None);
        drop(open);
        Guard { drain, number }
    }

    /// Runs a connection to its end. `closing` is called once, when it is to take no more requests. One that is `new` has
    /// its first request still to come: it was opened for it, and gets a little time.
    pub(crate) async fn run<C: Future>(
        self,
        connection: C,
        new: impl Fn() -> bool,
        mut closing: impl FnMut(Pin<&mut C>),
    ) -> Option<C::Output> {
        let drain = self.drain.clone();
        let mut connection = pin!(connection);
        let mut late = pin!(drain.late());
        let (mut registered, mut told) = (false, false);
        std::future::poll_fn(|cx| {
            if !registered {
                self.register(cx);
                registered = true;
            }
            let stage = drain.stage();
            if Stage::Cutting <= stage {
                return Poll::Ready(None);
            }
            // First, so that a request which has arrived is under way before the connection hears of the end.
            let polled = connection.as_mut().poll(cx);
            if polled.is_ready() || told || stage < Stage::Closing {
                return polled.map(Some);
            }
            if new() && late.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            told = true;
            closing(connection.as_mut());
            connection.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// A task keeps its waker for life, so that once is enough.
    fn register(&self, cx: &Context<'_>) {
        self.drain.open().wakers.insert(self.number, Some(cx.waker().clone()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.drain.open().wakers.remove(&self.number);
        self.drain.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn connections_end_when_they_are_told_or_are_cut() {
        let drain = Arc::new(Drain::default());
        let told = Arc::new(AtomicU32::new(0));
        let polite = {
            let (drain, told, asked) = (drain.clone(), told.clone(), Arc::new(Notify::new()));
            tokio::spawn(async move {
                let waiting = asked.clone();
                let connection = async move { waiting.notified().await };
                let old = || false;
                drain
                    .enter()
                    .run(connection, old, |_| {
                        told.fetch_add(1, Ordering::Relaxed);
                        asked.notify_one();
                    })
                    .await
            })
        };
        let stubborn = {
            let drain = drain.clone();
            tokio::spawn(async move { drain.run(std::future::pending::<()>()).await })
        };
        while drain.open().wakers.values().flatten().count() < 2 {
            tokio::task::yield_now().await;
        }
        drain.advance(Stage::Leaving);
        assert!(!drain.empty(Duration::from_millis(1)).await);
        drain.advance(Stage::Closing);
        assert_eq!(polite.await.unwrap(), Some(()));
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(drain.connections(), 1);
        drain.advance(Stage::Cutting);
        assert_eq!(stubborn.await.unwrap(), None);
        assert!(drain.empty(Duration::from_secs(5)).await);
        drain.advance(Stage::Leaving);
        assert_eq!(drain.stage(), Stage::Cutting, "it never goes back");
    }
}
