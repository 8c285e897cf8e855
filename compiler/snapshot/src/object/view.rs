//! A view: what one class of workloads needs of the snapshot.

use super::{Layer, Links, Listener, Mesh, PolicySet, Protocol};
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
        links
    }
}
