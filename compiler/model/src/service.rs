//! Services: hosts with ports and endpoints, from Kubernetes Services, ServiceEntries and InferencePools (semantics.md §6,
//! §18.4, §19).

use smallvec::SmallVec;
use taut_resources::gateway_api::{InferencePool, PoolProtocol};
use taut_resources::{IntOrText, Labels, Location, Resolution, Resource, ServiceEntry, ServiceType, Spec};

use crate::{Host, Protocol, Settings, Text, Visibility, pool};

/// A service of a mesh, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// The services of one host: nearly always one.
pub(crate) type ServiceIds = SmallVec<[ServiceId; 4]>;

/// One host.
#[derive(Clone, Debug)]
pub struct Service<'r> {
    /// Where it is declared.
    pub resource: &'r Resource,
    /// Its full name.
    pub host: Host,
    /// Its namespace.
    pub namespace: Text,
    /// Whether it is a Kubernetes Service, rather than an entry.
    pub kubernetes: bool,
    /// Whether it is outside the mesh.
    pub external: bool,
    /// Whether it has no address of its own.
    pub headless: bool,
    /// Whether connections go to the address that the client asked for.
    pub original: bool,
    /// Its virtual addresses.
    pub addresses: Vec<Text>,
    /// Ranges of virtual addresses, `address/bits`.
    pub ranges: Vec<Text>,
    /// Its ports, in the order of the file.
    pub ports: Vec<ServicePort>,
    /// Who sees it.
    pub visibility: Visibility,
    /// How its endpoints are found.
    pub endpoints: EndpointKind<'r>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The number that clients use.
    pub number: u16,
    /// Its name.
    pub name: Text,
    /// What it speaks.
    pub protocol: Protocol,
    /// The endpoints' port.
    pub target: Target,
}

