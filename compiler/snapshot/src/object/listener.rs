//! What a gateway listens to (semantics.md §5).

use super::{Certificate, Links, RouteTable};
use crate::format::codec::{Link, record};
use crate::{Digest, Text};

record! {
    /// One port of a gateway.
    pub struct Listener {
        /// The port of the workload that it listens on.
        pub port: u16 = 1,
        /// The servers: one without TLS, or several that are told apart by server name.
        pub servers: Vec<Server> = 2,
    }
}

record! {
    /// Hosts that share a certificate and a table.
    pub struct Server {
        /// The port number in the Gateway, which redirects and `match.port` use.
        pub number: u16 = 1,
        /// The server names it is for; `*` for any.
        pub names: Vec<Text> = 2,
        /// With it, the server ends TLS.
        pub certificate: Option<Link<Certificate>> = 3,
        /// Where its requests go, by host.
        pub hosts: Link<HostTable> = 4,
    }
}

record! {
    /// Routes by host.
    pub struct HostTable {
        /// Exact names before wildcards, longer before shorter.
        pub hosts: Vec<HostEntry> = 1,
    }
}

record! {
    /// One host.
    pub struct HostEntry {
        /// In lower case; `*`, `*.x` or a name.
        pub host: Text = 1,
        /// Its rules; without, every request gets a 404.
        pub routes: Option<Link<RouteTable>> = 2,
        /// Whether plain HTTP is redirected to HTTPS.
        pub https_only: bool = 3,
    }
}

impl Links for Listener {
    fn links(&self) -> Vec<Digest> {
        let of = |server: &Server| server.certificate.map(|link| link.digest).into_iter().chain([server.hosts.digest]);
        self.servers.iter().flat_map(of).collect()
    }
}

impl Links for HostTable {
    fn links(&self) -> Vec<Digest> {
        self.hosts.iter().filter_map(|entry| entry.routes).map(|link| link.digest).collect()
    }
}
