//! ServiceAccount (semantics.md §19): an identity, `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`.

use crate::message::message;

message! {
    /// A service account. The mesh reads its name alone.
    pub struct ServiceAccount open {
    }
}
