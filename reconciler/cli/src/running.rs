//! What the long-running commands share: a runtime, signals, an identity, authenticated streams, addresses.

pub(crate) mod address;
pub(crate) mod identity;
pub(crate) mod streams;

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::Failure;

/// Runs a command that serves until it is told to stop, on the threads of `runtime`.
pub(crate) fn serve<F>(
    runtime: &mut Builder,
    until_stdin_closes: bool,
    work: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    log();
    let runtime = runtime.enable_all().build()?;
    let ended = runtime.block_on(async {
        let (stop, shutdown) = watch::channel(false);
        let stopper = tokio::spawn(stop_when_asked(until_stdin_closes, stop));
        let result = work(shutdown).await;
        stopper.abort();
        result
    });
    // A thread that reads standard input cannot be interrupted; nothing else is left by now.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// What a process says goes to standard error, from the level on that `TAUT_LOG` asks for: `debug`, or `info,h2=trace`.
fn log() {
    let asked = std::env::var("TAUT_LOG").ok().map(|asked| asked.parse::<Targets>()).transpose();
    let (filter, ignored) = asked.map_or_else(|error| (None, Some(error)), |filter| (filter, None));
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    if let Some(error) = ignored {
        tracing::warn!(%error, "TAUT_LOG is no list of levels, such as `debug` or `info,h2=trace`: it is taken as `info`");
    }
}

/// SIGTERM and SIGINT, and, if it was asked for, the end of standard input: then whoever started this is gone.
async fn stop_when_asked(until_stdin_closes: bool, stop: watch::Sender<bool>) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = stdin_closed(), if until_stdin_closes => {}
    }
    tracing::info!("stopping");
    stop.send_replace(true);
    // A second request means it: whatever is still under way is left.
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    std::process::exit(2);
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while stdin.read(&mut ignored).await.is_ok_and(|read| 0 < read) {}
}

/// Completes when a shutdown is asked for, or nobody is left to ask.
pub(crate) async fn asked(mut shutdown: watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
