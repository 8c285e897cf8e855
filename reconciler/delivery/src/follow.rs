//! The shell around a member: it boots from disk, joins, and follows.
//!
//! Owns: the connection, the clock and the worker's thread. May not: decide anything about the protocol; `subscriber`
//! does, and this file only waits and copies.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use taut_snapshot::{Digest, Endpoint, EndpointSet, Objects};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::folder::{Folder, FolderError};
use crate::limits::{MESSAGE_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT, WINDOW_BYTES};
use crate::message::{CertificateReport, MemberKind, Refused, ToMember};
use crate::subscriber::{Facts, Input, Output, Session, Told};
use crate::wire::{from_member, proto, read_to_member};
use crate::worker::{Job, Worker};

/// How long connecting may take, TLS and all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait to be sent. Reports supersede each other, so a queue that does not move may lose the rest.
const OUTBOX_MESSAGES: usize = 64;

/// What a member's process does with what it is given. Called on a thread that may block.
pub trait Runner: Send + Sync + 'static {
    /// A snapshot that is ready to be activated.
    type Prepared: Send + 'static;

    /// Makes ready: reads everything, compiles patterns, binds listeners. Nothing changes yet.
    ///
    /// # Errors
    /// If it cannot be run: then it will not be activated, on any member.
    fn prepare(&self, snapshot: Digest, objects: &Objects) -> Result<Self::Prepared, Refused>;

    /// Runs what was made ready: one pointer swap, which cannot fail.
    fn activate(&self, prepared: Self::Prepared, snapshot: Digest, generation: u64);

    /// Uses these endpoints from now on: all that concern this member.
    fn endpoints(&self, endpoints: &EndpointSet);

    /// The certificate that it shows to others.
    fn certificate(&self) -> Option<CertificateReport>;
}

/// How a member gets a byte stream to the reconciler, authenticated in both directions.
pub trait Connect: Send + Sync + 'static {
    /// The stream.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Makes a new one.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// What a member is told about itself.
#[derive(Debug)]
pub struct MemberConfig {
    /// Its name: one name is one member, over all its restarts.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Where it keeps what it was given last.
    pub state: PathBuf,
    /// Where it answers, if it does. A change is reported at once.
    pub endpoint: watch::Receiver<Option<Endpoint>>,
    /// Tells who knows what `endpoint` says.
    pub told: watch::Sender<Told>,
}

/// Why a member cannot go on, or a publisher cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The operator's matter; its text says what to do.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Our matter: a fault in the program that runs the snapshots. A restart boots from disk.
    #[error("the member's worker failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
    /// The machine's matter; trying again makes sense.
    #[error("serving members failed: {0}")]
    Serve(String),
}

/// Boots from disk if anything was activated before, then joins the publisher and follows it until `shutdown` becomes
/// true. A connection that ends is made again; what runs goes on running.
///
/// # Errors
/// If the state folder cannot be used, or the runner panics where it must not.
pub async fn follow<R: Runner, C: Connect>(
    config: MemberConfig,
    runner: Arc<R>,
    connect: C,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), DeliveryError> {
    let MemberConfig { name, kind, state, endpoint: mut endpoints, told } = config;
    let connect = Arc::new(connect);
    let (jobs, queue) = mpsc::unbounded_channel(); // bounded by the session, which has one job of a kind under way
    let (finished, mut done) = mpsc::unbounded_channel();

    let for_worker = kind.clone();
    let booting = tokio::task::spawn_blocking(move || {
        let mut worker = Worker::new(runner, for_worker, Folder::open(&state)?);
        let (running, notes) = worker.boot();
        worker.look();
        let inspection = worker.inspect();
        Ok::<_, FolderError>((worker, running, notes, inspection))
    });
    let (worker, running, notes, inspection) = booting.await??;
    notes.iter().for_each(|note| tracing::warn!(note, "found at the start"));
    let working = tokio::task::spawn_blocking(move || worker.run(queue, &finished));

    let started = Instant::now();
    let endpoint = endpoints.borrow_and_update().clone();
    let (version, note) = (env!("CARGO_PKG_VERSION").to_owned(), notes.join("; "));
    let mut session = Session::new(Facts { name, kind, version, running, inspection, endpoint, note });
    let mut link = Link::Down;
    let mut stopping = false;
    'life: loop {
        let wake = session.deadline().map(|at| started + at);
        let input = tokio::select! {
            input = link.next() => input,
            done = done.recv() => match done {
                Some(done) => Input::Done(done),
                None => break 'life, // the worker's own error says why
            },
            endpoint = changed(&mut endpoints) => Input::Endpoint(endpoint),
            () = asked_to_stop(&mut shutdown), if !stopping => {
                stopping = true;
                Input::Shutdown
            }
            () = sleep_until(wake.unwrap_or(started)), if wake.is_some() => Input::Tick,
        };
        for output in session.handle(started.elapsed(), input) {
            let job = match output {
                Output::Connect => {
                    link = Link::Connecting(Box::pin(dial(Arc::clone(&connect))));
                    continue;
                }
                Output::Send(message) => {
                    link.send(from_member(message));
                    continue;
                }
                Output::Close => {
                    link.close();
                    continue;
                }
                Output::Stop => break 'life,
                Output::Stage(offered, received) => Job::Stage(offered, received),
                Output::Activate(wanted) => Job::Activate(wanted),
                Output::Discard => Job::Discard,
                Output::Endpoints(set) => Job::Endpoints(set),
                Output::Inspect => Job::Inspect,
            };
            if jobs.send(job).is_err() {
                break 'life;
            }
        }
        told.send_if_modified(|told| std::mem::replace(told, session.told()) != *told);
    }
    drop(jobs);
    Ok(working.await?)
}

