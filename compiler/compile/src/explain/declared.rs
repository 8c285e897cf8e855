//! The workloads that a mesh declares, for those who ask by name.

use taut_model::{EndpointKind, LabelSet, Target, governing, selects};
use taut_snapshot::Text;
use taut_source::{Problems, SourceSet};

use crate::compile::{Options, read};

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its labels.
    pub labels: LabelSet,
    /// Whether it is a gateway.
    pub gateway: bool,
    /// Its SPIFFE id.
    pub identity: String,
    /// The ports of services that it is behind.
    pub behind: Vec<Lead>,
}

/// A port of a service that leads to a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The service's host.
    pub host: Text,
    /// The service's port.
    pub port: u16,
    /// The subsets that the workload is in, as its own namespace sees them.
    pub subsets: Vec<Text>,
    /// The workload's port.
    pub target: u16,
}

/// Every workload with a proxy.
#[must_use]
pub fn declared(sources: &SourceSet, options: &Options) -> Vec<Declared> {
    let (read, _) = read(sources, options, &mut Problems::default());
    let mesh = read.mesh(options);
    let workloads = mesh.workloads.iter().filter(|workload| workload.meshed);
    workloads
        .map(|workload| {
            let mut behind = Vec::new();
            for service in mesh.services_before(&workload.namespace, &workload.labels) {
                let EndpointKind::Selector(_) = service.endpoints else { continue };
                let rules = governing(&mesh, service, &workload.namespace);
                let own = rules.subsets.iter().filter(|subset| selects(&subset.labels, &workload.labels));
                let subsets: Vec<Text> = own.map(|subset| subset.name.value.clone()).collect();
                for port in &service.ports {
                    let target = match &port.target {
                        Target::Number(number) => Some(*number),
                        Target::Name(name) => workload.port_named(name),
                    };
                    let (host, subsets) = (service.host.clone(), subsets.clone());
                    behind.extend(target.map(|target| Lead { host, port: port.number, subsets, target }));
                }
            }
            let (domain, namespace) = (&mesh.settings.trust_domain, &workload.namespace);
            Declared {
                namespace: namespace.clone(),
                name: workload.name.clone(),
                labels: workload.labels.clone(),
                gateway: workload.gateway,
                identity: format!("spiffe://{domain}/ns/{namespace}/sa/{}", workload.service_account),
                behind,
            }
        })
        .collect()
}
