//! Which ports of services lead to a workload: by its labels, or by its address where endpoints are listed.

use taut_resources::{EndpointSlice, Spec, WorkloadEntry};

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};
use crate::{EndpointKind, Service, ServicePort, Target, Text, expand, selects};

/// What is asked about: a workload that is declared, or one that somebody only describes.
#[derive(Clone, Copy, Debug)]
pub struct Who<'w> {
    /// Its namespace.
    pub namespace: &'w Text,
    /// Its labels.
    pub labels: &'w LabelSet,
    /// The ports of its containers: number and name.
    pub ports: &'w [(u16, Option<Text>)],
    /// Its addresses, as far as they are known.
    pub addresses: &'w [Text],
}

/// One port of a service that leads to a workload.
#[derive(Clone, Copy, Debug)]
pub struct Leading<'m, 'r> {
    /// The service.
    pub service: &'m Service<'r>,
    /// Its port.
    pub port: &'m ServicePort,
    /// The workload's port.
    pub number: u16,
}

/// Every port of a service that leads to a workload, oldest service first.
#[must_use]
pub fn leading_to<'m, 'r>(mesh: &'m Mesh<'r>, who: Who<'_>) -> Vec<Leading<'m, 'r>> {
    let mut found = Vec::new();
    // Labels select within a namespace; an address is the workload's whoever lists it.
    let services: Vec<&Service<'r>> = match who.addresses {
        [] => mesh.services_before(who.namespace, who.labels).collect(),
        _ => mesh.services.iter().collect(),
    };
    for service in services {
        let selected = match service.endpoints {
            EndpointKind::Selector(selector) => service.namespace == *who.namespace && selects(selector, who.labels),
            _ => false,
        };
        for port in &service.ports {
            let number = if selected { by_labels(who, port) } else { None };
            let number = number.or_else(|| by_address(mesh, who, service, port));
            found.extend(number.map(|number| Leading { service, port, number }));
        }
    }
    found
}

fn by_labels(who: Who<'_>, port: &ServicePort) -> Option<u16> {
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => {
            who.ports.iter().find(|(_, known)| known.as_ref() == Some(name)).map(|(number, _)| *number)
        }
    }
}

fn by_address(mesh: &Mesh<'_>, who: Who<'_>, service: &Service<'_>, port: &ServicePort) -> Option<u16> {
    if who.addresses.is_empty() {
        return None;
    }
    let own = |address: &str| who.addresses.iter().any(|known| known == address);
    if let Spec::ServiceEntry(entry) = &service.resource.spec {
        let here = |it: &&WorkloadEntry| it.address.as_ref().is_some_and(|address| own(address));
        let endpoint = entry.endpoints.iter().find(here)?;
        let named = endpoint.ports.0.iter().find(|(name, _)| name.value == port.name).map(|(_, number)| number.0);
        return named.or(match port.target {
            Target::Number(number) => Some(number),
            Target::Name(_) => None,
        });
    }
    let of_service = |slice: &&Of<'_, EndpointSlice>| {
        let name = slice.resource.meta.labels.get("kubernetes.io/service-name");
        name.is_some_and(|name| expand(name, slice.namespace(), &mesh.settings) == service.host)
    };
    let mut slices = mesh.slices.iter().filter(of_service).filter(|slice| {
        slice.spec.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).any(|address| own(address))
    });
    slices.find_map(|slice| {
        let named = |name: Option<&Text>| name.map_or("", Text::as_str) == port.name.as_str();
        let port = slice.spec.ports.iter().find(|it| named(it.name.as_ref().map(|name| &name.value)))?;
        port.port.as_ref().map(|number| number.0)
    })
}
