//! What a gateway workload listens to (semantics.md §5.2-5.4).

use std::collections::BTreeMap;

use taut_resources::{Gateway, Server, ServerTls, ServerTlsMode};

use crate::attachment::GATEWAY_NAME;
use crate::gateway_api::RunBy;
use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of, Routing};
use crate::{EndpointKind, Host, Leading, Service, Target, Text, covers, selects};

/// One port of a gateway workload, with the servers that share it.
#[derive(Clone, Debug)]
pub struct ListenPort<'r> {
    /// The port that the workload listens on.
    pub port: u16,
    /// The servers, oldest gateway first.
    pub servers: Vec<BoundServer<'r>>,
    /// Servers that were dropped, each with why.
    pub dropped: Vec<(BoundServer<'r>, &'static str)>,
}

/// A gateway that was written, or made of the Gateway API or of an Ingress.
#[derive(Clone, Debug)]
pub struct Entrance<'r> {
    /// What it says, and the resource that says so.
    pub of: Of<'r, Gateway>,
    /// The name that rules are bound to it by, `namespace/name`.
    pub name: Text,
    /// Who runs it, if it was made.
    pub run_by: Option<&'r RunBy>,
    /// The Secret with the certificate that it shows to services, if they speak TLS as a policy says.
    pub client_certificate: Option<&'r (Text, Text)>,
}

impl<'r> Entrance<'r> {
    pub(crate) fn written(of: Of<'r, Gateway>) -> Entrance<'r> {
        Entrance {
            of,
            name: format!("{}/{}", of.namespace(), of.name()).into(),
            run_by: None,
            client_certificate: None,
        }
    }

    /// The services whose workloads run it.
    pub(crate) fn services<'m>(
        &self,
        by_host: &crate::labels::HashMap<Host, crate::service::ServiceIds>,
        services: &'m [Service<'r>],
    ) -> Vec<&'m Service<'r>> {
        let Some(RunBy::Services { services: hosts, .. }) = self.run_by else { return Vec::new() };
        let ids = hosts.iter().filter_map(|host| by_host.get(host)).flatten();
        ids.map(|id| &services[id.0 as usize]).filter(|it| it.namespace == *self.of.namespace()).collect()
    }
}

/// Whether workloads of a namespace with some labels run a gateway, whose services are known.
pub(crate) fn is_run_by(
    entrance: &Entrance<'_>,
    services: &[&Service<'_>],
    namespace: &str,
    labels: &LabelSet,
) -> bool {
    match entrance.run_by {
        None | Some(RunBy::Labels) => selects(&entrance.of.spec.selector, labels),
        Some(RunBy::Services { pods, .. }) => {
            is_its_pod(pods.as_ref(), namespace, labels)
                || services.iter().any(|service| match service.endpoints {
                    EndpointKind::Selector(selector) => service.namespace == namespace && selects(selector, labels),
                    _ => false,
                })
        }
    }
}

/// Whether a workload is one of those that are made for a Gateway: they have its name (semantics.md §18.2).
fn is_its_pod(pods: Option<&(Text, Text)>, namespace: &str, labels: &LabelSet) -> bool {
    pods.is_some_and(|(place, name)| place == namespace && labels.get(GATEWAY_NAME) == Some(name))
}

/// A server of a Gateway.
#[derive(Clone, Debug)]
pub struct BoundServer<'r> {
    /// The name that rules are bound to its gateway by.
    pub name: Text,
    /// The gateway.
    pub gateway: Of<'r, Gateway>,
    /// The server.
    pub server: &'r Server,
    /// Its number in the gateway.
    pub number: usize,
    /// Whether it was made of a listener, or of an Ingress.
    pub made: bool,
}

