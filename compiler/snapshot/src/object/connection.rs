//! Rules for connections whose bytes nobody looks at: TCP, and TLS of the application's own (semantics.md §3.15).

use super::{ClusterSet, IpBlock, Links, Target};
use crate::format::codec::{Link, record};
use crate::{Digest, Text};

record! {
    /// Rules for connections. Which one counts is decided as Envoy does: the narrowest address first, then the narrowest
    /// server name, then the application protocol.
    pub struct ConnectionTable {
        /// In the order of the file; of two that match alike the first counts.
        pub rules: Vec<ConnectionRule> = 1,
        /// What the rules' destinations are numbers of.
        pub clusters: Vec<Link<ClusterSet>> = 2,
    }
}

record! {
    /// One rule. A condition that is empty holds always.
    pub struct ConnectionRule {
        /// Any of these server names, which TLS alone has.
        pub server_names: Vec<Text> = 1,
        /// Any of these addresses that the client asked for.
        pub addresses: Vec<IpBlock> = 2,
        /// Any of these application protocols (ALPN).
        pub protocols: Vec<Text> = 3,
        /// Where the bytes go; one is drawn by weight.
        pub destinations: Vec<ConnectionTarget> = 4,
    }
}

record! {
    /// One destination of a connection.
    pub struct ConnectionTarget {
        /// Where.
        pub target: Target = 1,
        /// Its share in proportion to the others'.
        pub weight: u32 = 2,
    }
}

impl Links for ConnectionTable {
    fn links(&self) -> Vec<Digest> {
        super::digests(self.clusters.iter().copied())
    }
}
