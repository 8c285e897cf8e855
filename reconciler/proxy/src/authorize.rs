//! Whether a peer may ask this workload for something (semantics.md §11): asked on the server's side only.

use std::net::IpAddr;

use taut_snapshot::decide::{Peer, Request, Verdict};

use crate::config::Role;
use crate::downstream::Connection;
use crate::headers;
use crate::reply::Reply;
use crate::world::World;

/// Asks the policies. Without a request, the connection carries bytes that are not HTTP. `asked` says that whoever is to be
/// asked about it has let it pass.
///
/// # Errors
/// With what an HTTP client is told if it may not.
pub(crate) fn authorize(
    world: &World,
    connection: &Connection,
    port: u16,
    request: Option<&Request<'_>>,
    asked: bool,
) -> Result<(), Box<Reply>> {
    let peer = Peer {
        identity: connection.peer().map(|peer| peer.id.as_str()),
        source: connection.remote.ip(),
        remote: match request.filter(|_| world.tables.policies.looks_at_remote()) {
            Some(request) => client(connection, request),
            None => connection.remote.ip(),
        },
        destination: connection.local.ip(),
        port,
        server_name: connection.server_name().map(AsRef::as_ref),
    };
    let counters = &connection.worker.shared.counters;
    let watched = world.tables.policies.watch(&peer, request);
    if watched.audited {
        counters.audited.add_one();
    }
    if watched.would_deny {
        counters.dry_run_denials.add_one();
    }
    // Nobody is asked about bytes: those are not let in.
    if let Some((policy, _)) = world.tables.policies.asked(&peer, request).next().filter(|_| !asked) {
        counters.denials.add_one();
        return Err(Box::new(Reply::denied(Some(policy))));
    }
    match world.tables.policies.authorize(&peer, request) {
        Verdict::NotApplicable | Verdict::Allow(_) => Ok(()),
        Verdict::Deny(policy) => {
            counters.denials.add_one();
            Err(Box::new(Reply::denied(policy)))
        }
    }
}

/// The client's address. `x-forwarded-for` is believed where this proxy has written to it itself, or where it came over the
/// mesh's mTLS: there its end was written by whoever is at the other end. As many of its last entries as there are trusted
/// proxies in front are passed over (Envoy's `xff_num_trusted_hops`). Over plaintext nobody is believed.
pub(crate) fn client(connection: &Connection, request: &Request<'_>) -> IpAddr {
    let own = connection.remote.ip();
    let believed = matches!(connection.role, Role::Gateway { .. }) || connection.peer().is_some();
    if !believed {
        return own;
    }
    let mut found = None;
    request.headers.any(headers::FORWARDED_FOR.as_str(), &mut |value| {
        let entries = std::str::from_utf8(value).ok().map(|value| value.rsplit(','));
        let entry = entries.and_then(|mut entries| entries.nth(connection.worker.shared.trusted_proxies));
        found = entry.and_then(|entry| entry.trim().parse().ok());
        true
    });
    found.unwrap_or(own)
}