/// The next value; never, if nobody can send one any more.
async fn changed<T: Clone>(values: &mut watch::Receiver<T>) -> T {
    match values.changed().await {
        Ok(()) => values.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

type Dialling = Pin<Box<dyn Future<Output = Result<Connected, String>> + Send>>;

struct Connected {
    inbox: Streaming<proto::ToMember>,
    outbox: Option<mpsc::Sender<proto::FromMember>>,
}

/// The connection to the publisher.
enum Link {
    Down,
    Connecting(Dialling),
    Up(Box<Connected>),
}

impl Link {
    /// What happens on it next. May be dropped and asked again without losing anything.
    async fn next(&mut self) -> Input {
        let why = match self {
            Link::Down => std::future::pending().await,
            Link::Connecting(dialling) => match dialling.await {
                Ok(connected) => {
                    *self = Link::Up(Box::new(connected));
                    tracing::info!("joined the reconciler");
                    return Input::Connected;
                }
                Err(why) => why,
            },
            Link::Up(connected) => match connected.inbox.message().await {
                Ok(Some(message)) => match read_to_member(message) {
                    Ok(message) => {
                        if let ToMember::Rejected { why } = &message {
                            tracing::warn!(why, "the reconciler does not let it join");
                        }
                        return Input::Received(message);
                    }
                    Err(status) => status.message().to_owned(),
                },
                Ok(None) => "the reconciler closed the connection".to_owned(),
                Err(status) => status.message().to_owned(),
            },
        };
        *self = Link::Down;
        tracing::info!(why, "no connection to the reconciler; what runs goes on running");
        let jitter = (RandomState::new().build_hasher().finish() % 1001) as u32;
        Input::Disconnected { jitter }
    }

    fn send(&mut self, message: proto::FromMember) {
        if let Link::Up(connected) = self
            && let Some(outbox) = &connected.outbox
        {
            // A message that finds no room is lost, as on any network: the next report says it again.
            let _ = outbox.try_send(message);
        }
    }

    fn close(&mut self) {
        if let Link::Up(connected) = self {
            connected.outbox = None;
        }
    }
}

async fn dial<C: Connect>(connect: Arc<C>) -> Result<Connected, String> {
    let connector = tower::service_fn(move |_| {
        let connect = Arc::clone(&connect);
        async move { connect.connect().await.map(TokioIo::new) }
    });
    // The name is never looked up: the connector knows where to go and whom to expect there.
    let endpoint = tonic::transport::Endpoint::from_static("http://reconciler.invalid")
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    let connecting = async move {
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| in_full(&error))?;
        let mut client = proto::delivery_client::DeliveryClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let inbox = client.follow(ReceiverStream::new(messages)).await.map_err(|status| in_full(&status))?;
        Ok(Connected { inbox: inbox.into_inner(), outbox: Some(outbox) })
    };
    timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err("connecting took too long".to_owned()))
}

/// An error with its causes: the outermost alone says no more than "transport error".
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
