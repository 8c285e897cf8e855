//! What every resource has: a name, labels, annotations.

use crate::message::message;
use crate::read::{At, Labels};
use taut_source::Text;

message! {
    /// `metadata`, as far as the mesh reads it.
    pub struct Meta open {
        /// The name; unique per kind and namespace.
        name: Option<At<Text>> = "name";
        /// The namespace; the run's default where it is missing.
        namespace: Option<At<Text>> = "namespace";
        /// Labels, which selectors compare.
        labels: Labels = "labels";
        /// Annotations.
        annotations: Labels = "annotations";
        /// When a cluster created it. Git knows no such time, so it decides nothing unless a file carries it.
        creation_timestamp: Option<At<Text>> = "creationTimestamp";
    }
}

message! {
    /// Which workloads something is about (semantics.md §1.8).
    pub struct Selector {
        /// Every one of these labels must be equal; none means every workload.
        match_labels: Labels = "matchLabels";
    }
}
