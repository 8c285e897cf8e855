//! What routes of the Kubernetes Gateway API refer to.

use taut_resources::gateway_api::ParentRef;
use taut_resources::{At, Resource};

use crate::Text;
use crate::mesh::Mesh;

/// The parents of every route.
pub(super) fn parents<'m>(mesh: &'m Mesh<'_>) -> impl Iterator<Item = (&'m Resource, &'m [ParentRef])> {
    let http = mesh.inventory.http_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    let grpc = mesh.inventory.grpc_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    http.chain(grpc)
}

/// Where a route sends requests.
pub(super) struct Backend<'m> {
    pub(super) resource: &'m Resource,
    pub(super) kind: &'m str,
    pub(super) name: &'m At<Text>,
    pub(super) namespace: Option<&'m str>,
}

/// Every backend of every route.
pub(super) fn backends<'m>(mesh: &'m Mesh<'_>) -> impl Iterator<Item = Backend<'m>> {
    let http = mesh.inventory.http_routes.iter().flat_map(|it| {
        it.spec.rules.iter().flat_map(|rule| &rule.backend_refs).map(move |to| Backend {
            resource: it.resource,
            kind: to.kind.as_str(),
            name: &to.name,
            namespace: to.namespace.as_ref().map(|it| it.as_str()),
        })
    });
    let grpc = mesh.inventory.grpc_routes.iter().flat_map(|it| {
        it.spec.rules.iter().flat_map(|rule| &rule.backend_refs).map(move |to| Backend {
            resource: it.resource,
            kind: to.kind.as_str(),
            name: &to.name,
            namespace: to.namespace.as_ref().map(|it| it.as_str()),
        })
    });
    http.chain(grpc)
}
