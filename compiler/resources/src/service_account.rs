//! ServiceAccount (semantics.md §19): an identity, `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`.

use crate::kind::CheckedRead;
use crate::message::message;

message! {
    /// A service account. The mesh reads its name alone.
    pub struct ServiceAccount open {
    }
}

impl CheckedRead for ServiceAccount {}
