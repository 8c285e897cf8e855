//! What the proxy does with what it is given: snapshots, activations, endpoints.
//!
//! Owns: the order in which things change, one at a time.
//! May not: be in the way of a request. Workers see one pointer change.
//! Invariant: `prepare` changes nothing that runs, and after it nothing can fail.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taut_delivery::{CertificateReport, Refused, Runner};
use taut_snapshot::{Digest, EndpointSet, Objects};

use crate::config::{Bind, Role};
use crate::endpoints::Directory;
use crate::listen::Listening;
use crate::proxy::Proxy;
use crate::resolve::keep_resolved;
use crate::token::{Tokens, keep_fetched};
use crate::upstream::Upstream;
use crate::world::{Fresh, Place, World, gateway_address};

/// How long a snapshot waits for the names of its new clusters to be looked up. With an answer, the first request finds an
/// endpoint; a name server that is away must not hold the fleet.
const LOOKUP_WAIT: Duration = Duration::from_secs(3);

/// A snapshot that can be activated.
pub struct Prepared {
    world: World,
    fresh: Vec<Fresh>,
    /// Ports of the gateway that nobody listened on before.
    listening: BTreeMap<u16, Arc<Listening>>,
    /// The endpoints that its clusters have.
    directory: Arc<Directory>,
}

/// What changes while the proxy runs, beside the world.
#[derive(Default)]
pub(crate) struct Changing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    directory: Arc<Directory>,
    /// Ports of the gateway that came with a snapshot, and not with a bind.
    listening: BTreeMap<u16, Arc<Listening>>,
}

impl Changing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ports that came with a snapshot.
    pub(crate) fn listening(&self) -> Vec<Arc<Listening>> {
        self.state().listening.values().cloned().collect()
    }
}

impl Runner for Proxy {
    type Prepared = Prepared;

    fn prepare(&self, snapshot: Digest, objects: &Objects) -> Result<Prepared, Refused> {
        let prepared = self.make_ready(snapshot, objects);
        if prepared.is_err() {
            self.shared.counters.refusals.add_one();
        }
        prepared
    }

    fn activate(&self, prepared: Prepared, _: Digest, generation: u64) {
        let Prepared { mut world, fresh, listening, directory } = prepared;
        world.generation = generation;
        let mut state = self.changing.state();
        if !Arc::ptr_eq(&directory, &state.directory) {
            for Fresh { upstream, before } in &fresh {
                self.populate(upstream, &state.directory, before.as_deref());
            }
        }
        // Somebody may have been taken out since, by the cluster that the new one stands for.
        fresh.iter().for_each(|fresh| fresh.upstream.seat());
        self.shared
            .identity
            .set_aliases(world.tables.mesh.trust_domain_aliases.iter().map(ToString::to_string).collect());
        let ports: Vec<u16> = world.tables.listeners.iter().map(|listener| listener.port).collect();
        self.tell_of_idle_ports(&world, &ports);
        let before = self.shared.world.swap(Some(Arc::new(world)));
        self.shared.retired.add(before);
        self.shared.has_world.send_replace(true);
        self.shared.counters.activations.add_one();

        listening.values().for_each(|listening| self.workers.listen(listening));
        state.listening.extend(listening);
        state.listening.retain(|port, listening| {
            let stays = ports.contains(port);
            if !stays {
                listening.stop();
            }
            stays
        });
        drop(state);
        self.report_endpoint();
    }

    fn endpoints(&self, endpoints: &EndpointSet) {
        let directory = Arc::new(Directory::new(endpoints, &self.shared.labels));
        let mut state = self.changing.state();
        state.directory = directory;
        if let Some(world) = self.shared.world.load_full() {
            world.upstreams.iter().for_each(|upstream| self.populate(upstream, &state.directory, None));
        }
    }

    fn certificate(&self) -> Option<CertificateReport> {
        let credentials = self.shared.identity.current();
        Some(CertificateReport {
            id: credentials.id().to_string(),
            serial: credentials.serial().to_owned(),
            not_after: credentials.not_after(),
        })
    }
}

