//! Requests without a pause, through the gateway, and what came of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::call::{Ask, connections, get};

/// Clients that ask one thing after the other.
const CLIENTS: usize = 6;

/// Every tenth request asks for the canary.
const CANARY_EVERY: usize = 10;

/// How many failures are kept word by word.
const FAILURES_KEPT: usize = 3;

/// What came of some requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Responses of each version to requests that ask for nothing special.
    pub(super) v1: u64,
    pub(super) v2: u64,
    /// Responses of each version to requests that ask for the canary.
    pub(super) canary_v1: u64,
    pub(super) canary_v2: u64,
    /// Requests without the response that they should have had.
    pub(super) failed: u64,
    /// The first of these, in words.
    pub(super) failures: Vec<String>,
    /// The slowest response.
    pub(super) slowest: Duration,
}

impl Tally {
    pub(super) fn requests(&self) -> u64 {
        self.v1 + self.v2 + self.canary_v1 + self.canary_v2 + self.failed
    }

    /// How many percent of the requests that ask for nothing special were answered by v2.
    pub(super) fn share_of_v2(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^52")]
        let (v1, v2) = (self.v1 as f64, self.v2 as f64);
        100.0 * v2 / (v1 + v2).max(1.0)
    }

    fn count(&mut self, canary: bool, took: Duration, said: &Result<(StatusCode, String), String>) {
        self.slowest = self.slowest.max(took);
        let count = match said {
            Ok((StatusCode::OK, version)) => match (version.as_str(), canary) {
                ("v1", false) => &mut self.v1,
                ("v2", false) => &mut self.v2,
                ("v1", true) => &mut self.canary_v1,
                ("v2", true) => &mut self.canary_v2,
                _ => &mut self.failed,
            },
            _ => &mut self.failed,
        };
        *count += 1;
        if self.failures.len() < FAILURES_KEPT {
            match said {
                Ok((StatusCode::OK, version)) if version == "v1" || version == "v2" => {}
                Ok((status, body)) => self.failures.push(format!("{status}: {body}")),
                Err(why) => self.failures.push(why.clone()),
            }
        }
    }
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// Since the beginning.
    pub(super) all: Tally,
    /// Of requests that were sent since the last question.
    pub(super) since: Tally,
    question: u64,
}

/// The load, while it runs.
pub(super) struct Load {
    counted: Arc<watch::Sender<Counted>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(super) fn start(gateway: SocketAddr, host: &'static str) -> Load {
        let counted = Arc::new(watch::Sender::new(Counted::default()));
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (counted, stopped) = (counted.clone(), stopped.clone());
            clients.spawn(async move {
                let connections = connections();
                for number in client.. {
                    if *stopped.borrow() {
                        break;
                    }
                    let canary = number % CANARY_EVERY == 0;
                    let question = counted.borrow().question;
                    let sent = Instant::now();
                    let said = get(&connections, gateway, Ask { host, path: "/", canary }).await;
                    counted.send_modify(|counted| {
                        counted.all.count(canary, sent.elapsed(), &said);
                        if counted.question == question {
                            counted.since.count(canary, sent.elapsed(), &said);
                        }
                    });
                }
            });
        }
        Load { counted, stop, clients }
    }

    /// What can be watched while requests are counted.
    pub(super) fn watch(&self) -> watch::Receiver<Counted> {
        self.counted.subscribe()
    }

    /// What comes of the next requests, of which at least so many are sent from now on.
    pub(super) async fn next(&self, requests: u64) -> Tally {
        self.counted.send_modify(|counted| {
            counted.question += 1;
            counted.since = Tally::default();
        });
        let mut counted = self.counted.subscribe();
        match counted.wait_for(|counted| requests <= counted.since.requests()).await {
            Ok(counted) => counted.since.clone(),
            // The sender is ours, and we are still here.
            Err(_) => Tally::default(),
        }
    }

    /// Ends the load when every request under way has its response.
    pub(super) async fn stop(mut self) -> Tally {
        self.stop.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        self.counted.borrow().all.clone()
    }
}
