//! A gateway's certificate and key (semantics.md §5.7). Only members whose view has it are ever sent it.

use super::Links;
use crate::format::codec::{Blob, record};
use crate::{Digest, Text};

record! {
    /// A certificate with its key, both PEM.
    pub struct Certificate {
        /// The Secret, `namespace/name`.
        pub name: Text = 1,
        /// The certificate, and those between it and a root.
        pub chain: Blob = 2,
        /// The private key.
        pub key: Blob = 3,
    }
}

impl Links for Certificate {
    fn links(&self) -> Vec<Digest> {
        Vec::new()
    }
}
