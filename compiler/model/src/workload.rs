//! Workloads: what runs, with which labels and as whom (semantics.md §19).

use taut_resources::{Container, Resource, Spec};

use crate::Text;
use crate::labels::{LabelSet, label_set};

/// A workload of a mesh, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(pub u32);

/// One class of workloads: all pods of a Deployment, or a pod of its own.
#[derive(Clone, Debug)]
pub struct Workload<'r> {
    /// Where it is declared.
    pub resource: &'r Resource,
    /// Its namespace; empty if the object has none.
    pub namespace: Text,
    /// The Deployment's name, or the pod's.
    pub name: Text,
    /// The labels of its pods.
    pub labels: LabelSet,
    /// Its service account, `default` if none is named.
    pub service_account: Text,
    /// The ports of its containers: number and name.
    pub ports: Vec<(u16, Option<Text>)>,
    /// Whether it is a gateway: it says so, or some Gateway selects it by labels.
    pub gateway: bool,
    /// Whether it is in the mesh: a workload with the node's network cannot be.
    pub meshed: bool,
}

impl<'r> Workload<'r> {
    pub(crate) fn of(resource: &'r Resource) -> Option<Workload<'r>> {
        let Spec::Workload(workload) = &resource.spec else { return None };
        let spec = workload.spec.as_ref();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let pod = resource.subject.kind == "Pod";
        let (meta, account, containers, host_network) = if pod {
            let containers = spec.map_or(&[][..], |spec| spec.containers.as_slice());
            let account = spec.and_then(|spec| spec.service_account_name.as_ref());
            let host_network = spec.and_then(|spec| spec.host_network.as_ref());
            (Some(&resource.meta), account, containers, host_network)
        } else {
            let spec = template.and_then(|template| template.spec.as_ref());
            let containers = spec.map_or(&[][..], |spec| spec.containers.as_slice());
            let account = spec.and_then(|spec| spec.service_account_name.as_ref());
            let host_network = spec.and_then(|spec| spec.host_network.as_ref());
            (template.and_then(|template| template.metadata.as_ref()), account, containers, host_network)
        };
        if pod && workload.status.as_ref().and_then(|status| status.phase.as_ref()).is_some_and(|phase| is_over(phase))
        {
            return None;
        }
        let annotation = |name: &str| meta.and_then(|meta| meta.annotations.get(name));
        Some(Workload {
            resource,
            namespace: resource.subject.namespace.clone().unwrap_or_default(),
            name: resource.subject.name.clone(),
            labels: meta.map(|meta| label_set(&meta.labels)).unwrap_or_default(),
            service_account: account.map_or("default".into(), |account| account.value.clone()),
            ports: containers.iter().flat_map(ports_of).collect(),
            gateway: annotation("inject.istio.io/templates").is_some_and(|templates| templates.contains("gateway")),
            meshed: !host_network.is_some_and(|host_network| host_network.value),
        })
    }

    /// The container port of a name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(_, known)| known.as_deref() == Some(name)).map(|(number, _)| *number)
    }
}

fn is_over(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

fn ports_of(container: &Container) -> impl Iterator<Item = (u16, Option<Text>)> {
    container.ports.iter().map(|port| (port.container_port.0, port.name.as_ref().map(|name| name.value.clone())))
}
