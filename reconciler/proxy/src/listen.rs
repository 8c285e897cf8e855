//! Sockets that connections come in by.
//!
//! Owns: binding, sharing a socket between workers, and giving it up without losing who has connected already.
//! Invariant: there is one queue of connections for each address, and every worker takes from it. With a queue for each
//! worker (`SO_REUSEPORT`), whoever waits in the queue of a busy worker, or of one that closes, waits or is lost; so an idle
//! worker takes the next one, and a listener is closed when its queue is empty.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::accept::serve_connection;
use crate::config::Role;
use crate::worker::Worker;

/// How many connections may wait to be accepted: what comes in one burst while all workers are busy for a moment.
const BACKLOG: u32 = 1_024;

/// How long to wait when the system has no descriptor to give. Accepting at once again would only burn time.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) role: Role,
    pub(crate) address: SocketAddr,
    /// None once it is stopped: as long as anyone holds it, the system goes on taking connections that nobody will serve.
    socket: Mutex<Option<std::net::TcpListener>>,
    stopped: watch::Sender<bool>,
}

impl Listening {
    /// Listens. Connections wait until workers accept them.
    ///
    /// # Errors
    /// If the address is taken, or not one of this machine, or may not be used.
    pub(crate) fn bind(role: Role, address: SocketAddr, runtime: &tokio::runtime::Handle) -> io::Result<Listening> {
        let _entered = runtime.enter();
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A proxy that restarts must not wait for the connections of the one before to be forgotten.
        socket.set_reuseaddr(true)?;
        if address.is_ipv6() && role.is_captured() {
            // What is captured has its own socket in each family, and addresses that policies can read.
            socket2::SockRef::from(&socket).set_only_v6(true)?;
        }
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?.into_std()?;
        let address = socket.local_addr()?;
        Ok(Listening { role, address, socket: Mutex::new(Some(socket)), stopped: watch::Sender::new(false) })
    }

    /// Stops accepting, after those who have connected already.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.socket().take();
    }

    fn socket(&self) -> MutexGuard<'_, Option<std::net::TcpListener>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until the listener is stopped.
pub(crate) async fn accept_all(worker: Arc<Worker>, listening: Arc<Listening>) {
    // A proxy that stops waits until all who have connected were accepted. Made first, so that it ends after the listener.
    let _accepting = worker.shared.drains.of(listening.role).enter();
    let socket = listening.socket().as_ref().map(std::net::TcpListener::try_clone);
    let listener = match socket.map(|socket| socket.and_then(TcpListener::from_std)) {
        Some(Ok(listener)) => listener,
        None => return, // it was stopped before this worker came to it
        Some(Err(error)) => {
            worker.shared.counters.accept_failures.add_one();
            tracing::error!(address = %listening.address, %error, "a worker cannot accept connections");
            return;
        }
    };
    let (role, mut stopping) = (listening.role, listening.stopped.subscribe());
    drop(listening);
    let mut stopped = std::pin::pin!(async {
        // An error means that nobody is left to stop it otherwise.
        let _ = stopping.wait_for(|stopped| *stopped).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            Ok((stream, remote)) => take(&worker, role, stream, remote),
            Err(error) => {
                worker.shared.counters.accept_failures.add_one();
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Ok((stream, remote))) = listener.poll_accept(cx) {
            take(&worker, role, stream, remote);
        }
        Poll::Ready(())
    })
    .await;
}

fn take(worker: &Arc<Worker>, role: Role, stream: TcpStream, remote: SocketAddr) {
    // Counted at once: a proxy that stops waits for it.
    let entered = worker.shared.drains.of(role).enter();
    let serve = serve_connection(worker.clone(), role, stream, remote);
    tokio::spawn(entered.run(serve, || true, |_| {}));
}
