//! Endpoints of a service port, or of a subset of it, and how to talk to them (semantics.md §4).

use std::net::SocketAddr;

use super::{Certificate, Links};
use crate::format::codec::{Blob, Link, choice, record};
use crate::{Digest, Text};

record! {
    /// One port of a service: all of its endpoints, and the subsets that rules may name.
    pub struct ClusterSet {
        /// The service's host.
        pub host: Text = 1,
        /// The service's port.
        pub port: u16 = 2,
        /// The service's namespace.
        pub namespace: Text = 3,
        /// Which endpoints are in it.
        pub endpoints: EndpointSource = 4,
        /// How to talk to them.
        pub traffic: Traffic = 5,
        /// Parts of it, by name.
        pub subsets: Vec<Subset> = 6,
    }
}

record! {
    /// A part of a service's endpoints.
    pub struct Subset {
        /// Its name.
        pub name: Text = 1,
        /// Labels that its endpoints have beside those of all.
        pub labels: Vec<(Text, Text)> = 2,
        /// The names that are its own, where endpoints are looked up.
        pub names: Vec<DnsName> = 3,
        /// How to talk to them, if not as to all.
        pub traffic: Option<Traffic> = 4,
    }
}

record! {
    /// How to talk to endpoints.
    pub struct Traffic {
        /// What they speak.
        pub protocol: Protocol = 1,
        /// Which of them gets the next request.
        pub balancer: Balancer = 2,
        /// Limits, per proxy.
        pub limits: Limits = 3,
        /// When to leave an endpoint out; never if missing.
        pub outlier: Option<Outlier> = 4,
        /// How connections are secured.
        pub tls: ClusterTls = 5,
        /// The most that connecting may take, in milliseconds.
        pub connect_timeout_ms: u64 = 6,
        /// How long a connection may be idle, in milliseconds; 0 means for ever.
        pub idle_timeout_ms: u64 = 7,
        /// How new endpoints take their share; at once if missing.
        pub warmup: Option<Warmup> = 8,
        /// What else holds for connections.
        pub wire: Option<Wire> = 9,
        /// Which endpoints are preferred by where they are; none if missing.
        pub locality: Option<Locality> = 10,
    }
}

record! {
    /// Which endpoints are preferred by where they are (semantics.md §4.6).
    pub struct Locality {
        /// The shares of other localities, by the client's; the first that covers it counts, and then nothing else does.
        pub distribute: Vec<Distribution> = 1,
        /// The region that takes over from another.
        pub failover: Vec<(Text, Text)> = 2,
        /// Labels that the client and near endpoints have in common, `name` or `name=value`, the most important first; the
        /// locality itself if there are none.
        pub labels: Vec<Text> = 3,
    }
}

record! {
    /// The shares of one locality's traffic.
    pub struct Distribution {
        /// The clients' locality, `region/zone/subzone`; it may end early, or with a star.
        pub from: Text = 1,
        /// The endpoints' localities, with their shares.
        pub to: Vec<(Text, u32)> = 2,
    }
}

record! {
    /// A new endpoint takes its share little by little.
    pub struct Warmup {
        /// How long that takes, in milliseconds.
        pub ms: u64 = 1,
        /// The share it begins with, in percent.
        pub minimum_percent: u8 = 2,
        /// How the share grows, in thousandths; 1000 is evenly, more is faster at first.
        pub aggression: u32 = 3,
    }
}

record! {
    /// What else holds for connections; 0 means that nothing is said.
    pub struct Wire {
        /// Streams that one HTTP/2 connection carries.
        pub streams: u32 = 1,
        /// How long a connection may live, in milliseconds.
        pub life_ms: u64 = 2,
        /// How long between two pings of HTTP/2, in milliseconds.
        pub ping_ms: u64 = 3,
        /// How long the answer to one may take, in milliseconds.
        pub ping_timeout_ms: u64 = 4,
        /// Probes of the operating system.
        pub keepalive: Option<Keepalive> = 5,
    }
}

