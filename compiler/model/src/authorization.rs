//! Which authorization policies are a workload's (semantics.md §11.7): those of the root namespace and of its own, by
//! selector or by the Gateway that they are attached to.

use taut_resources::{AuthorizationPolicy, RequestAuthentication};

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};

/// The policies of a workload, by seniority; which of them come first changes nothing.
pub fn policies_of<'m, 'r>(
    mesh: &'m Mesh<'r>,
    namespace: &'m str,
    labels: &'m LabelSet,
) -> impl Iterator<Item = Of<'r, AuthorizationPolicy>> + 'm {
    let root = mesh.settings.root_namespace.as_str();
    let mesh_wide = (root != namespace).then(|| mesh.policies_for(root, false, labels)).into_iter().flatten();
    mesh_wide.chain(mesh.policies_for(namespace, true, labels))
}

/// The request authentications of a workload, by the same rule (semantics.md §10.2).
pub fn request_authentications_of<'m, 'r>(
    mesh: &'m Mesh<'r>,
    namespace: &'m str,
    labels: &'m LabelSet,
) -> impl Iterator<Item = Of<'r, RequestAuthentication>> + 'm {
    let root = mesh.settings.root_namespace.as_str();
    let mesh_wide = (root != namespace).then(|| mesh.authentications_for(root, false, labels)).into_iter().flatten();
    mesh_wide.chain(mesh.authentications_for(namespace, true, labels))
}
