//! The endpoints that the mesh knows, and which of them are a cluster's.
//!
//! Owns: looking them up by owner, so that a cluster looks at its own namespace's endpoints and not at the whole mesh's.
//! May not: decide which are in a cluster; `EndpointSource::dial` does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use taut_snapshot::decide::Whereabouts;
use taut_snapshot::object::{Cluster, EndpointSource};
use taut_snapshot::{Endpoint, EndpointSet, Owner, Text};

use crate::telemetry::names::{Labels, NameId, Workload};
use crate::upstream::Found;

/// The endpoints of the mesh, by owner.
#[derive(Default)]
pub(crate) struct Directory {
    workloads: BTreeMap<Text, Vec<Entry>>,
    services: BTreeMap<Text, Vec<Entry>>,
}

struct Entry {
    endpoint: Endpoint,
    address: IpAddr,
    workload: NameId,
    whereabouts: Arc<Whereabouts>,
}

impl Directory {
    /// Sorts endpoints by owner. One whose address is none is left out: nobody could connect to it.
    pub(crate) fn new(endpoints: &EndpointSet, labels: &Labels) -> Directory {
        let mut directory = Directory::default();
        for endpoint in &endpoints.endpoints {
            let Ok(address) = endpoint.address.parse() else {
                tracing::warn!(id = %endpoint.id, address = %endpoint.address, "an endpoint has no IP address");
                continue;
            };
            let (locality, labels_of) = (endpoint.place(), endpoint.labels.clone());
            let whereabouts = Arc::new(Whereabouts { locality, labels: labels_of });
            let entry = |namespace: &Text| Entry {
                whereabouts: whereabouts.clone(),
                endpoint: endpoint.clone(),
                address,
                workload: labels.workloads.number(described(namespace, endpoint)),
            };
            match &endpoint.owner {
                Owner::Workload(namespace) => {
                    directory.workloads.entry(namespace.clone()).or_default().push(entry(namespace));
                }
                Owner::Service(host) => {
                    directory.services.entry(host.clone()).or_default().push(entry(&Text::default()));
                }
            }
        }
        directory
    }

    /// The endpoints of a cluster; none if its names are looked up instead.
    pub(crate) fn of(&self, cluster: &Cluster) -> Option<Vec<Found>> {
        let candidates = match &cluster.endpoints {
            EndpointSource::Workloads(select) => self.workloads.get(&select.namespace),
            EndpointSource::Declared(select) => self.services.get(&select.host),
            EndpointSource::Dns(_) => return None,
            EndpointSource::Original | EndpointSource::OriginalAt(_) => None, // clients bring them
        };
        let found = |entry: &Entry| {
            let port = cluster.endpoints.dial(&entry.endpoint)?;
            Some(Found {
                address: SocketAddr::new(entry.address, port),
                dial: Vec::new(),
                speaks_mtls: cluster.endpoints.speaks_mtls(&entry.endpoint),
                workload: entry.workload,
                weight: entry.endpoint.weight,
                whereabouts: entry.whereabouts.clone(),
                draining: entry.endpoint.draining,
            })
        };
        Some(candidates.into_iter().flatten().filter_map(found).collect())
    }
}

/// Who an endpoint is, as far as its labels say. The workload's own name is not among them; it comes when the endpoint
/// introduces itself.
fn described(namespace: &Text, endpoint: &Endpoint) -> Workload {
    Workload::new(namespace, &Text::default(), &endpoint.labels)
}