impl BoundServer<'_> {
    /// Whether TLS ends here.
    #[must_use]
    pub fn ends_tls(&self) -> bool {
        matches!(self.server.port.protocol.to_ascii_uppercase().as_str(), "HTTPS" | "TLS")
    }

    /// Whether TLS is passed on as it is.
    #[must_use]
    pub fn passes_tls(&self) -> bool {
        let mode = self.server.tls.as_deref().map(ServerTls::effective_mode);
        self.ends_tls() && matches!(mode, Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough))
    }

    /// Whether its requests are looked at.
    #[must_use]
    pub fn is_http(&self) -> bool {
        match self.server.port.protocol.to_ascii_uppercase().as_str() {
            "HTTPS" => !self.passes_tls(),
            other => crate::Protocol::parse(other).is_some_and(crate::Protocol::is_http),
        }
    }

    /// `namespace/name` of its gateway.
    #[must_use]
    pub fn gateway_name(&self) -> Text {
        self.name.clone()
    }
}

/// The ports of a gateway workload: the servers of all Gateways that select it, merged (§5.3).
#[must_use]
pub fn listen_ports<'r>(
    mesh: &Mesh<'r>,
    namespace: &str,
    labels: &LabelSet,
    port_named: impl Fn(&str) -> Option<u16>,
) -> Vec<ListenPort<'r>> {
    let translate = |_: &Entrance<'r>, number: u16| vec![listening_port(mesh, namespace, labels, number, &port_named)];
    let bound = |entrance: &Entrance<'r>| entrance.run_by.is_none() && selects(&entrance.of.spec.selector, labels);
    merge(mesh, &bound, &translate)
}

/// The same, by the ports of services that lead to the workload.
#[must_use]
pub fn ports_at<'r>(
    mesh: &Mesh<'r>,
    namespace: &str,
    labels: &LabelSet,
    leading: &[Leading<'_, 'r>],
) -> Vec<ListenPort<'r>> {
    let translate = |entrance: &Entrance<'r>, number: u16| {
        let gateway = &entrance.of;
        let of = |it: &&Leading<'_, 'r>| it.port.number == number;
        if let Some(hosts) = services_of(entrance) {
            // One that names its services listens where they lead, and nowhere else.
            let own = leading.iter().filter(of).filter(|it| named(&hosts, gateway, it));
            let mut ports: Vec<u16> = own.map(|it| it.number).collect();
            ports.sort_unstable();
            ports.dedup();
            // The pods that are made for a Gateway listen on its own ports.
            if ports.is_empty() && is_pod_of(entrance, namespace, labels) {
                ports.push(number);
            }
            return ports;
        }
        let mut leading = leading.iter().filter(|it| it.service.resource.meta.labels.get(UNTRANSLATED).is_none());
        vec![leading.find(of).map_or(number, |it| it.number)]
    };
    let bound = |entrance: &Entrance<'r>| match services_of(entrance) {
        Some(hosts) => {
            leading.iter().any(|it| named(&hosts, &entrance.of, it)) || is_pod_of(entrance, namespace, labels)
        }
        None => selects(&entrance.of.spec.selector, labels),
    };
    merge(mesh, &bound, &translate)
}

/// The label of a Service that translates no ports of gateways.
const UNTRANSLATED: &str = "experimental.istio.io/disable-gateway-port-translation";

/// The annotation of a Gateway that is made for some services, rather than for workloads with some labels.
const SERVICES: &str = "internal.istio.io/gateway-service";

fn services_of<'r>(entrance: &Entrance<'r>) -> Option<Vec<&'r str>> {
    if let Some(RunBy::Services { services, .. }) = entrance.run_by {
        return Some(services.iter().map(Text::as_str).collect());
    }
    entrance.of.resource.meta.annotations.get(SERVICES).map(|hosts| hosts.split(',').collect())
}

fn is_pod_of(entrance: &Entrance<'_>, namespace: &str, labels: &LabelSet) -> bool {
    match entrance.run_by {
        Some(RunBy::Services { pods, .. }) => is_its_pod(pods.as_ref(), namespace, labels),
        _ => false,
    }
}

fn named(hosts: &[&str], gateway: &Of<'_, Gateway>, leading: &Leading<'_, '_>) -> bool {
    leading.service.namespace == *gateway.namespace() && hosts.contains(&leading.service.host.as_str())
}

