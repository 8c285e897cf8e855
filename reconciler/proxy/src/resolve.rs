//! Clusters whose endpoints are names to be looked up (semantics.md §6.2, 'DNS endpoints').
//!
//! Owns: when a name is looked up again.
//! Invariant: the last good answer stays until there is a better one. A name server that is away takes nobody down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use taut_snapshot::decide::Whereabouts;
use taut_snapshot::object::{DnsName, EndpointSource};
use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::config::Refresh;
use crate::telemetry::names::NameId;
use crate::upstream::{Found, Upstream};

/// How long one look-up may take.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Looks up the names of a cluster for as long as the cluster is there. `first` is dropped when each was looked up once.
pub(crate) fn keep_resolved(
    upstream: &Arc<Upstream>,
    (workers, refresh): (usize, Refresh),
    runtime: &Handle,
    first: Sender<()>,
) {
    let EndpointSource::Dns(names) = &upstream.cluster.endpoints else { return };
    runtime.spawn(resolve(Arc::downgrade(upstream), names.clone(), (workers, refresh), first));
}

async fn resolve(
    upstream: Weak<Upstream>,
    names: Vec<DnsName>,
    (workers, refresh): (usize, Refresh),
    first: Sender<()>,
) {
    let mut first = Some(first);
    let mut known: Vec<Option<Vec<SocketAddr>>> = vec![None; names.len()];
    let mut wait = refresh.names;
    loop {
        let mut failed = false;
        for (name, known) in names.iter().zip(&mut known) {
            match look_up(name).await {
                Some(addresses) => *known = Some(addresses),
                None => failed = true,
            }
        }
        let Some(upstream) = upstream.upgrade() else { return };
        let found = found(&names, &known);
        // With nothing found at all, what came from the snapshot before is better.
        if !found.is_empty() {
            upstream.populate(&found, workers, None);
        }
        drop(upstream);
        first.take();
        sleep(wait).await;
        wait = if failed { (wait * 2).min(refresh.names_after_failure_max) } else { refresh.names };
    }
}

/// The addresses of a name, in an order that does not depend on the answer's.
async fn look_up(name: &DnsName) -> Option<Vec<SocketAddr>> {
    match timeout(LOOKUP_MAX, lookup_host((name.host.as_str(), name.port))).await {
        Ok(Ok(addresses)) => {
            let mut addresses = reachable(addresses.collect());
            addresses.sort_unstable();
            addresses.dedup();
            Some(addresses).filter(|addresses| !addresses.is_empty())
        }
        Ok(Err(error)) => {
            tracing::warn!(name = %name.host, %error, "a name cannot be looked up; its last answer stays");
            None
        }
        Err(_) => {
            tracing::warn!(name = %name.host, "looking a name up takes too long; its last answer stays");
            None
        }
    }
}

/// The addresses that this machine has a route to; all of them if it has none to any. Istio asks for addresses of the families
/// alone that the pod has: on a machine without IPv6, a name's IPv6 addresses would fail every other request.
fn reachable(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    // Nothing is sent: the system only looks for a route.
    let has_route = |to: &&SocketAddr| {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(to)).is_ok()
    };
    let some: Vec<SocketAddr> = addresses.iter().filter(has_route).copied().collect();
    if some.is_empty() { addresses } else { some }
}

fn found(names: &[DnsName], known: &[Option<Vec<SocketAddr>>]) -> Vec<Found> {
    let mut all = Vec::new();
    for (name, addresses) in names.iter().zip(known) {
        let whereabouts = Arc::new(Whereabouts { locality: name.locality.clone(), labels: Vec::new() });
        for address in addresses.iter().flatten() {
            all.push(Found {
                address: *address,
                speaks_mtls: false,
                workload: NameId::UNKNOWN,
                weight: name.weight,
                draining: false,
                whereabouts: whereabouts.clone(),
            });
        }
    }
    all
}
