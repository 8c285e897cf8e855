//! Why a proxy cannot run.

use std::io;
use std::net::SocketAddr;

/// Why a proxy does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address cannot be listened on. Another address, or its present owner gone, mends it.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The admin pages show keys to nobody, but they end the process: they are for this machine alone.
    #[error("the admin address {0} can be reached from elsewhere: choose one of this machine, such as 127.0.0.1")]
    AdminNotLocal(SocketAddr),
    /// Others of the mesh could not be told where it is.
    #[error("{0} stands for every address of this machine: say which one others reach it by, with `advertise`")]
    NoAddress(SocketAddr),
    /// The system gives no threads or timers. A retry helps if others give theirs back.
    #[error("cannot start the worker threads: {0}")]
    Workers(#[source] io::Error),
    /// The connection to the publisher ended in a way that a retry does not mend.
    #[error(transparent)]
    Delivery(#[from] taut_delivery::DeliveryError),
}
