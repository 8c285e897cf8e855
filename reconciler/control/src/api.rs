//! The door for operators: a socket in the state folder.
//!
//! Owns: who may come in (the owner of the folder, and nobody else), and what an operator is told who finds nobody.
//! May not: know what a command means.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt, future};
use hyper_util::rt::TokioIo;
use taut_delivery::folder::FolderError;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Endpoint, Server};

use crate::command::{Order, Target};
use crate::record::Record;
use crate::status::{Done, Drift, Status, Waited};
use crate::wire::{Asked, Calls, server};

/// The socket's name in the state folder.
const SOCKET: &str = "control.sock";

/// How long connecting may take: the reconciler is on this machine, and only waits for its disk.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an operator has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The operator's matter: nobody is there.
    #[error(
        "no reconciler answers at {}: start one with `taut reconcile`, or name the state folder of the one that runs",
        socket.display()
    )]
    Nobody {
        /// Where it should be.
        socket: PathBuf,
    },
    /// The operator's matter: it is somebody else's reconciler.
    #[error("{} belongs to another user: give orders as the user who runs the reconciler", socket.display())]
    Forbidden {
        /// Where it is.
        socket: PathBuf,
    },
    /// The operator's matter: the order cannot be carried out, and this says why.
    #[error("{0}")]
    Refused(String),
    /// Trying again makes sense.
    #[error("the reconciler was lost before it answered ({0}): try again")]
    Lost(String),
    /// The two are not of one version.
    #[error("the reconciler's answer makes no sense here: {0}; is it of the version of this program?")]
    Answer(String),
}

/// A connection to the reconciler that has a state folder.
#[derive(Clone, Debug)]
pub struct Client(Calls);

impl Client {
    /// Connects to the reconciler that runs with this state folder.
    ///
    /// # Errors
    /// If there is none, or it is another user's.
    pub async fn connect(state: &Path) -> Result<Client, ApiError> {
        let socket = state.join(SOCKET);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => ApiError::Forbidden { socket: socket.clone() },
            _ => ApiError::Nobody { socket: socket.clone() },
        };
        // Tried once by hand, since tonic's own error says only that it did not work.
        let first = UnixStream::connect(&socket).await.map_err(failed)?;
        let mut first = Some(first);
        let path = socket.clone();
        let connector = tower::service_fn(move |_| {
            let (first, path) = (first.take(), path.clone());
            async move {
                let stream = match first {
                    Some(stream) => stream,
                    None => UnixStream::connect(path).await?,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The name is never looked up: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://reconciler.invalid").connect_timeout(CONNECT_TIMEOUT);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|_| ApiError::Nobody { socket: socket.clone() })?;
        Ok(Client(Calls::new(channel)))
    }

    /// How the fleet is, as its members have reported.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn status(&mut self) -> Result<Status, ApiError> {
        self.0.status().await
    }

    /// Waits until every live member runs something, or will not. `pending` is told what stands in the way, whenever
    /// that changes.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn wait(
        &mut self,
        target: Target,
        timeout: Duration,
        pending: impl FnMut(&str),
    ) -> Result<Waited, ApiError> {
        self.0.wait(target, timeout, pending).await
    }

    /// What happened, newest first.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn history(&mut self, limit: usize) -> Result<Vec<Record>, ApiError> {
        self.0.history(limit).await
    }

    /// Every difference between git, what was activated, and what members run.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn drift(&mut self) -> Result<Vec<Drift>, ApiError> {
        self.0.drift().await
    }

    /// What the reconciler does next, and what it waits for.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn plan(&mut self) -> Result<String, ApiError> {
        self.0.plan().await
    }

    /// Goes back to an older release: a generation, or the beginning of a commit's id or a snapshot's; without one, to
    /// what was active before. Git is held from then on.
    ///
    /// # Errors
    /// If there is nothing to go back to, or no answer.
    pub async fn rollback(&mut self, to: Option<String>, order: &Order) -> Result<Done, ApiError> {
        self.0.rollback(to, order).await
    }

    /// Has the fleet stay where it is, whatever git says.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn hold(&mut self, order: &Order) -> Result<Done, ApiError> {
        self.0.hold(order).await
    }

    /// Has the fleet follow git again.
    ///
    /// # Errors
    /// If there is no answer, or what git has cannot be read.
    pub async fn resume(&mut self, order: &Order) -> Result<Done, ApiError> {
        self.0.resume(order).await
    }
}

/// Opens the door. Whoever calls this has the folder's lock, so a socket that is there is nobody's any more.
pub(crate) fn listen(state: &Path) -> Result<UnixListener, FolderError> {
    let failed = |source: io::Error| FolderError::of(state, "open the socket for operators", source);
    let socket = state.join(SOCKET);
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => (),
    }
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Serves operators until the listener's task is dropped.
pub(crate) async fn serve(listener: UnixListener, state: PathBuf, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let owner = std::fs::metadata(state.join(SOCKET))?.uid();
    let service = Server::builder().add_service(server(asked));
    service.serve_with_incoming(owners(listener, owner)).await.map_err(io::Error::other)
}

/// Connections of the socket's owner, and of root. Permissions say the same; this holds from the first moment on.
fn owners(listener: UnixListener, owner: u32) -> impl Stream<Item = io::Result<UnixStream>> {
    UnixListenerStream::new(listener).filter(move |accepted| {
        let allowed = |stream: &UnixStream| stream.peer_cred().is_ok_and(|peer| [owner, 0].contains(&peer.uid()));
        future::ready(accepted.as_ref().is_ok_and(allowed))
    })
}
