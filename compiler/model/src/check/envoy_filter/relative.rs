//! What a patch of an EnvoyFilter does, and whether that depends on patches of others.

use std::collections::BTreeSet;

use taut_resources::{ApplyTo, ConfigPatch, EnvoyFilter, PatchOperation};
use taut_source::Span;

/// What it is applied to.
pub(super) fn applied_to(patch: &ConfigPatch) -> ApplyTo {
    patch.apply_to.map_or(ApplyTo::Invalid, |apply_to| apply_to.value)
}

/// What it does.
pub(super) fn operation(patch: &ConfigPatch) -> Option<PatchOperation> {
    Some(patch.patch.as_ref()?.operation?.value)
}

/// Where that is written.
pub(super) fn operation_span(patch: &ConfigPatch) -> Span {
    patch.patch.as_ref().and_then(|patch| patch.operation).map_or(patch.span, |operation| operation.span)
}

fn is_relative(patch: &ConfigPatch) -> bool {
    use PatchOperation::{InsertAfter, InsertBefore, Remove, Replace};
    let routes = matches!(applied_to(patch), ApplyTo::RouteConfiguration | ApplyTo::HttpRoute);
    let replaceable = matches!(applied_to(patch), ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::VirtualHost);
    match operation(patch) {
        Some(InsertBefore | InsertAfter) => true,
        Some(Remove) => !routes,
        Some(Replace) => replaceable,
        _ => false,
    }
}

/// The patches whose effect depends on what other EnvoyFilters did before, each with whether an earlier patch of the
/// same name is for some versions of the proxy alone.
pub(super) fn relative_patches(filter: &EnvoyFilter) -> impl Iterator<Item = (&ConfigPatch, bool)> {
    let ordered = filter.priority.is_some_and(|priority| priority.value != 0);
    let mut by_version: BTreeSet<&str> = BTreeSet::new();
    filter.config_patches.iter().filter(move |_| !ordered).filter_map(move |patch| {
        let name = patch.patch.as_ref().and_then(|patch| patch.value.as_ref()?.name.as_ref());
        let name = name.map_or("", |name| name.as_str());
        let known = by_version.contains(name);
        let version = patch.matches.as_ref().and_then(|matches| matches.proxy.as_ref()?.proxy_version.as_ref());
        if version.is_some_and(|version| !version.is_empty()) {
            by_version.insert(name);
        }
        is_relative(patch).then_some((patch, known))
    })
}
