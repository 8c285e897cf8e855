//! Whether a peer may ask this workload for something (semantics.md §11): asked on the server's side only.

use taut_snapshot::decide::{Peer, Request, Verdict};

use crate::downstream::Connection;
use crate::reply::Reply;
use crate::world::World;

/// Asks the policies. Without a request, the connection carries bytes that are not HTTP.
///
/// # Errors
/// With what an HTTP client is told if it may not.
pub(crate) fn authorize(
    world: &World,
    connection: &Connection,
    port: u16,
    request: Option<&Request<'_>>,
) -> Result<(), Box<Reply>> {
    let peer = Peer {
        identity: connection.peer().map(|peer| peer.id.as_str()),
        source: connection.remote.ip(),
        destination: connection.local.ip(),
        port,
        server_name: connection.server_name().map(AsRef::as_ref),
    };
    match world.tables.policies.authorize(&peer, request) {
        Verdict::NotApplicable | Verdict::Allow(_) => Ok(()),
        Verdict::Deny(policy) => {
            connection.worker.shared.counters.denials.add_one();
            Err(Box::new(Reply::denied(policy)))
        }
    }
}
