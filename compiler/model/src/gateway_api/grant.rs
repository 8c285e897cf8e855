//! ReferenceGrant: whether an object may name one of another namespace (semantics.md §18.5).

use taut_resources::gateway_api::ReferenceGrant;

use crate::mesh::Of;

/// The group of the kinds that refer.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// Who refers, and to what.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    /// The kind that refers; of the Gateway API's own group.
    pub(crate) from: &'a str,
    /// Its namespace.
    pub(crate) from_namespace: &'a str,
    /// The group of what is referred to.
    pub(crate) group: &'a str,
    /// Its kind.
    pub(crate) kind: &'a str,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
}

/// Whether a reference is permitted: within a namespace it always is.
pub(crate) fn is_permitted(grants: &[Of<'_, ReferenceGrant>], to: Reference<'_>) -> bool {
    to.namespace == to.from_namespace
        || grants.iter().filter(|grant| *grant.namespace() == to.namespace).any(|grant| {
            let comes = grant.spec.from.iter().any(|from| {
                from.group.as_str() == GROUP
                    && from.kind.as_str() == to.from
                    && from.namespace.as_str() == to.from_namespace
            });
            let goes = grant.spec.to.iter().any(|it| {
                it.group.as_str() == to.group
                    && it.kind.as_str() == to.kind
                    && it.name.as_ref().is_none_or(|name| name.value == to.name)
            });
            comes && goes
        })
}
