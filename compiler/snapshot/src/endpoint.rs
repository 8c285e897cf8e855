//! Endpoints: where the workloads of the mesh are to be found.
//!
//! They are a stream of their own beside the snapshot, declared in git or registered by proxies as they join, and
//! eventually consistent. Which of them are in a cluster is decided here, for the proxy and for `explain` alike.

use crate::Text;
use crate::format::codec::{choice, record};
use crate::object::{EndpointSource, TargetPort};

record! {
    /// The endpoints that somebody knows, by id.
    pub struct EndpointSet {
        /// Sorted by id; each id once.
        pub endpoints: Vec<Endpoint> = 1,
    }
}

record! {
    /// One place where a workload answers.
    pub struct Endpoint {
        /// Who it is: a member's name, or where it was declared.
        pub id: Text = 1,
        /// What it is an endpoint of.
        pub owner: Owner = 2,
        /// Labels, by name.
        pub labels: Vec<(Text, Text)> = 3,
        /// An IP address.
        pub address: Text = 4,
        /// Its ports.
        pub ports: Vec<EndpointPort> = 5,
        /// Its SPIFFE id, if it speaks the mesh's mTLS.
        pub identity: Text = 6,
        /// Its share of the traffic; 0 means 1.
        pub weight: u32 = 7,
        /// Whether it says that it should get no new requests.
        pub draining: bool = 8,
        /// Where it is, `region/zone/subzone`; as its label says if empty.
        pub locality: Text = 9,
    }
}

choice! {
    /// What an endpoint is one of.
    pub enum Owner {
        /// A workload of this namespace: services find it by its labels.
        Workload(Text) = 0,
        /// The service with this host, for which it is declared.
        Service(Text) = 1,
    }
}

record! {
    /// A port of an endpoint.
    pub struct EndpointPort {
        /// The workload's port number, or the service's where it is declared.
        pub number: u16 = 1,
        /// Its name.
        pub name: Text = 2,
        /// The port to dial, which differs where a proxy in front listens elsewhere.
        pub dial: u16 = 3,
        /// Whether it takes plaintext alone, though the endpoint has an identity.
        pub plaintext: bool = 4,
    }
}

/// The label by which a workload says where it is, with dots for slashes (semantics.md §4.6).
const LOCALITY_LABEL: &str = "istio-locality";

/// Where a workload with some labels is, `region/zone/subzone`; empty if they do not say.
#[must_use]
pub fn locality_of(labels: &[(Text, Text)]) -> Text {
    let label = labels.iter().find(|(name, _)| name == LOCALITY_LABEL);
    label.map_or_else(Text::default, |(_, value)| value.replace('.', "/").into())
}

impl Endpoint {
    /// Where it is, `region/zone/subzone`; empty if nobody says.
    #[must_use]
    pub fn place(&self) -> Text {
        if self.locality.is_empty() { locality_of(&self.labels) } else { self.locality.clone() }
    }

    fn port(&self, wanted: &TargetPort) -> Option<&EndpointPort> {
        let of = |port: &&EndpointPort| match wanted {
            TargetPort::Number(number) => port.number == *number,
            TargetPort::Name(name) => port.name == *name,
        };
        self.ports.iter().find(of)
    }

    fn has_labels(&self, wanted: &[(Text, Text)]) -> bool {
        wanted.iter().all(|label| self.labels.binary_search(label).is_ok())
    }
}

impl EndpointSource {
    /// The port to dial, if the endpoint is one of these.
    #[must_use]
    pub fn dial(&self, endpoint: &Endpoint) -> Option<u16> {
        let port = self.port_of(endpoint)?;
        match (endpoint.port(port), port) {
            (Some(port), _) => Some(port.dial),
            // An endpoint that names no ports has every port as it is.
            (None, TargetPort::Number(number)) if endpoint.ports.is_empty() => Some(*number),
            (None, _) => None,
        }
    }

    /// Whether the endpoint, one of these, is spoken to in mTLS where nothing else is said.
    #[must_use]
    pub fn speaks_mtls(&self, endpoint: &Endpoint) -> bool {
        let port = self.port_of(endpoint).and_then(|port| endpoint.port(port));
        !endpoint.identity.is_empty() && !port.is_some_and(|port| port.plaintext)
    }

    /// The port that is wanted of an endpoint; none if it is not one of these.
    fn port_of(&self, endpoint: &Endpoint) -> Option<&TargetPort> {
        let (belongs, labels, port) = match (self, &endpoint.owner) {
            (EndpointSource::Workloads(select), Owner::Workload(namespace)) => {
                (select.namespace == *namespace, &select.labels, &select.port)
            }
            (EndpointSource::Declared(select), Owner::Service(host)) => {
                (select.host == *host, &select.labels, &select.port)
            }
            _ => return None,
        };
        (belongs && endpoint.has_labels(labels)).then_some(port)
    }
}