record! {
    /// Probes of the operating system on idle connections; what is 0 is as the system has it.
    pub struct Keepalive {
        /// How many may go unanswered.
        pub probes: u32 = 1,
        /// How long a connection is idle before the first, in milliseconds.
        pub idle_ms: u64 = 2,
        /// How long between two, in milliseconds.
        pub interval_ms: u64 = 3,
    }
}

/// Endpoints that are alike, and how to talk to them: all of a `ClusterSet`, or one subset of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The service's host.
    pub host: Text,
    /// The service's port.
    pub port: u16,
    /// The subset; empty for all of the service.
    pub subset: Text,
    /// The service's namespace.
    pub namespace: Text,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// Which endpoints are in it.
    pub endpoints: EndpointSource,
    /// Which of them gets the next request.
    pub balancer: Balancer,
    /// Limits, per proxy.
    pub limits: Limits,
    /// When to leave an endpoint out; never if missing.
    pub outlier: Option<Outlier>,
    /// How connections are secured.
    pub tls: ClusterTls,
    /// The most that connecting may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a connection may be idle, in milliseconds; 0 means for ever.
    pub idle_timeout_ms: u64,
    /// How new endpoints take their share; at once if missing.
    pub warmup: Option<Warmup>,
    /// What else holds for connections.
    pub wire: Option<Wire>,
    /// Which endpoints are preferred by where they are; none if missing.
    pub locality: Option<Locality>,
    /// The client's own certificate, where a snapshot brings it along.
    pub own: Option<Certificate>,
}

impl ClusterSet {
    /// All of it, or a subset by name; none if there is no such subset.
    #[must_use]
    pub fn cluster(&self, subset: &str) -> Option<Cluster> {
        let part = match subset {
            "" => None,
            name => Some(self.subsets.iter().find(|subset| subset.name == name)?),
        };
        let traffic = part.and_then(|part| part.traffic.as_ref()).unwrap_or(&self.traffic).clone();
        Some(Cluster {
            host: self.host.clone(),
            port: self.port,
            subset: subset.into(),
            namespace: self.namespace.clone(),
            protocol: traffic.protocol,
            endpoints: part.map_or_else(|| self.endpoints.clone(), |part| self.endpoints.narrowed(part)),
            balancer: traffic.balancer,
            limits: traffic.limits,
            outlier: traffic.outlier,
            tls: traffic.tls,
            connect_timeout_ms: traffic.connect_timeout_ms,
            idle_timeout_ms: traffic.idle_timeout_ms,
            warmup: traffic.warmup,
            wire: traffic.wire,
            locality: traffic.locality,
            own: None, // it is an object of its own, which whoever has the objects reads
        })
    }
}

impl EndpointSource {
    /// The endpoint for a client that asked for an address; none if clients do not choose.
    #[must_use]
    pub fn original(&self, asked: SocketAddr) -> Option<SocketAddr> {
        match self {
            EndpointSource::Original => Some(asked),
            EndpointSource::OriginalAt(port) => Some(SocketAddr::new(asked.ip(), *port)),
            EndpointSource::Workloads(_) | EndpointSource::Declared(_) | EndpointSource::Dns(_) => None,
        }
    }

    fn narrowed(&self, to: &Subset) -> EndpointSource {
        let with = |labels: &[(Text, Text)]| {
            let mut labels: Vec<(Text, Text)> = labels.iter().chain(&to.labels).cloned().collect();
            labels.sort();
            labels.dedup();
            labels
        };
        match self {
            EndpointSource::Workloads(all) => {
                EndpointSource::Workloads(WorkloadSelector { labels: with(&all.labels), ..all.clone() })
            }
            EndpointSource::Declared(all) => {
                EndpointSource::Declared(ServiceSelector { labels: with(&all.labels), ..all.clone() })
            }
            EndpointSource::Dns(_) => EndpointSource::Dns(to.names.clone()),
            EndpointSource::Original | EndpointSource::OriginalAt(_) => self.clone(),
        }
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
        /// The address that the client asked for.
        Original = 3,
        /// The address that the client asked for, at another port.
        OriginalAt(u16) = 4,
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
        /// Where its addresses are, `region/zone/subzone`.
        pub locality: Text = 4,
        /// Whether it is one endpoint, whatever its addresses: new connections go to the first of them (Envoy's logical DNS).
        pub single: bool = 5,
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
        /// By a hash of the request.
        Hash(Hashing) = 3,
    }
}

