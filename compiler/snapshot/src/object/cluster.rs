//! Endpoints of a service port, or of a subset of it, and how to talk to them (semantics.md §4).

use super::Links;
use crate::format::codec::{choice, record};
use crate::{Digest, Text};

record! {
    /// Endpoints that are alike, and how to talk to them.
    pub struct Cluster {
        /// The service's host.
        pub host: Text = 1,
        /// The service's port.
        pub port: u16 = 2,
        /// The subset; empty for all of the service.
        pub subset: Text = 3,
        /// The service's namespace.
        pub namespace: Text = 4,
        /// What its endpoints speak.
        pub protocol: Protocol = 5,
        /// Which endpoints are in it.
        pub endpoints: EndpointSource = 6,
        /// Which of them gets the next request.
        pub balancer: Balancer = 7,
        /// Limits, per proxy.
        pub limits: Limits = 8,
        /// When to leave an endpoint out; never if missing.
        pub outlier: Option<Outlier> = 9,
        /// How connections are secured.
        pub tls: ClusterTls = 10,
        /// The most that connecting may take, in milliseconds.
        pub connect_timeout_ms: u64 = 11,
        /// How long a connection may be idle, in milliseconds; 0 means for ever.
        pub idle_timeout_ms: u64 = 12,
    }
}

choice! {
    /// What a port speaks (semantics.md §2.1).
    pub enum Protocol {
        /// Found out from the first bytes.
        Auto = 0,
        /// HTTP/1.1, and HTTP/2 from clients that begin with it.
        Http = 1,
        /// HTTP/2.
        Http2 = 2,
        /// gRPC, which is HTTP/2.
        Grpc = 3,
        /// Bytes.
        Tcp = 4,
        /// TLS of the application's own.
        Tls = 5,
    }
}

choice! {
    /// Which endpoints are in a cluster.
    pub enum EndpointSource {
        /// Those of workloads with some labels.
        Workloads(WorkloadSelector) = 0,
        /// Those that are declared for the service.
        Declared(ServiceSelector) = 1,
        /// The addresses of some names.
        Dns(Vec<DnsName>) = 2,
    }
}

record! {
    /// Workloads by labels.
    pub struct WorkloadSelector {
        /// Their namespace.
        pub namespace: Text = 1,
        /// Every one of these labels is equal.
        pub labels: Vec<(Text, Text)> = 2,
        /// The port of theirs that the service's port leads to.
        pub port: TargetPort = 3,
    }
}

record! {
    /// Declared endpoints of a service.
    pub struct ServiceSelector {
        /// The service's host.
        pub host: Text = 1,
        /// Every one of these labels is equal: the subset's.
        pub labels: Vec<(Text, Text)> = 2,
        /// The port that the endpoints have it under.
        pub port: TargetPort = 3,
    }
}

choice! {
    /// A workload's port.
    pub enum TargetPort {
        /// By number.
        Number(u16) = 0,
        /// By the name that the container gives it.
        Name(Text) = 1,
    }
}

record! {
    /// A name to be looked up.
    pub struct DnsName {
        /// The name.
        pub host: Text = 1,
        /// The port to dial.
        pub port: u16 = 2,
        /// Its share.
        pub weight: u32 = 3,
    }
}

choice! {
    /// Which endpoint gets the next request.
    pub enum Balancer {
        /// Of two drawn at random, the one with fewer requests under way.
        LeastRequest = 0,
        /// One after the other.
        RoundRobin = 1,
        /// Drawn at random.
        Random = 2,
    }
}

record! {
    /// Limits of one proxy towards one cluster; 0 means none.
    pub struct Limits {
        /// Connections.
        pub connections: u32 = 1,
        /// Requests that wait for a connection.
        pub pending: u32 = 2,
        /// Requests under way.
        pub requests: u32 = 3,
        /// Retries under way.
        pub retries: u32 = 4,
        /// Requests that one connection carries.
        pub requests_per_connection: u32 = 5,
    }
}

record! {
    /// When to leave an endpoint out, and for how long.
    pub struct Outlier {
        /// Errors in a row; 0 switches it off.
        pub consecutive_errors: u32 = 1,
        /// 502, 503, 504 in a row; 0 switches it off.
        pub consecutive_gateway_errors: u32 = 2,
        /// Whether failures to connect are counted apart.
        pub split: bool = 3,
        /// Failures to connect in a row, if they are counted apart.
        pub consecutive_local_failures: u32 = 4,
        /// How often ejections are looked at, in milliseconds.
        pub interval_ms: u64 = 5,
        /// How long one is out the first time, in milliseconds.
        pub base_ejection_ms: u64 = 6,
        /// How many percent may be out at once; one always may.
        pub max_ejection_percent: u8 = 7,
        /// Below this percentage of endpoints that are in, all are used.
        pub panic_percent: u8 = 8,
    }
}

choice! {
    /// How connections are secured.
    pub enum ClusterTls {
        /// They are not.
        Plain = 0,
        /// By the mesh's mTLS to every endpoint that speaks it.
        Auto(Identities) = 1,
        /// By the mesh's mTLS.
        Mutual(Identities) = 2,
    }
}

record! {
    /// Who may answer.
    pub struct Identities {
        /// SPIFFE ids, of which the server's is one. Sorted.
        pub accepted: Vec<Text> = 1,
    }
}

impl Cluster {
    /// Istio's name for it, `outbound|PORT|SUBSET|HOST`.
    #[must_use]
    pub fn name(&self) -> String {
        cluster_name(self.port, &self.subset, &self.host)
    }

    /// The server name of its connections, `outbound_.PORT_.SUBSET_.HOST`.
    #[must_use]
    pub fn server_name(&self) -> String {
        format!("outbound_.{}_.{}_.{}", self.port, self.subset, self.host)
    }
}

/// Istio's name of a cluster.
#[must_use]
pub fn cluster_name(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

impl Protocol {
    /// Whether its requests are looked at.
    #[must_use]
    pub fn is_http(&self) -> bool {
        matches!(self, Protocol::Http | Protocol::Http2 | Protocol::Grpc)
    }
}

impl Links for Cluster {
    fn links(&self) -> Vec<Digest> {
        Vec::new()
    }
}
