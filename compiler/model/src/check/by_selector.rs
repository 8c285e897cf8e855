//! Which services select a workload, found by one of the labels that they ask for.

use crate::labels::HashMap;

use crate::mesh::Mesh;
use crate::{EndpointKind, Pod, Service};

/// The services of a mesh by namespace and by the first label that each asks for.
pub(super) struct BySelector<'m, 'r> {
    asking: HashMap<(&'m str, &'m str, &'m str), Vec<&'m Service<'r>>>,
}

impl<'m, 'r> BySelector<'m, 'r> {
    pub(super) fn of(mesh: &'m Mesh<'r>) -> BySelector<'m, 'r> {
        let mut asking: HashMap<_, Vec<_>> = HashMap::default();
        for service in mesh.services.iter().filter(|service| service.kubernetes) {
            let EndpointKind::Selector(selector) = service.endpoints else { continue };
            let Some((name, value)) = selector.iter().next() else { continue };
            asking.entry((service.namespace.as_str(), name.as_str(), value.as_str())).or_default().push(service);
        }
        BySelector { asking }
    }

    /// The services that select a workload.
    pub(super) fn before<'b>(&'b self, pod: &'b Pod<'_>) -> impl Iterator<Item = &'m Service<'r>> + use<'b, 'm, 'r> {
        let asked = pod
            .labels
            .iter()
            .filter_map(|(name, value)| self.asking.get(&(pod.namespace(), name.as_str(), value.as_str())));
        asked.flatten().copied().filter(|service| match service.endpoints {
            EndpointKind::Selector(selector) => pod.has(selector),
            _ => false,
        })
    }
}
