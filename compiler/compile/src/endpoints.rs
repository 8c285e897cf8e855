//! The endpoints that the sources declare (semantics.md §6, §8, §19): EndpointSlices, entries, and pods with an address.
//! Those that proxies register as they join come on top.

use std::collections::BTreeMap;

use taut_model::{EndpointKind, Mesh, Service, Target};
use taut_resources::{ServiceEntry, Spec, WorkloadEntry};
use taut_snapshot::endpoint::{EndpointPort, Owner};
use taut_snapshot::{Endpoint, EndpointSet, Text};

/// Every declared endpoint, by id.
pub(crate) fn declared(mesh: &Mesh<'_>) -> EndpointSet {
    let mut found: BTreeMap<Text, Endpoint> = BTreeMap::new();
    let mut add = |endpoint: Endpoint| {
        found.entry(endpoint.id.clone()).or_insert(endpoint);
    };
    for service in &mesh.services {
        if let (Spec::ServiceEntry(entry), EndpointKind::Declared) = (&service.resource.spec, &service.endpoints) {
            of_entry(mesh, service, entry).for_each(&mut add);
        }
    }
    for slice in &mesh.slices {
        of_slice(mesh, slice).into_iter().for_each(&mut add);
    }
    for entry in &mesh.entries {
        let labels = &entry.resource.meta.labels;
        let owner = Owner::Workload(entry.namespace().clone());
        let id = format!("WorkloadEntry/{}/{}", entry.namespace(), entry.name());
        let extra: Vec<(Text, Text)> = labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let ports = entry.spec.ports.0.iter().map(|(name, port)| (name.value.clone(), port.0));
        let ports = ports.map(|(name, number)| EndpointPort { number, name, dial: number, plaintext: false }).collect();
        add(workload_endpoint(mesh, id, owner, entry.namespace(), entry.spec, extra, ports));
    }
    for workload in &mesh.workloads {
        let Spec::Workload(pod) = &workload.resource.spec else { continue };
        let Some(address) = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()) else { continue };
        let ports = workload.ports.iter().map(|(number, name)| EndpointPort {
            number: *number,
            name: name.clone().unwrap_or_default(),
            dial: *number,
            plaintext: false,
        });
        let meshed = workload.labels.get("security.istio.io/tlsMode").is_some_and(|mode| mode == "istio");
        let account = if meshed { workload.service_account.as_str() } else { "" };
        add(Endpoint {
            id: format!("Pod/{}/{}", workload.namespace, workload.name).into(),
            owner: Owner::Workload(workload.namespace.clone()),
            labels: workload.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            address: address.value.clone(),
            ports: ports.collect(),
            identity: identity(mesh, &workload.namespace, account),
            weight: 0,
            draining: false,
            locality: Text::default(),
        });
    }
    EndpointSet { endpoints: found.into_values().collect() }
}

/// The endpoints listed in a service entry, for one of its hosts.
fn of_entry<'m>(
    mesh: &'m Mesh<'_>,
    service: &'m Service<'_>,
    entry: &'m ServiceEntry,
) -> impl Iterator<Item = Endpoint> + 'm {
    entry.endpoints.iter().enumerate().map(move |(at, endpoint)| {
        let ports = service.ports.iter().map(|port| {
            let named = endpoint.ports.0.iter().find(|(name, _)| name.value == port.name).map(|(_, number)| number.0);
            let target = match port.target {
                Target::Number(number) => number,
                Target::Name(_) => port.number,
            };
            EndpointPort {
                number: port.number,
                name: port.name.clone(),
                dial: named.unwrap_or(target),
                plaintext: false,
            }
        });
        let id = format!("ServiceEntry/{}/{}/{}/{at}", service.namespace, service.resource.subject.name, service.host);
        let owner = Owner::Service(service.host.clone());
        let mut made = workload_endpoint(mesh, id, owner, &service.namespace, endpoint, Vec::new(), ports.collect());
        if service.external {
            made.identity = Text::default();
        }
        made
    })
}

/// The endpoints of a slice, under the ports of the service that it names.
fn of_slice(mesh: &Mesh<'_>, slice: &taut_model::Of<'_, taut_resources::EndpointSlice>) -> Vec<Endpoint> {
    let Some(name) = slice.resource.meta.labels.get("kubernetes.io/service-name") else { return Vec::new() };
    let host = taut_model::expand(name, slice.namespace(), &mesh.settings);
    let Some(service) = mesh.services_of(&host).first().map(|id| mesh.service(*id)) else { return Vec::new() };
    let ports = slice.spec.ports.iter().filter_map(|port| {
        let name = port.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let number = service.ports.iter().find(|known| known.name == name)?.number;
        Some(EndpointPort { number, name, dial: port.port.as_ref()?.0, plaintext: false })
    });
    let ports: Vec<EndpointPort> = ports.collect();
    let usable = slice.spec.endpoints.iter().enumerate().filter(|(_, endpoint)| {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|it| it.ready.as_ref()).is_none_or(|ready| ready.value);
        let terminating = conditions.and_then(|it| it.terminating.as_ref()).is_some_and(|it| it.value);
        ready && !terminating
    });
    usable
        .filter_map(|(at, endpoint)| {
            Some(Endpoint {
                id: format!("EndpointSlice/{}/{}/{at}", slice.namespace(), slice.name()).into(),
                owner: Owner::Service(host.clone()),
                labels: Vec::new(),
                address: endpoint.addresses.first()?.value.clone(),
                ports: ports.clone(),
                identity: Text::default(),
                weight: 0,
                draining: false,
                locality: Text::default(),
            })
        })
        .collect()
}

fn workload_endpoint(
    mesh: &Mesh<'_>,
    id: String,
    owner: Owner,
    namespace: &str,
    entry: &WorkloadEntry,
    over: Vec<(Text, Text)>,
    ports: Vec<EndpointPort>,
) -> Endpoint {
    let mut labels: BTreeMap<Text, Text> =
        entry.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.extend(over);
    let account = entry.service_account.as_ref().map(|account| account.value.as_str()).unwrap_or_default();
    let identity = match labels.get("security.istio.io/tlsMode").map(Text::as_str) {
        Some("disabled") => Text::default(),
        _ => identity(mesh, namespace, account),
    };
    Endpoint {
        id: id.into(),
        owner,
        labels: labels.into_iter().collect(),
        address: entry.address.as_ref().map(|address| address.value.clone()).unwrap_or_default(),
        ports,
        identity,
        weight: entry.weight.as_ref().map_or(0, |weight| weight.value),
        draining: false,
        locality: entry.locality.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
    }
}

fn identity(mesh: &Mesh<'_>, namespace: &str, account: &str) -> Text {
    match account {
        "" => Text::default(),
        account => format!("spiffe://{}/ns/{namespace}/sa/{account}", mesh.settings.trust_domain).into(),
    }
}
