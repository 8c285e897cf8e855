//! Namespace (semantics.md §19): a name and labels.

use crate::message::message;

message! {
    /// A namespace. The mesh reads its name and labels alone.
    pub struct Namespace open {
    }
}
