//! Hosts that a workload may call.

use super::{ClusterSet, ConnectionTable, IpBlock, Links, Map, Protocol, RouteTable};
use crate::format::codec::{Link, record};
use crate::{Digest, Text};

record! {
    /// Services by host. Workloads share layers: what is the same for every client is one layer for all.
    pub struct Layer {
        /// Each leads to a `Service`.
        pub services: Map = 1,
    }
}

record! {
    /// One host with its ports.
    pub struct Service {
        /// The full name, in lower case; it may start with `*`.
        pub host: Text = 1,
        /// The namespace it belongs to.
        pub namespace: Text = 2,
        /// Whether it answers to the short names of a Kubernetes service as well: `name.ns.svc`, `name.ns`, and `name`
        /// within its namespace.
        pub kubernetes: bool = 3,
        /// Virtual addresses, which are names of it too.
        pub addresses: Vec<Text> = 4,
        /// Whether names below its own belong to it as well, as those of a headless service's pods do.
        pub headless: bool = 5,
        /// Its ports, by number.
        pub ports: Vec<ServicePort> = 6,
        /// Whether it is outside the mesh.
        pub external: bool = 7,
        /// When it was made, where a file says so: of two services that claim one address, the older has it.
        pub created: Text = 12,
        /// Whether it is only another name for a host outside: what is captured on its way there passes.
        pub alias: bool = 13,
        /// Ranges of virtual addresses.
        pub ranges: Vec<IpBlock> = 14,
        /// Names of other services that stand for this one.
        pub aliases: Vec<Text> = 15,
        /// Whether connections go to the address that the client asked for, rather than to one that is chosen.
        pub original: bool = 16,
    }
}

record! {
    /// One port of a service.
    pub struct ServicePort {
        /// The number that clients use.
        pub number: u16 = 1,
        /// What it speaks.
        pub protocol: Protocol = 2,
        /// The rules; if there are none, every request goes to the cluster.
        pub routes: Option<Link<RouteTable>> = 3,
        /// Its endpoints; missing for a host that has rules and no endpoints of its own.
        pub clusters: Option<Link<ClusterSet>> = 4,
        /// The rules for connections, if its bytes are not looked at; if there are none, all go to the cluster.
        pub connections: Option<Link<ConnectionTable>> = 8,
    }
}

impl Links for Layer {
    fn links(&self) -> Vec<Digest> {
        self.services.buckets.iter().map(|(_, bucket)| bucket.digest).collect()
    }
}

impl Links for Service {
    fn links(&self) -> Vec<Digest> {
        self.ports
            .iter()
            .flat_map(|port| {
                let routes = port.routes.map(|link| link.digest);
                let connections = port.connections.map(|link| link.digest);
                routes.into_iter().chain(port.clusters.map(|link| link.digest)).chain(connections)
            })
            .collect()
    }
}
