//! Clusters whose endpoints are names (semantics.md §6.2, 'DNS endpoints'): each address of a name is one, or the name is.
//!
//! Owns: which addresses are endpoints, and which stand beside another, so that a connection can try both. `dns` knows how
//! long they are good for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use taut_snapshot::decide::Whereabouts;
use taut_snapshot::object::{DnsName, EndpointSource};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::dns::{Dns, Name};
use crate::telemetry::names::NameId;
use crate::upstream::{Found, Upstream};

/// How many addresses of the other family a connection tries beside an endpoint's own: the second is for when the first
/// swallows it too.
const BESIDE_MAX: usize = 2;

/// More addresses of one name are left out: each is an endpoint, with a memory of its own.
const ADDRESSES_MAX: usize = 1_024;

/// Names are asked for a little later than they could be, each by another part of this: what begins at once in a whole fleet
/// does not come at once for ever (Istio's `dns_jitter`).
const JITTER_MS: u64 = 100;

/// Looks up the names of a cluster for as long as the cluster is there. `first` is dropped when each was looked up once.
pub(crate) fn keep_resolved(
    upstream: &Arc<Upstream>,
    workers: usize,
    dns: &Arc<Dns>,
    runtime: &Handle,
    first: Sender<()>,
) {
    let EndpointSource::Dns(names) = &upstream.cluster.endpoints else { return };
    let followed = names.iter().map(|name| dns.name(&name.host)).collect();
    runtime.spawn(resolve(Arc::downgrade(upstream), names.clone(), followed, dns.clone(), workers, first));
}

async fn resolve(
    upstream: Weak<Upstream>,
    names: Vec<DnsName>,
    followed: Vec<Arc<Name>>,
    dns: Arc<Dns>,
    workers: usize,
    first: Sender<()>,
) {
    let mut first = Some(first);
    let mut known: Vec<(Vec<IpAddr>, Option<Instant>)> = vec![(Vec::new(), None); names.len()];
    let mut before = Vec::new();
    loop {
        let now = Instant::now();
        let mut asking = JoinSet::new();
        for (number, (_, due)) in known.iter().enumerate() {
            if due.is_none_or(|due| due <= now) {
                let (dns, name) = (dns.clone(), followed[number].clone());
                asking.spawn(async move { (number, dns.addresses(&name).await) });
            }
        }
        while let Some(asked) = asking.join_next().await {
            if let Ok((number, (addresses, due))) = asked {
                known[number] = (reachable(addresses), Some(due));
            }
        }
        let Some(upstream) = upstream.upgrade() else { return };
        let found = found(&names, &known);
        // With nothing found at all, what came from the snapshot before is better.
        if !found.is_empty() && found != before {
            upstream.populate(&found, workers, None);
            before = found;
        }
        drop(upstream);
        first.take();
        let mut random = [0; 8];
        // Without random numbers it is only less spread.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let jitter = Duration::from_millis(u64::from_ne_bytes(random) % JITTER_MS);
        // A cluster without names has nothing to wait for.
        let Some(due) = known.iter().map(|(_, due)| due.unwrap_or(now)).min() else { return };
        sleep_until(due + jitter).await;
    }
}

/// The addresses that this machine has a route to; all of them if it has none to any. Istio asks for addresses of the families
/// alone that the pod has: on a machine without IPv6, a name's IPv6 addresses would fail every other request.
fn reachable(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    // Nothing is sent: the system only looks for a route, and the port does not matter.
    let has_route = |to: &&IpAddr| {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((**to, 9))).is_ok()
    };
    let some: Vec<IpAddr> = addresses.iter().filter(has_route).copied().collect();
    if some.is_empty() { addresses } else { some }
}

fn found(names: &[DnsName], known: &[(Vec<IpAddr>, Option<Instant>)]) -> Vec<Found> {
    let mut all = Vec::new();
    for (name, (addresses, _)) in names.iter().zip(known) {
        let whereabouts = Arc::new(Whereabouts { locality: name.locality.clone(), labels: Vec::new() });
        let at = |ip: IpAddr| SocketAddr::new(ip, name.port);
        let endpoint = |address: IpAddr, dial: Vec<SocketAddr>| Found {
            address: at(address),
            dial,
            speaks_mtls: false,
            workload: NameId::UNKNOWN,
            weight: name.weight,
            draining: false,
            whereabouts: whereabouts.clone(),
        };
        let tried = |address: IpAddr, beside: &[IpAddr]| [&[address], beside].concat().into_iter().map(at).collect();
        if name.single {
            // Known by no address, so that it stays the same one, with its connections, wherever its name leads.
            let first = addresses.iter().zip(beside(addresses)).next();
            let known_by = Ipv4Addr::UNSPECIFIED.into();
            all.extend(first.map(|(address, beside)| endpoint(known_by, tried(*address, &beside))));
            continue;
        }
        // In an order that does not depend on the answer's: endpoints that only changed places are the same.
        let mut addresses = addresses.clone();
        addresses.sort_unstable();
        addresses.truncate(ADDRESSES_MAX);
        for (address, beside) in addresses.iter().zip(beside(&addresses)) {
            let dial = if beside.is_empty() { Vec::new() } else { tried(*address, &beside) };
            all.push(endpoint(*address, dial));
        }
    }
    all
}

/// For each address of a name those of the other family that may stand for it. Each begins with another, so that what one
/// family swallows is spread over the other.
fn beside(addresses: &[IpAddr]) -> Vec<Vec<IpAddr>> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
    let mut counts = [0, 0];
    let of = |address: &IpAddr| {
        let (others, count) = if address.is_ipv4() { (&v6, &mut counts[0]) } else { (&v4, &mut counts[1]) };
        let mine = others.iter().cycle().skip(*count).take(others.len().min(BESIDE_MAX)).copied().collect();
        // Not beyond their number, so that skipping stays short.
        *count = (*count + 1) % others.len().max(1);
        mine
    };
    addresses.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_others_of_the_other_family_beside_it() {
        for (all, wanted) in [
            ("10.0.0.1 10.0.0.2", "- -"),
            ("::1", "-"),
            ("10.0.0.1 ::1", "::1 10.0.0.1"),
            ("10.0.0.1 10.0.0.2 10.0.0.3 ::1 ::2", "::1,::2 ::2,::1 ::1,::2 10.0.0.1,10.0.0.2 10.0.0.2,10.0.0.3"),
        ] {
            let addresses: Vec<IpAddr> = all.split(' ').map(|text| text.parse().unwrap()).collect();
            let words = beside(&addresses).into_iter().map(|all| match all.is_empty() {
                true => "-".to_owned(),
                false => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            });
            assert_eq!(words.collect::<Vec<_>>().join(" "), wanted, "{all}");
        }
    }
}