impl Proxy {
    fn make_ready(&self, snapshot: Digest, objects: &Objects) -> Result<Prepared, Refused> {
        let before = self.shared.world.load_full();
        let roles: Vec<Role> = self.addresses.binds.iter().map(|bind| bind.role).collect();
        let place =
            Place { name: &self.name, workload: &self.workload, roles: &roles, workers: self.workers.all.len() };
        let (world, fresh) = World::new(snapshot, objects, &place, &self.shared, before.as_deref())?;
        let listening = self.listen_anew(&world, &roles)?;
        let directory = self.changing.state().directory.clone();
        let ((looking_up, looked_up), refresh, dns) = (channel(), self.shared.refresh, &self.shared.dns);
        for Fresh { upstream, before } in &fresh {
            self.populate(upstream, &directory, before.as_deref());
            keep_resolved(upstream, self.workers.all.len(), dns, &self.runtime, looking_up.clone());
        }
        for fetch in world.tokens.iter().flat_map(Tokens::fetches) {
            keep_fetched(fetch, refresh, dns, &self.runtime, looking_up.clone());
        }
        drop(looking_up);
        // Nothing is ever sent. This ends when every sender is gone, because every name was looked up and all keys were
        // asked for, or with the time.
        let _ = looked_up.recv_timeout(LOOKUP_WAIT);
        Ok(Prepared { world, fresh, listening, directory })
    }

    /// Says which binds are for ports that no Gateway has: whoever connects there gets nothing.
    fn tell_of_idle_ports(&self, world: &World, ports: &[u16]) {
        let before = self.shared.world.load_full();
        let before = before.map(|world| world.tables.listeners.iter().map(|it| it.port).collect::<Vec<u16>>());
        for (address, port) in idle_ports(&self.addresses.binds, before.as_deref(), ports) {
            let has = if ports.is_empty() {
                "no Gateway selects this workload, or none of its servers could be taken".to_owned()
            } else {
                format!("its ports are {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
            };
            let (workload, snapshot) = (&self.workload, world.snapshot);
            tracing::warn!(
                "nobody is served on {address}: no Gateway of `{workload}` has the port {port}; {has} (snapshot {snapshot})"
            );
        }
    }

    /// Listens on the ports of the gateway that nobody listens on yet.
    fn listen_anew(&self, world: &World, roles: &[Role]) -> Result<BTreeMap<u16, Arc<Listening>>, Refused> {
        let known = self.changing.state().listening.keys().copied().collect::<Vec<u16>>();
        let mut listening = BTreeMap::new();
        for port in world.tables.listeners.iter().map(|listener| listener.port) {
            if known.contains(&port) || roles.contains(&Role::Gateway { port }) {
                continue;
            }
            let address = gateway_address(port);
            let bound = Listening::bind(Role::Gateway { port }, address, &self.runtime).map_err(|error| Refused {
                object: None,
                why: format!("the gateway's port {port} cannot be listened on: {error}"),
            })?;
            listening.insert(port, Arc::new(bound));
        }
        Ok(listening)
    }

    /// Gives a cluster its endpoints. One whose names are looked up begins with those that were known before.
    fn populate(&self, upstream: &Upstream, directory: &Directory, before: Option<&Upstream>) {
        let found = directory.of(&upstream.cluster).or_else(|| before.map(Upstream::found));
        if let Some(found) = found {
            upstream.populate(&found, self.workers.all.len(), before);
        }
    }
}

/// The binds for ports that no Gateway has, if that was not so before: it is said once, until it changes.
fn idle_ports(binds: &[Bind], before: Option<&[u16]>, ports: &[u16]) -> Vec<(SocketAddr, u16)> {
    let idle = |bind: &Bind| match bind.role {
        Role::Gateway { port } => {
            let said = before.is_some_and(|before| !before.contains(&port));
            (!ports.contains(&port) && !said).then_some((bind.address, port))
        }
        _ => None,
    };
    binds.iter().filter_map(idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_no_gateway_has_is_told_of_once_until_that_changes() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let binds = [Role::Gateway { port: 80 }, Role::Outbound { port: 90 }].map(|role| Bind { role, address });
        for (before, ports, told) in [
            (None, &[80][..], false),
            (None, &[443], true),
            (Some(&[443][..]), &[443], false), // it was told before
            (Some(&[80]), &[443], true),
            (Some(&[443]), &[80], false),
        ] {
            let want = if told { vec![(address, 80)] } else { vec![] };
            assert_eq!(idle_ports(&binds, before, ports), want, "{before:?} {ports:?}");
        }
    }
}
