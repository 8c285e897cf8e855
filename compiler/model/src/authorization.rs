//! Which authorization policies are a workload's (semantics.md §11.7): those of the root namespace and of its own, by
//! selector or by the Gateway that they are attached to.

use taut_resources::{At, AuthorizationPolicy, RequestAuthentication};

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};
use crate::{Host, Settings, Text};

/// A host that a policy names and that looks like one of the mesh's services.
pub(crate) struct MeantHost<'r> {
    /// Where.
    pub(crate) at: &'r At<Text>,
    /// As it is compared with what clients ask for, without a port.
    pub(crate) written: Host,
    /// In full.
    pub(crate) host: Host,
    /// The namespace that it would be of.
    pub(crate) namespace: Text,
}

/// The hosts of a policy's operations that look like services: short names, and names with a namespace behind the first
/// dot. Of the root namespace a short name could be any namespace's, and says nothing.
pub(crate) fn meant_hosts<'r>(
    spec: &'r AuthorizationPolicy,
    own: &'r str,
    settings: &'r Settings,
) -> impl Iterator<Item = MeantHost<'r>> {
    let rules = spec.rules.iter().flatten().flat_map(|rule| rule.to.iter().flatten());
    let hosts = rules.filter_map(|to| to.operation.as_ref()).flat_map(|operation| &operation.hosts);
    hosts.filter_map(move |at| {
        let written = at.to_ascii_lowercase();
        let written = written.split_once(':').map_or(written.as_str(), |(host, _)| host);
        if written.contains('*') || matches!(written, "" | "localhost") {
            return None;
        }
        let (name, namespace) = match written.split_once('.') {
            None if own == settings.root_namespace.as_str() => return None,
            None => (written, own),
            Some((name, rest)) => {
                let (namespace, suffix) = rest.split_once('.').unwrap_or((rest, ""));
                let suffix = suffix.strip_prefix("svc").unwrap_or(suffix).trim_start_matches('.');
                if !suffix.is_empty() && suffix != settings.domain_suffix.as_str() {
                    return None;
                }
                (name, namespace)
            }
        };
        let host = format!("{name}.{namespace}.svc.{}", settings.domain_suffix).into();
        Some(MeantHost { at, written: written.into(), host, namespace: namespace.into() })
    })
}

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
