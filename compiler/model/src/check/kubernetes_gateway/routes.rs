//! What routes of the Kubernetes Gateway API refer to.

use taut_resources::Resource;
use taut_resources::gateway_api::ParentRef;

use crate::mesh::Mesh;

/// The parents of every route.
pub(super) fn parents<'m>(mesh: &'m Mesh<'_>) -> impl Iterator<Item = (&'m Resource, &'m [ParentRef])> {
    let http = mesh.inventory.http_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    let grpc = mesh.inventory.grpc_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    let tls = mesh.inventory.tls_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    let tcp = mesh.inventory.tcp_routes.iter().map(|it| (it.resource, it.spec.parent_refs.as_slice()));
    http.chain(grpc).chain(tls).chain(tcp)
}
