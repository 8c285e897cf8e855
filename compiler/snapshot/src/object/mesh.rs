//! What holds for the whole mesh (semantics.md §15).

use super::{Links, Retry};
use crate::format::codec::{choice, record};
use crate::{Digest, Text};

record! {
    /// Settings that every workload shares.
    pub struct Mesh {
        /// The trust domain of every SVID.
        pub trust_domain: Text = 1,
        /// Other names of the trust domain, accepted from peers.
        pub trust_domain_aliases: Vec<Text> = 2,
        /// The namespace whose policies are mesh-wide.
        pub root_namespace: Text = 3,
        /// What follows `.svc.` in the name of a service.
        pub domain_suffix: Text = 4,
        /// Whether traffic to hosts that the mesh does not know is refused.
        pub registry_only: bool = 5,
        /// What is done to a path before it is matched.
        pub path_normalization: PathNormalization = 6,
        /// When and how often requests are tried again where no rule says; Istio's own way if missing, never with 0 attempts.
        pub retry: Option<Retry> = 7,
        /// How long the first bytes of a connection may take before it is taken for bytes, in milliseconds; 0 means that
        /// they are waited for.
        pub detection_timeout_ms: u64 = 8,
    }
}

choice! {
    /// What is done to a path before it is matched, by routes and policies alike.
    pub enum PathNormalization {
        /// Nothing.
        None = 0,
        /// Dot segments removed, `\` becomes `/`, escapes of unreserved characters decoded.
        Base = 1,
        /// And repeated slashes become one.
        MergeSlashes = 2,
        /// And `%2F` and `%5C` are decoded first.
        DecodeAndMergeSlashes = 3,
    }
}

impl Links for Mesh {
    fn links(&self) -> Vec<Digest> {
        Vec::new()
    }
}
