//! What is in a snapshot: immutable objects that name each other by digest.
//!
//! Owns: the kinds of objects, the digest of each, and which others one leads to.
//! Invariant: an object's digest is that of its kind's byte followed by its canonical encoding.

mod authority;
mod authz;
mod certificate;
mod cluster;
mod connection;
mod fault;
mod listener;
mod map;
mod mesh;
mod root;
mod route;
mod service;
mod telemetry;
mod token;
mod view;

pub use authority::Authority;
pub use authz::{
    Asks, Authorizer, AuthzRule, Clause, Conjunction, CustomPolicy, HeaderTest, HttpAsk, IpBlock, Policy, PolicySet,
    ServiceAccountTest, Test, TextTest,
};
pub use certificate::Certificate;
pub use cluster::{
    Balancer, Cluster, ClusterSet, ClusterTls, Distribution, DnsName, EndpointSource, HashCookie, HashKey, HashTable,
    Hashing, Identities, Keepalive, Limits, Locality, Outlier, OutsideTls, Protocol, RetryBudget, Roots,
    ServiceSelector, Subset, TargetPort, Traffic, Warmup, Wire, WorkloadSelector, cluster_name,
};
pub use connection::{ConnectionRule, ConnectionTable, ConnectionTarget};
pub use fault::{Abort, AbortStatus, Cors, Delay, Fault};
pub use listener::{ClientCheck, HostEntry, HostTable, Listener, Server, ServerTls, TlsTerms, TlsVersion};
pub use map::{Bucket, Map, bucket_of};
pub use mesh::{Mesh, PathNormalization};
pub use root::Root;
pub use route::{
    Action, Alternative, ClusterRef, DirectResponse, Forward, HeaderOps, MadeHeader, Matcher, Mirror, NamedMatcher,
    PathRewrite, Redirect, RedirectPath, RedirectPort, RegexRewrite, Retry, RetryOn, RouteTable, Rule, Target,
    Weighted,
};
pub use service::{Layer, Service, ServicePort};
pub use telemetry::{
    Collects, CutItem, Exporter, FilterAttribute, FilterHolds, FilterStep, FilterTest, HeaderNames, LogField, LogFile,
    LogFormat, LogItem, LogPiece, LogService, LookedUp, Metric, MetricRule, OtlpRecord, SpanTag, TagFrom, TagRule,
    TagValue, Telemetry, Told, ToldHeaders, Tracing, ZipkinCollector,
};
pub use token::{TokenKeys, TokenRule, TokenSet};
pub use view::{Egress, EgressPort, Inbound, MtlsMode, PortMode, View};

use crate::Digest;
use crate::format::codec::{self, BadBytes, Decode, Encode, Link};

macro_rules! objects {
    ($($Type:ident = $kind:literal $word:literal,)*) => {
        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is documented at its type")]
        #[expect(clippy::large_enum_variant, reason = "one is read at a time, to be looked at and let go")]
        pub enum Object {
            $($Type($Type),)*
        }

        impl Object {
            /// Reads the bytes of an object.
            ///
            /// # Errors
            /// Where they are not exactly one canonical encoding of a known kind.
            pub fn decode(bytes: &[u8]) -> Result<Object, BadBytes> {
                let (kind, body) = bytes.split_first().ok_or(BadBytes { offset: 0, problem: "an empty object" })?;
                match kind {
                    $($kind => codec::decode_all(body).map(Object::$Type),)*
                    _ => Err(BadBytes { offset: 0, problem: "an unknown kind of object" }),
                }
            }

            /// The word for its kind.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Object::$Type(_) => $word,)*
                }
            }

            /// The objects that it names.
            #[must_use]
            pub fn links(&self) -> Vec<Digest> {
                match self {
                    $(Object::$Type(value) => value.links(),)*
                }
            }
        }

        $(
            impl ObjectKind for $Type {
                const KIND: u8 = $kind;
                const WORD: &'static str = $word;
            }
        )*
    };
}

// Numbers are forever.
objects! {
    Root = 1 "root",
    Bucket = 2 "bucket",
    View = 3 "view",
    Layer = 4 "layer",
    Service = 5 "service",
    RouteTable = 6 "routes",
    ClusterSet = 7 "clusters",
    PolicySet = 8 "policies",
    Listener = 9 "listener",
    HostTable = 10 "hosts",
    Certificate = 11 "certificate",
    Authority = 12 "authority",
    Mesh = 13 "mesh",
    TokenSet = 14 "tokens",
    Telemetry = 21 "telemetry",
    ConnectionTable = 20 "connections",
}

/// A type whose values are objects of their own.
pub trait ObjectKind: Encode + Decode {
    /// The byte before the encoding.
    const KIND: u8;
    /// The word for it.
    const WORD: &'static str;

    /// Appends the bytes that are stored and hashed.
    fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(Self::KIND);
        self.encode(bytes);
    }

    /// Reads the bytes of an object of this kind.
    ///
    /// # Errors
    /// Where they are anything else.
    fn from_bytes(bytes: &[u8]) -> Result<Self, BadBytes> {
        match bytes.split_first() {
            Some((kind, body)) if *kind == Self::KIND => codec::decode_all(body),
            _ => Err(BadBytes { offset: 0, problem: "an object of another kind" }),
        }
    }
}

/// The objects that an object names, in the order of its fields.
pub(crate) trait Links {
    fn links(&self) -> Vec<Digest>;
}

fn digests<T>(links: impl IntoIterator<Item = Link<T>>) -> Vec<Digest> {
    links.into_iter().map(|link| link.digest).collect()
}
