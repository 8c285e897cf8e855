//! Which Services a Deployment stands behind.

use crate::labels::HashMap;

use smallvec::SmallVec;
use taut_resources::Service;

use crate::Pod;
use crate::mesh::{Mesh, Of};

/// A Deployment, and the Services that select it.
pub(crate) type Behind<'r> = (Pod<'r>, Vec<Of<'r, Service>>);

/// The Services that ask for a label: nearly always one.
type Asking<'r> = SmallVec<[Of<'r, Service>; 1]>;

/// The Deployments of the mesh that several Services select, with those Services. Two checks look at them: they are found
/// once.
pub(super) fn deployments_behind_several<'m, 'r>(mesh: &'m Mesh<'r>) -> &'m [Behind<'r>] {
    mesh.behind_several.get_or_init(|| found(mesh))
}

fn found<'r>(mesh: &Mesh<'r>) -> Vec<Behind<'r>> {
    // By one of the labels that a service asks for: the others are compared only then.
    let mut asking: HashMap<(&str, &str, &str), Asking<'r>> =
        HashMap::with_capacity_and_hasher(mesh.inventory.services.len(), Default::default());
    for service in &mesh.inventory.services {
        let Some((name, value)) = service.spec.selector.iter().next() else { continue };
        asking.entry((service.namespace(), name, value)).or_default().push(*service);
    }
    let deployments = mesh.pods.all().iter().filter(|pod| pod.resource.subject.kind() == "Deployment");
    let behind_several = |pod: &Pod<'r>| {
        let candidates =
            pod.labels.iter().filter_map(|(name, value)| asking.get(&(pod.namespace(), name.as_str(), value.as_str())));
        let services: Vec<_> = candidates.flatten().copied().filter(|it| pod.has(&it.spec.selector)).collect();
        (1 < services.len()).then_some((*pod, services))
    };
    deployments.filter_map(behind_several).filter(|(pod, _)| mesh.has_sidecar(pod)).collect()
}
