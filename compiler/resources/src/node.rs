//! Node (semantics.md §19): where a pod runs; its labels say the locality.

use crate::message::message;

message! {
    /// A node. The mesh reads its name and labels alone.
    pub struct ClusterNode open {
    }
}