fn merge<'r>(
    mesh: &Mesh<'r>,
    bound: &dyn Fn(&Entrance<'r>) -> bool,
    translate: &dyn Fn(&Entrance<'r>, u16) -> Vec<u16>,
) -> Vec<ListenPort<'r>> {
    let mut ports: BTreeMap<u16, ListenPort<'r>> = BTreeMap::new();
    for entrance in mesh.entrances.iter().filter(|entrance| bound(entrance)) {
        for (number, server) in entrance.of.spec.servers.iter().enumerate() {
            for port in translate(entrance, server.port.number.0) {
                let bound = BoundServer {
                    name: entrance.name.clone(),
                    gateway: entrance.of,
                    server,
                    number,
                    made: entrance.run_by.is_some(),
                };
                let listen =
                    ports.entry(port).or_insert_with(|| ListenPort { port, servers: Vec::new(), dropped: Vec::new() });
                match refusal(&listen.servers, &bound) {
                    Some(why) => listen.dropped.push((bound, why)),
                    None => listen.servers.push(bound),
                }
            }
        }
    }
    ports.into_values().collect()
}

/// A server's number is the port of the gateway's Service: what the workload listens on is that port's target.
fn listening_port(
    mesh: &Mesh<'_>,
    namespace: &str,
    labels: &LabelSet,
    number: u16,
    port_named: &impl Fn(&str) -> Option<u16>,
) -> u16 {
    let translated = mesh.services_before(namespace, labels).find_map(|service| match &service.port(number)?.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => port_named(name),
    });
    translated.unwrap_or(number)
}

/// Why a server cannot share a port with those before it.
fn refusal(earlier: &[BoundServer<'_>], bound: &BoundServer<'_>) -> Option<&'static str> {
    let first = earlier.first()?;
    if first.ends_tls() != bound.ends_tls() {
        return Some("another server of the port speaks plain HTTP where this one speaks TLS, or the other way round");
    }
    let shared = first.ends_tls() || (first.is_http() && bound.is_http());
    if !shared {
        return Some("another server of the port has it already, and only plain HTTP can be shared");
    }
    // Servers with a `tls` block are told apart by their hosts, and one common host drops the whole later one.
    let hosts = gateway_hosts(bound);
    let taken = earlier.iter().filter(|other| other.server.tls.is_some() && bound.server.tls.is_some());
    let taken = taken.flat_map(gateway_hosts).any(|host| hosts.contains(&host));
    taken.then_some("an older server of the port has one of its hosts")
}

/// The hosts of a server as they are compared: `./h` with the gateway's namespace, `*/h` without any.
#[must_use]
pub fn gateway_hosts(bound: &BoundServer<'_>) -> Vec<Text> {
    let namespace = bound.gateway.namespace();
    let normal = |host: &str| match host.split_once('/') {
        Some((".", name)) => format!("{namespace}/{}", name.to_ascii_lowercase()),
        Some(("*", name)) => name.to_ascii_lowercase(),
        Some((place, name)) => format!("{place}/{}", name.to_ascii_lowercase()),
        None => host.to_ascii_lowercase(),
    };
    bound.server.hosts.iter().map(|host| normal(host).into()).collect()
}

/// The host under which a server serves a virtual service's host: the narrower of the two; none if they have no name
/// in common, or the server does not admit the virtual service's namespace (§5.4).
#[must_use]
pub fn server_admits(bound: &BoundServer<'_>, routing: &Routing<'_>, host: &Host) -> Option<Host> {
    gateway_hosts(bound).iter().find_map(|admitted| {
        let (place, name) =
            admitted.split_once('/').map_or((None, admitted.as_str()), |(place, name)| (Some(place), name));
        if place.is_some_and(|place| place != routing.of.namespace().as_str()) {
            return None;
        }
        if covers(name, host) {
            Some(host.clone())
        } else if covers(host, name) {
            Some(name.into())
        } else {
            None
        }
    })
}
