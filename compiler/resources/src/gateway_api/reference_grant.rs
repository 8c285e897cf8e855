//! ReferenceGrant: who may name objects of another namespace (semantics.md §18.5).

use taut_source::Text;

use crate::grammar::{API_GROUP, API_KIND, NAMESPACE};
use crate::message::message;
use crate::read::{At, List};

message! {
    /// Who may name objects of this namespace.
    pub struct ReferenceGrant {
        /// Who: any of these.
        from: List<GrantFrom> = "from", required, items(1..=16);
        /// What they may name: any of these.
        to: List<GrantTo> = "to", required, items(1..=16);
    }
}

message! {
    /// Objects of one kind in one namespace.
    pub struct GrantFrom {
        /// The group of the kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// The kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// The namespace.
        namespace: At<Text> = "namespace", chars(1..=63), is(NAMESPACE);
    }
}

message! {
    /// Objects of one kind in the grant's own namespace.
    pub struct GrantTo {
        /// The group of the kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// The kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// The name; any if missing.
        name: Option<At<Text>> = "name", chars(1..=253);
    }
}