record! {
    /// The same request goes to the same endpoint.
    pub struct Hashing {
        /// What is hashed.
        pub key: HashKey = 1,
        /// How the hash finds its endpoint.
        pub table: HashTable = 2,
    }
}

choice! {
    /// What of a request is hashed.
    pub enum HashKey {
        /// A header; the name in lower case.
        Header(Text) = 0,
        /// A cookie.
        Cookie(HashCookie) = 1,
        /// The client's address.
        SourceIp = 2,
        /// A query parameter.
        Query(Text) = 3,
    }
}

record! {
    /// A cookie that says where a client belongs.
    pub struct HashCookie {
        /// Its name.
        pub name: Text = 1,
        /// Its path.
        pub path: Text = 2,
        /// With it the proxy makes the cookie: how long it lives in seconds, 0 for the session.
        pub lives: Option<u64> = 3,
        /// Further attributes of a cookie that the proxy makes.
        pub attributes: Vec<(Text, Text)> = 4,
    }
}

choice! {
    /// How a hash finds its endpoint.
    pub enum HashTable {
        /// On a ring of at least so many places.
        Ring(u64) = 0,
        /// In a Maglev table of this size, which is a prime.
        Maglev(u64) = 1,
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
        /// Limits retries in proportion to requests, in place of `retries`.
        pub budget: Option<RetryBudget> = 6,
    }
}

record! {
    /// How many retries may be under way, in proportion to requests.
    pub struct RetryBudget {
        /// In parts of a million of the requests under way.
        pub share: u32 = 1,
        /// So many always may.
        pub least: u32 = 2,
        /// For how many milliseconds requests count after they began; 0 means those under way.
        pub interval_ms: u64 = 3,
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
        /// The statuses that are errors, in place of all of 5xx; sorted.
        pub statuses: Vec<u16> = 9,
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
        /// By TLS as services outside the mesh speak it.
        Outside(OutsideTls) = 3,
    }
}

record! {
    /// TLS to services outside the mesh (semantics.md §4.1, SIMPLE and MUTUAL). Files are on the proxy's own machine.
    pub struct OutsideTls {
        /// The server name; the service's host if empty.
        pub server_name: Text = 1,
        /// Names of which the server's certificate has one; its server name if there are none.
        pub names: Vec<Text> = 2,
        /// Who is believed.
        pub roots: Roots = 3,
        /// The file with the client's own certificate.
        pub certificate: Text = 4,
        /// The file with its key.
        pub key: Text = 5,
        /// The file that says whose certificates count no longer; nobody looks if empty.
        pub revoked: Text = 6,
        /// The client's own certificate, where it is no file.
        pub own: Option<Link<Certificate>> = 7,
    }
}

choice! {
    /// Who is believed about a server's name.
    pub enum Roots {
        /// Whoever the proxy's machine trusts.
        System = 0,
        /// The certificates in a file.
        File(Text) = 1,
        /// Anybody.
        Unchecked = 2,
        /// These certificates, PEM.
        Pem(Blob) = 3,
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

impl Links for ClusterSet {
    fn links(&self) -> Vec<Digest> {
        let parts = self.subsets.iter().filter_map(|subset| subset.traffic.as_ref());
        let own = |traffic: &Traffic| match &traffic.tls {
            ClusterTls::Outside(tls) => tls.own.map(|link| link.digest),
            ClusterTls::Plain | ClusterTls::Auto(_) | ClusterTls::Mutual(_) => None,
        };
        std::iter::once(&self.traffic).chain(parts).filter_map(own).collect()
    }
}
