//! Which Services a Deployment stands behind.

use crate::labels::HashMap;

use taut_resources::Service;

use crate::Pod;
use crate::mesh::{Mesh, Of};

/// The Deployments of the mesh that several Services select, with those Services.
pub(super) fn deployments_behind_several<'m, 'r>(
    mesh: &'m Mesh<'r>,
) -> impl Iterator<Item = (&'m Pod<'r>, Vec<&'m Of<'r, Service>>)> {
    // By one of the labels that a service asks for: the others are compared only then.
    let mut asking: HashMap<(&str, &str, &str), Vec<&Of<'r, Service>>> = HashMap::default();
    for service in &mesh.inventory.services {
        let Some((name, value)) = service.spec.selector.iter().next() else { continue };
        asking.entry((service.namespace(), name, value)).or_default().push(service);
    }
    let deployments = mesh.pods.all().iter().filter(|pod| pod.resource.subject.kind == "Deployment");
    deployments.filter(|pod| mesh.has_sidecar(pod)).filter_map(move |pod| {
        let candidates =
            pod.labels.iter().filter_map(|(name, value)| asking.get(&(pod.namespace(), name.as_str(), value.as_str())));
        let services: Vec<_> = candidates.flatten().copied().filter(|it| pod.has(&it.spec.selector)).collect();
        (1 < services.len()).then_some((pod, services))
    })
}
