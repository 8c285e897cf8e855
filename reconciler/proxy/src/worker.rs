//! The threads that serve requests.
//!
//! Owns: what one worker has for itself, and what all of them share.
//! Invariant: each worker is one thread with a runtime of its own, and its connections, from below and to above, stay on
//! it; workers meet only in numbers and in the one pointer to the world.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use taut_identity::LiveIdentity;
use taut_snapshot::Text;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::balance::Draws;
use crate::config::{Patience, Refresh};
use crate::dns::Dns;
use crate::drain::Drains;
use crate::limits::Gauge;
use crate::listen::{Listening, accept_all};
use crate::retire::Retired;
use crate::telemetry::counters::Counters;
use crate::telemetry::files::Writers;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Shard;
use crate::telemetry::names::{Labels, NameId};
use crate::tls::Inward;
use crate::trace::export::{Reports, send_all};
use crate::world::World;

/// What all workers share.
pub(crate) struct Shared {
    /// What decides requests; none before the first snapshot. Each request loads it once.
    pub(crate) world: ArcSwapOption<World>,
    /// Those before it, as long as requests are decided by them.
    pub(crate) retired: Retired,
    /// Whether there is one. Connections wait for it, not requests.
    pub(crate) has_world: watch::Sender<bool>,
    pub(crate) identity: LiveIdentity,
    /// The identity's id, as labels name it.
    pub(crate) principal: NameId,
    /// How mTLS is ended here.
    pub(crate) inward: Inward,
    pub(crate) labels: Labels,
    pub(crate) counters: Counters,
    pub(crate) drains: Drains,
    /// Connections from below.
    pub(crate) connections: Arc<Gauge>,
    /// How many of them there may be.
    pub(crate) connections_max: u32,
    /// How long clients may take.
    pub(crate) patience: Patience,
    /// How often keys are fetched.
    pub(crate) refresh: Refresh,
    /// The names that clusters follow.
    pub(crate) dns: Arc<Dns>,
    pub(crate) log: Option<Log>,
    /// Those who write the mesh's logs.
    pub(crate) writers: Writers,
    /// Spans and entries of logs on their way to collectors.
    pub(crate) reports: Reports,
    /// Where the proxy is, if its command line says.
    pub(crate) locality: Option<Text>,
    /// How many threads serve.
    pub(crate) workers: usize,
    /// How many proxies in front of a gateway are trusted.
    pub(crate) trusted_proxies: usize,
    /// What durations are counted from.
    pub(crate) began: Instant,
}

/// What one worker has for itself.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) series: Shard,
    pub(crate) draws: Draws,
}

/// All workers of a proxy. Their threads end when this is dropped.
pub(crate) struct Workers {
    pub(crate) all: Vec<Arc<Worker>>,
    tasks: Vec<UnboundedSender<Arc<Listening>>>,
}

impl Workers {
    /// Starts as many threads.
    ///
    /// # Errors
    /// If the system gives no thread, or no means to wait for sockets.
    pub(crate) fn start(count: NonZeroUsize, shared: &Arc<Shared>) -> io::Result<Workers> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        let mut workers = Workers { all: Vec::new(), tasks: Vec::new() };
        for index in 0..count.get() {
            let worker = Arc::new(Worker {
                index,
                shared: shared.clone(),
                series: Shard::default(),
                draws: Draws::new(seed.rotate_left(index as u32 * 7) ^ index as u64),
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            shared.writers.start_from(runtime.handle());
            let (listen, tasks) = unbounded_channel();
            let serve = work(worker.clone(), tasks);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || runtime.block_on(serve))?;
            workers.all.push(worker);
            workers.tasks.push(listen);
        }
        Ok(workers)
    }

    /// Has all of them accept connections from a listener, until that is stopped.
    pub(crate) fn listen(&self, listening: &Arc<Listening>) {
        for worker in &self.tasks {
            // A worker ends only when `self` does.
            let _ = worker.send(listening.clone());
        }
    }
}

async fn work(worker: Arc<Worker>, mut tasks: UnboundedReceiver<Arc<Listening>>) {
    if worker.index == 0 {
        tokio::spawn(send_all(worker.clone()));
    }
    while let Some(listening) = tasks.recv().await {
        tokio::spawn(accept_all(worker.clone(), listening));
    }
}
