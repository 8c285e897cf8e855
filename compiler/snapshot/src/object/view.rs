//! A view: what one class of workloads needs of the snapshot.

use super::{ClusterSet, Layer, Links, Listener, Mesh, PolicySet, Protocol, Telemetry, TokenSet};
use crate::format::codec::{Link, choice, record};
use crate::{Digest, Text};

record! {
    /// What one class of workloads runs.
    pub struct View {
        /// The workload's namespace.
        pub namespace: Text = 1,
        /// The workload's name: that of its Deployment.
        pub name: Text = 2,
        /// Its labels, by name.
        pub labels: Vec<(Text, Text)> = 3,
        /// The service account it runs as.
        pub service_account: Text = 4,
        /// Whether it is a gateway, rather than a sidecar.
        pub gateway: bool = 5,
        /// What holds for the whole mesh.
        pub mesh: Link<Mesh> = 6,
        /// The services that it may call; of two layers with one host, the earlier counts.
        pub layers: Vec<Link<Layer>> = 7,
        /// Its own ports.
        pub inbound: Vec<Inbound> = 8,
        /// Which connections its other ports accept.
        pub other_ports: MtlsMode = 9,
        /// Who may ask it for what; no policy if missing.
        pub policies: Option<Link<PolicySet>> = 10,
        /// What it listens to as a gateway.
        pub listeners: Vec<Link<Listener>> = 11,
        /// Which tokens it takes; it looks at none if missing.
        pub tokens: Option<Link<TokenSet>> = 12,
        /// What becomes of traffic for hosts that it does not know, if not what the mesh says.
        pub egress: Option<Egress> = 16,
        /// Ports on which it knows other services than on the rest, or other addresses of them.
        pub egress_ports: Vec<EgressPort> = 17,
        /// Ports that no service leads to and that have a mode of their own.
        pub port_modes: Vec<PortMode> = 18,
        /// Whether it may also call the services of the root's `base`, where no layer of its own has the host.
        pub has_base: bool = 19,
        /// What is told of its requests, beside the metrics that it shows; nothing if missing.
        pub telemetry: Option<Link<Telemetry>> = 20,
    }
}

record! {
    /// One port of the workload.
    pub struct Inbound {
        /// The port that the application listens on.
        pub port: u16 = 1,
        /// Its name, if the container has one for it.
        pub name: Text = 2,
        /// What it speaks.
        pub protocol: Protocol = 3,
        /// Which connections it accepts.
        pub mtls: MtlsMode = 4,
        /// The service whose port leads here, which metrics name; empty if none does.
        pub service: Text = 5,
        /// The service's namespace.
        pub service_namespace: Text = 6,
        /// Where the application is behind it; where the port is if empty.
        pub endpoint: Text = 7,
    }
}

record! {
    /// What becomes of traffic for unknown hosts.
    pub struct Egress {
        /// Whether it is refused.
        pub registry_only: bool = 1,
        /// The clusters of the service that it goes through, if it passes and goes through one.
        pub through: Option<Link<ClusterSet>> = 2,
        /// The subset of that service.
        pub subset: Text = 3,
    }
}

record! {
    /// One port of which a workload's Sidecar says what it knows.
    pub struct EgressPort {
        /// The number.
        pub port: u16 = 1,
        /// What it speaks.
        pub protocol: Protocol = 2,
        /// The address that it listens on; every one that services have if empty.
        pub bind: Text = 3,
        /// The services; of two layers with one host, the earlier counts.
        pub layers: Vec<Link<Layer>> = 4,
        /// Whether requests name the port themselves, as those to an HTTP proxy do.
        pub any_port: bool = 5,
    }
}

record! {
    /// The mode of one port.
    pub struct PortMode {
        /// The workload's port.
        pub port: u16 = 1,
        /// Which connections it accepts.
        pub mtls: MtlsMode = 2,
    }
}

choice! {
    /// Which connections a port accepts (semantics.md §9.2).
    pub enum MtlsMode {
        /// Plaintext; TLS is the application's own.
        Disable = 0,
        /// Plaintext and the mesh's mTLS.
        Permissive = 1,
        /// The mesh's mTLS alone.
        Strict = 2,
    }
}

impl Links for View {
    fn links(&self) -> Vec<Digest> {
        let mut links = vec![self.mesh.digest];
        links.extend(super::digests(self.layers.iter().copied()));
        links.extend(super::digests(self.policies));
        links.extend(super::digests(self.listeners.iter().copied()));
        links.extend(super::digests(self.tokens));
        links.extend(super::digests(self.telemetry));
        links.extend(super::digests(self.egress.iter().filter_map(|egress| egress.through)));
        links.extend(self.egress_ports.iter().flat_map(|port| super::digests(port.layers.iter().copied())));
        links
    }
}
