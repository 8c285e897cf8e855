//! What the certificate authority runs: who may have a certificate.

use super::Links;
use crate::format::codec::record;
use crate::{Digest, Text};

record! {
    /// The identities of the mesh.
    pub struct Authority {
        /// The trust domain.
        pub trust_domain: Text = 1,
        /// `namespace/service-account`, sorted.
        pub identities: Vec<Text> = 2,
    }
}

impl Links for Authority {
    fn links(&self) -> Vec<Digest> {
        Vec::new()
    }
}
