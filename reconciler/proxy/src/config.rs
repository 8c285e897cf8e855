//! What a proxy is told when it starts. Everything else comes with snapshots.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

/// How a proxy runs.
pub struct ProxyConfig {
    /// The name that it joins the fleet under; its endpoint has it as its id.
    pub name: String,
    /// The workload whose view it runs, `namespace/name`.
    pub workload: String,
    /// Where it listens. Ports of a gateway that are not named here are listened to on every address.
    pub binds: Vec<Bind>,
    /// Where the admin pages are served: an address of this machine alone.
    pub admin: SocketAddr,
    /// The address that others of the mesh reach its binds by; by the bind's own if none.
    pub advertise: Option<IpAddr>,
    /// How many threads serve requests.
    pub workers: NonZeroUsize,
    /// How it stops.
    pub drain: DrainConfig,
    /// How many proxies in front of a gateway are trusted to say where requests come from (Istio's `numTrustedProxies`).
    pub trusted_proxies: usize,
    /// Where it is, `region/zone/subzone`; as the workload's label says if none.
    pub locality: Option<String>,
    /// Where requests are written down; nowhere if none.
    pub access_log: Option<AccessLog>,
    /// How long clients may take.
    pub patience: Patience,
    /// How often it asks again for what no snapshot has.
    pub refresh: Refresh,
    /// The servers that it asks for names; those of `/etc/resolv.conf` if none.
    pub nameservers: Vec<SocketAddr>,
}

/// How long clients may take who send nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The head of a request in HTTP/1, from its first byte.
    pub head: Duration,
    /// A connection without a request.
    pub idle: Duration,
}

impl Patience {
    /// A head may take far longer than any honest client needs, and not so long that many slow ones can take up all
    /// connections; without a request, a connection may be open for as long as Envoy has it.
    pub const USUAL: Patience = Patience { head: Duration::from_secs(30), idle: Duration::from_secs(3_600) };
}

/// How often names are looked up and keys of tokens are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// A name whose answer does not say how long it is good for: of a file of this machine, or with a TTL of 0.
    pub names: Duration,
    /// The longest pause after a name could not be looked up: each one is twice as long as the last.
    pub names_after_failure_max: Duration,
    /// A set of keys.
    pub keys: Duration,
    /// The same, after it could not be fetched.
    pub keys_after_failure: Duration,
}

impl Refresh {
    /// Every five seconds is what Envoy does without a TTL. The rest is Istio's: `dnsRefreshRate`, and
    /// `PILOT_JWT_PUB_KEY_REFRESH_INTERVAL` with its pause after failures (semantics.md §6.2, §10).
    pub const USUAL: Refresh = Refresh {
        names: Duration::from_secs(5),
        names_after_failure_max: Duration::from_secs(60),
        keys: Duration::from_secs(20 * 60),
        keys_after_failure: Duration::from_secs(60),
    };
}

/// An address to listen on, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What comes in here.
    pub role: Role,
    /// The address; with port 0 the system chooses one.
    pub address: SocketAddr,
}

/// What comes in at a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// What others ask of the workload.
    Inbound {
        /// The workload's port.
        port: u16,
        /// Where the application listens.
        application: SocketAddr,
    },
    /// Everything that others ask of the workload and the kernel redirects here. Behind the ports of services the application
    /// is on this machine's own address; what is for any other passes to the address that it was for.
    InboundCaptured,
    /// What the application asks of others, on one port of theirs.
    Outbound {
        /// The services' port.
        port: u16,
    },
    /// What the application asks of others, on the port that the Host header names; on 80 if it names none.
    OutboundAny,
    /// What the application asks of others at one address of theirs.
    OutboundTo {
        /// The address that it would dial without the proxy.
        address: SocketAddr,
    },
    /// Everything that the application asks of others and the kernel redirects here, with the address that it dialled.
    OutboundCaptured,
    /// What comes to one port of a gateway.
    Gateway {
        /// The port in the view, which this bind stands for.
        port: u16,
    },
}

impl Role {
    /// Whether the workload's own application connects here.
    pub(crate) fn is_outbound(self) -> bool {
        match self {
            Role::Inbound { .. } | Role::InboundCaptured | Role::Gateway { .. } => false,
            Role::Outbound { .. } | Role::OutboundAny | Role::OutboundTo { .. } | Role::OutboundCaptured => true,
        }
    }

    /// Whether the kernel sends connections here that were for another address.
    pub(crate) fn is_captured(self) -> bool {
        matches!(self, Role::InboundCaptured | Role::OutboundCaptured)
    }

    /// An inbound bind for an application that listens on its own port of this machine.
    #[must_use]
    pub fn inbound(port: u16) -> Role {
        Role::Inbound { port, application: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

/// How a proxy stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// How long it still accepts connections after it said that it is leaving: others must hear of it first.
    pub notice: Duration,
    /// How long requests under way may take after that.
    pub deadline: Duration,
}

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Istio's default text.
    #[default]
    Text,
    /// Istio's default JSON.
    Json,
}

/// Where requests are written down.
pub struct AccessLog {
    /// What the lines are written to, by a thread of its own.
    pub to: Box<dyn io::Write + Send>,
    /// How lines are written.
    pub format: LogFormat,
    /// Whether each line ends with the snapshot that decided the request and the rule of it: Istio's lines do not.
    pub provenance: bool,
}

/// Where a proxy listens, once it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The binds with the ports that they got, in the order in which they were asked for.
    pub binds: Vec<Bind>,
    /// The admin pages.
    pub admin: SocketAddr,
}
