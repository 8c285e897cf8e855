//! What a gateway listens to (semantics.md §5).

use super::{Certificate, ConnectionTable, Links, RouteTable};
use crate::format::codec::{Blob, Link, choice, record};
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
        /// What it does with TLS, where that is more than its certificate says.
        pub tls: Option<ServerTls> = 8,
        /// The rules for connections, if its bytes are not looked at.
        pub connections: Option<Link<ConnectionTable>> = 9,
        /// On which terms it ends TLS, where they are not the usual ones.
        pub terms: Option<TlsTerms> = 10,
    }
}

record! {
    /// On which terms a server ends TLS.
    pub struct TlsTerms {
        /// Further certificates; each client is shown the first that it can read.
        pub certificates: Vec<Link<Certificate>> = 1,
        /// How clients are checked, by servers that look at their certificates.
        pub clients: Option<ClientCheck> = 2,
        /// The ciphers of TLS 1.2 that are spoken, by the names that OpenSSL has for them; the usual ones if empty.
        pub ciphers: Vec<Text> = 3,
        /// The oldest version that is spoken; 1.2 if missing.
        pub oldest: Option<TlsVersion> = 4,
        /// The newest version that is spoken; 1.3 if missing.
        pub newest: Option<TlsVersion> = 5,
    }
}

record! {
    /// How the certificates of clients are checked.
    pub struct ClientCheck {
        /// Who is believed, PEM; nobody if empty.
        pub roots: Blob = 1,
        /// Names of which a certificate has one; any will do if there are none.
        pub names: Vec<Text> = 2,
        /// Whether any certificate will do.
        pub unchecked: bool = 3,
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// 1.2.
        V12 = 0,
        /// 1.3.
        V13 = 1,
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
        /// The host that it shares its rules with, under which logs name both; its own if empty.
        pub shared: Text = 8,
        /// The port number in the Gateway that logs name with it; the server's if 0.
        pub number: u16 = 9,
    }
}

choice! {
    /// What a server does with TLS (semantics.md §5.6).
    pub enum ServerTls {
        /// Ends it.
        Simple = 0,
        /// Ends it, and wants a certificate of the client.
        Mutual = 1,
        /// Ends it, and looks at a certificate if there is one.
        OptionalMutual = 2,
        /// Ends the mesh's own.
        IstioMutual = 3,
        /// Passes it on, by server name.
        Passthrough = 4,
        /// Passes the mesh's own on, to the cluster that the server name says.
        AutoPassthrough = 5,
    }
}

impl Links for Listener {
    fn links(&self) -> Vec<Digest> {
        let mut links = Vec::new();
        for server in &self.servers {
            links.extend(server.certificate.map(|link| link.digest));
            links.extend(server.terms.iter().flat_map(|terms| &terms.certificates).map(|link| link.digest));
            links.push(server.hosts.digest);
            links.extend(server.connections.map(|link| link.digest));
        }
        links
    }
}

impl Links for HostTable {
    fn links(&self) -> Vec<Digest> {
        self.hosts.iter().filter_map(|entry| entry.routes).map(|link| link.digest).collect()
    }
}
