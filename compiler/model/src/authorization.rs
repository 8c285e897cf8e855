//! Which authorization policies are a workload's (semantics.md §11.7): those of the root namespace and of its own, by selector.

use taut_resources::{AuthorizationPolicy, RequestAuthentication};

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};
use crate::selects;

/// The policies of a workload, by seniority; which of them come first changes nothing.
pub fn policies_of<'m, 'r>(
    mesh: &'m Mesh<'r>,
    namespace: &'m str,
    labels: &'m LabelSet,
) -> impl Iterator<Item = Of<'r, AuthorizationPolicy>> + 'm {
    let root = mesh.settings.root_namespace.as_str();
    let mesh_wide = (root != namespace).then(|| mesh.policies_in(root)).into_iter().flatten();
    mesh_wide.chain(mesh.policies_in(namespace)).filter(move |policy| {
        policy.spec.selector.as_ref().is_none_or(|selector| selects(&selector.match_labels, labels))
    })
}

/// The request authentications of a workload, by the same rule (semantics.md §10.2).
pub fn request_authentications_of<'m, 'r>(
    mesh: &'m Mesh<'r>,
    namespace: &'m str,
    labels: &'m LabelSet,
) -> impl Iterator<Item = Of<'r, RequestAuthentication>> + 'm {
    let root = mesh.settings.root_namespace.as_str();
    mesh.request_authentications.iter().copied().filter(move |authentication| {
        let here = *authentication.namespace() == namespace || *authentication.namespace() == root;
        let selector = authentication.spec.selector.as_ref();
        here && selector.is_none_or(|selector| selects(&selector.match_labels, labels))
    })
}