/// The port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By number.
    Number(u16),
    /// By the container's name for it.
    Name(Text),
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug)]
pub enum EndpointKind<'r> {
    /// The workloads with these labels, in the service's namespace.
    Selector(&'r Labels),
    /// They are declared: in EndpointSlices, or in the entry itself.
    Declared,
    /// Names of the entry are looked up.
    Dns(&'r ServiceEntry),
    /// Another host stands for it.
    Alias(&'r Text),
    /// There are none: the address that the client asked for is the endpoint.
    Original,
}

impl<'r> Service<'r> {
    pub(crate) fn of(resource: &'r Resource, settings: &Settings) -> Vec<Service<'r>> {
        let namespace = resource.subject.namespace.clone().unwrap_or_default();
        match &resource.spec {
            Spec::Service(service) => vec![kubernetes(resource, service, namespace, settings)],
            Spec::ServiceEntry(entry) => {
                entry.hosts.iter().map(|host| of_entry(resource, entry, host, &namespace, settings)).collect()
            }
            Spec::InferencePool(pool) => vec![of_pool(resource, pool, namespace, settings)],
            _ => Vec::new(),
        }
    }

    /// Whether it was made of a pool.
    #[must_use]
    pub fn is_pool(&self) -> bool {
        matches!(self.resource.spec, Spec::InferencePool(_))
    }

    /// The port of a number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

fn kubernetes<'r>(
    resource: &'r Resource,
    service: &'r taut_resources::Service,
    namespace: Text,
    settings: &Settings,
) -> Service<'r> {
    let name = &resource.subject.name;
    let address = service.cluster_ip.iter().chain(&service.cluster_ips).map(|address| &address.value);
    let mut addresses: Vec<Text> =
        address.filter(|address| !matches!(address.as_str(), "" | "None")).cloned().collect();
    addresses.sort();
    addresses.dedup();
    let kind = service.kind.as_ref().map(|kind| kind.value);
    let alias = service.external_name.as_ref().filter(|_| kind == Some(ServiceType::ExternalName));
    let export_to = resource.meta.annotations.get("networking.istio.io/exportTo");
    let mut export_to: Vec<&str> = export_to.into_iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    if export_to.is_empty() {
        export_to.extend(settings.service_export_to.iter().map(Text::as_str));
    }
    let mut ports = Vec::with_capacity(service.ports.len());
    ports.extend(service.ports.iter().map(service_port).filter(|port| port.protocol != Protocol::Udp));
    Service {
        resource,
        host: format!("{}.{namespace}.svc.{}", name.to_ascii_lowercase(), settings.domain_suffix).into(),
        kubernetes: true,
        external: false,
        headless: service.cluster_ip.as_ref().is_some_and(|address| address.value == "None"),
        ranges: Vec::new(),
        original: service.cluster_ip.as_ref().is_some_and(|address| address.value == "None"),
        addresses,
        ports,
        visibility: Visibility::of(export_to, &namespace),
        endpoints: match alias {
            Some(host) => EndpointKind::Alias(&host.value),
            None if service.selector.is_empty() => EndpointKind::Declared,
            None => EndpointKind::Selector(&service.selector),
        },
        namespace,
    }
}

fn service_port(port: &taut_resources::ServicePort) -> ServicePort {
    let number = port.port.0;
    let name = port.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
    let app = port.app_protocol.as_ref().map(|protocol| protocol.as_str());
    let transport = port.protocol.map(|transport| transport.word());
    ServicePort {
        number,
        protocol: Protocol::of_service_port(number, &name, app, transport),
        name,
        target: match port.target_port.as_ref().map(|target| &target.value) {
            Some(IntOrText::Text(name)) => Target::Name(name.clone()),
            Some(IntOrText::Int(target)) => {
                Target::Number(u16::try_from(*target).ok().filter(|it| *it != 0).unwrap_or(number))
            }
            None => Target::Number(number),
        },
    }
}

/// The service that a controller makes of a pool: without an address, for gateways to send to.
fn of_pool<'r>(resource: &'r Resource, pool: &'r InferencePool, namespace: Text, settings: &Settings) -> Service<'r> {
    let name = pool::service_name(&resource.subject.name.to_ascii_lowercase());
    let protocol = match pool.app_protocol.value {
        PoolProtocol::Http => Protocol::Http,
        PoolProtocol::H2c => Protocol::Http2,
    };
    // What others say is reported where they stand: requests go to the first.
    let ports = pool.target_ports.iter().take(1).map(|port| ServicePort {
        number: pool::PORT,
        name: "http".into(),
        protocol,
        target: Target::Number(port.number.value.0),
    });
    Service {
        resource,
        host: format!("{name}.{namespace}.svc.{}", settings.domain_suffix).into(),
        kubernetes: true,
        external: false,
        headless: false,
        original: false,
        addresses: Vec::new(),
        ranges: Vec::new(),
        ports: ports.collect(),
        visibility: Visibility::Public,
        endpoints: EndpointKind::Selector(&pool.selector.match_labels),
        namespace,
    }
}

fn of_entry<'r>(
    resource: &'r Resource,
    entry: &'r ServiceEntry,
    host: &Text,
    namespace: &Text,
    settings: &Settings,
) -> Service<'r> {
    let resolution = entry.resolution.as_ref().map_or(Resolution::None, |it| it.value);
    let location = entry.location.as_ref().map_or(Location::MeshExternal, |it| it.value);
    let ports = entry.ports.iter().map(|port| {
        let number = port.number.0;
        let target =
            port.target_port.as_ref().and_then(|target| u16::try_from(target.value).ok()).filter(|it| *it != 0);
        ServicePort {
            number,
            name: port.name.value.clone(),
            protocol: port.protocol.as_ref().and_then(|name| Protocol::parse(name)).unwrap_or(Protocol::Auto),
            target: Target::Number(target.unwrap_or(number)),
        }
    });
    Service {
        resource,
        host: host.to_ascii_lowercase().into(),
        namespace: namespace.clone(),
        kubernetes: false,
        external: location == Location::MeshExternal,
        headless: false,
        original: resolution == Resolution::None,
        addresses: entry.addresses.iter().filter_map(|address| whole(address)).collect(),
        ranges: entry
            .addresses
            .iter()
            .filter(|address| whole(address).is_none())
            .map(|address| address.value.clone())
            .collect(),
        ports: ports.collect(),
        visibility: Visibility::of_list(&entry.export_to, namespace, &settings.service_export_to),
        endpoints: match (&entry.workload_selector, resolution) {
            (Some(selector), _) => EndpointKind::Selector(&selector.labels),
            (None, Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns) => EndpointKind::Dns(entry),
            (None, Resolution::None) => EndpointKind::Original,
            (None, Resolution::Static) => EndpointKind::Declared,
        },
    }
}

/// A single address, written with all of its bits or without any.
fn whole(address: &str) -> Option<Text> {
    let (start, bits) = match address.split_once('/') {
        None => return Some(address.into()),
        Some(parts) => parts,
    };
    let all = if start.contains(':') { "128" } else { "32" };
    (bits == all).then(|| start.into())
}
