//! One snapshot, ready to decide requests: everything that can fail has been tried before it is active.
//!
//! Owns: what is made from a view: tables, clusters, inbound ports, certificates.
//! Invariant: a world never changes. Endpoints do, inside its clusters; which clusters there are does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use taut_delivery::Refused;
use taut_snapshot::decide::{ClusterId, DEFAULT_RETRY_ATTEMPTS, Destination, Forwarding, GatewayListener, Tables};
use taut_snapshot::object::{
    Balancer, Certificate, Cluster, ClusterTls, EndpointSource, Limits, MtlsMode, Protocol, Retry, RetryOn,
};
use taut_snapshot::{BadSnapshot, Digest, Objects, Text, view_of};

use crate::config::Role;
use crate::telemetry::names::{NameId, ServiceName, Workload};
use crate::telemetry::peer::Introduction;
use crate::tls::gateway_config;
use crate::token::Tokens;
use crate::upstream::Upstream;
use crate::worker::Shared;

/// The most that connecting to the workload's own application may take: Istio's default.
const APPLICATION_CONNECT_MS: u64 = 10_000;

/// How long a connection to it may be idle, as with Envoy.
const APPLICATION_IDLE_MS: u64 = 3_600_000;

/// What decides requests.
pub(crate) struct World {
    pub(crate) snapshot: Digest,
    pub(crate) generation: u64,
    pub(crate) tables: Tables,
    /// By the numbers of the tables' clusters.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// The workload's own ports that there are binds for.
    pub(crate) inbound: BTreeMap<u16, Inbound>,
    /// How requests go to the application.
    pub(crate) to_application: ToApplication,
    /// Where connections go that carry something else than HTTP, by the port of the outbound bind.
    pub(crate) bytes_to: BTreeMap<u16, BytesTo>,
    /// What each server of each gateway's listener shows, in the tables' order.
    certificates: Vec<Vec<Option<Shown>>>,
    /// Which tokens it takes.
    pub(crate) tokens: Option<Tokens>,
    /// Which workload this is, to metrics.
    pub(crate) workload: NameId,
    /// What it says of itself to other proxies.
    pub(crate) introduction: Introduction,
}

/// One port of the workload.
pub(crate) struct Inbound {
    pub(crate) mode: MtlsMode,
    pub(crate) protocol: Protocol,
    /// The application.
    pub(crate) upstream: Arc<Upstream>,
}

/// How requests go to the application: tried again only if nothing was sent (semantics.md §3.10, 'Inbound').
pub(crate) struct ToApplication {
    pub(crate) forwarding: Forwarding,
    pub(crate) destination: Destination,
}

/// Where connections to a port go that carry something else than HTTP.
pub(crate) struct BytesTo {
    pub(crate) cluster: ClusterId,
    /// Whether there may be HTTP on the port as well, so that one must look.
    pub(crate) beside_http: bool,
}

/// A certificate, and the configuration that shows it. Kept from one world to the next, so that clients can resume.
struct Shown {
    certificate: Certificate,
    config: Arc<ServerConfig>,
}

/// A cluster that the world before did not have just so: it has no endpoints yet.
pub(crate) struct Fresh {
    pub(crate) upstream: Arc<Upstream>,
    /// The same service, port and subset in the world before.
    pub(crate) before: Option<Arc<Upstream>>,
}

/// What a proxy is, beside its snapshot.
pub(crate) struct Place<'p> {
    pub(crate) name: &'p str,
    pub(crate) workload: &'p str,
    pub(crate) roles: &'p [Role],
    /// How many threads will connect.
    pub(crate) workers: usize,
}

impl World {
    /// Makes a snapshot ready. What of `before` stays the same is used again.
    ///
    /// # Errors
    /// If it cannot be run here, with the reason.
    pub(crate) fn new(
        snapshot: Digest,
        objects: &Objects,
        place: &Place<'_>,
        shared: &Shared,
        before: Option<&World>,
    ) -> Result<(World, Vec<Fresh>), Refused> {
        let view = view_of(objects, snapshot, place.workload).map_err(|bad| unreadable(&bad))?;
        let view = view.ok_or_else(|| refused(format!("the snapshot has no workload `{}`", place.workload)))?;
        let tables = Tables::load(objects, view).map_err(|bad| unreadable(&bad))?;
        let in_view = |why: String| Refused { object: Some(view.digest), why };
        let (upstreams, fresh) = upstreams(&tables, shared, before).map_err(in_view)?;
        let known = before.and_then(|before| before.tokens.as_ref());
        let tokens = tables.tokens.as_ref().map(|set| Tokens::new(set, known)).transpose().map_err(in_view)?;
        let bytes_to = bytes_to(&tables, place.roles).map_err(in_view)?;
        let certificates = certificates(&tables, before).map_err(in_view)?;
        let workload = Workload::new(&tables.view.namespace, &tables.view.name, &tables.view.labels);
        let world = World {
            snapshot,
            generation: 0,
            inbound: inbound(&tables, place, shared, before),
            to_application: ToApplication::new(),
            bytes_to,
            certificates,
            tokens,
            introduction: Introduction::new(place.name, &workload),
            workload: shared.labels.workloads.number(workload),
            upstreams,
            tables,
        };
        Ok((world, fresh))
    }

    /// A cluster.
    pub(crate) fn upstream(&self, cluster: ClusterId) -> &Arc<Upstream> {
        &self.upstreams[cluster.0 as usize]
    }

    /// Which connections a port of the workload takes.
    pub(crate) fn mtls(&self, port: u16) -> &MtlsMode {
        self.inbound.get(&port).map_or(&self.tables.view.other_ports, |inbound| &inbound.mode)
    }

    /// What a port of the workload speaks.
    pub(crate) fn inbound_protocol(&self, port: u16) -> &Protocol {
        self.inbound.get(&port).map_or(&Protocol::Auto, |inbound| &inbound.protocol)
    }

    /// A port of the gateway.
    pub(crate) fn listener(&self, port: u16) -> Option<&GatewayListener> {
        self.tables.listeners.iter().find(|listener| listener.port == port)
    }

    /// Whether a port of the gateway ends TLS.
    pub(crate) fn ends_tls(&self, port: u16) -> bool {
        let servers = self.listener(port).map_or(&[][..], |listener| &listener.servers);
        servers.iter().any(|server| server.certificate.is_some())
    }

    /// What a client is shown that asks for this name on a port of the gateway.
    pub(crate) fn certificate(&self, port: u16, server_name: Option<&str>) -> Option<&Arc<ServerConfig>> {
        let at = self.tables.listeners.iter().position(|listener| listener.port == port)?;
        let listener = &self.tables.listeners[at];
        let server = listener.server(server_name)?;
        let number = listener.servers.iter().position(|one| std::ptr::eq(one, server))?;
        self.certificates[at][number].as_ref().map(|shown| &shown.config)
    }
}

fn refused(why: String) -> Refused {
    Refused { object: None, why }
}

fn unreadable(bad: &BadSnapshot) -> Refused {
    let object = match bad {
        BadSnapshot::File(_) => None,
        BadSnapshot::Digest(object)
        | BadSnapshot::Object(object, _)
        | BadSnapshot::Missing(object)
        | BadSnapshot::Unreachable(object)
        | BadSnapshot::Meaning(object, _) => Some(*object),
    };
    Refused { object, why: bad.to_string() }
}

/// The clusters of the tables, and those of them that are new. One that is as it was is the same one, with its endpoints
/// and connections.
fn upstreams(
    tables: &Tables,
    shared: &Shared,
    before: Option<&World>,
) -> Result<(Vec<Arc<Upstream>>, Vec<Fresh>), String> {
    fn key(cluster: &Cluster) -> (&Text, u16, &Text) {
        (&cluster.host, cluster.port, &cluster.subset)
    }
    let known = before.iter().flat_map(|before| &before.upstreams);
    let known: BTreeMap<_, &Arc<Upstream>> = known.map(|upstream| (key(&upstream.cluster), upstream)).collect();
    let (mut all, mut fresh) = (Vec::with_capacity(tables.clusters().len()), Vec::new());
    for cluster in tables.clusters() {
        let before = known.get(&key(cluster)).map(|known| Arc::clone(known));
        if let Some(same) = before.as_ref().filter(|before| before.cluster == *cluster) {
            all.push(same.clone());
            continue;
        }
        let upstream = Upstream::new(cluster.clone(), &shared.identity, &shared.labels, before.as_deref())?;
        let upstream = Arc::new(upstream);
        all.push(upstream.clone());
        fresh.push(Fresh { upstream, before });
    }
    Ok((all, fresh))
}

/// The workload's own ports, as far as there are binds for them.
fn inbound(tables: &Tables, place: &Place<'_>, shared: &Shared, before: Option<&World>) -> BTreeMap<u16, Inbound> {
    let ready = |role: &Role| {
        let Role::Inbound { port, application } = *role else { return None };
        let declared = tables.view.inbound.iter().find(|inbound| inbound.port == port);
        let (mode, protocol) = declared.map_or_else(
            || (tables.view.other_ports.clone(), Protocol::Auto),
            |inbound| (inbound.mtls.clone(), inbound.protocol.clone()),
        );
        let (host, namespace) = declared
            .map_or_else(Default::default, |inbound| (inbound.service.clone(), inbound.service_namespace.clone()));
        let cluster = application_cluster(host.clone(), port, namespace.clone(), protocol.clone());
        let same = before
            .and_then(|before| before.inbound.get(&port))
            .filter(|known| known.upstream.cluster == cluster)
            .map(|known| known.upstream.clone());
        let upstream = same.unwrap_or_else(|| {
            let service = shared.labels.services.number(ServiceName::new(&host, &namespace));
            let name = format!("inbound|{port}||");
            Arc::new(Upstream::application(name, cluster, service, application, place.workers))
        });
        Some((port, Inbound { mode, protocol, upstream }))
    };
    place.roles.iter().filter_map(ready).collect()
}

/// The application behind a port, as a cluster: without limits, without TLS.
fn application_cluster(host: Text, port: u16, namespace: Text, protocol: Protocol) -> Cluster {
    Cluster {
        host,
        port,
        subset: Text::default(),
        namespace,
        protocol,
        endpoints: EndpointSource::Dns(Vec::new()),
        balancer: Balancer::RoundRobin,
        limits: Limits {
            connections: 0,
            pending: 0,
            requests: 0,
            retries: 0,
            requests_per_connection: 0,
            budget: None,
        },
        outlier: None,
        tls: ClusterTls::Plain,
        connect_timeout_ms: APPLICATION_CONNECT_MS,
        idle_timeout_ms: APPLICATION_IDLE_MS,
        warmup: None,
        wire: None,
    }
}

impl ToApplication {
    fn new() -> ToApplication {
        let retry = Retry {
            attempts: DEFAULT_RETRY_ATTEMPTS,
            on: vec![RetryOn::ResetBeforeRequest],
            statuses: Vec::new(),
            per_try_timeout_ms: 0,
            backoff_ms: 0,
            any_host: false,
        };
        // Which cluster it is differs from port to port; nobody asks the forwarding for it.
        let forwarding = Forwarding { retry: Some(retry), ..Forwarding::to(ClusterId(0), None) };
        let destination = forwarding.destinations[0].clone();
        ToApplication { forwarding, destination }
    }
}

/// Where connections go that carry something else than HTTP. They do not name a service, so that for each port there may
/// be only one (semantics.md §2.3: with an address of its own for each service, capture tells them apart).
fn bytes_to(tables: &Tables, roles: &[Role]) -> Result<BTreeMap<u16, BytesTo>, String> {
    let mut found = BTreeMap::new();
    for role in roles {
        let Role::Outbound { port } = *role else { continue };
        let ports = tables.services.iter().flat_map(|entry| {
            let of_port = entry.service.ports.iter().filter(|known| known.number == port);
            of_port.map(|known| (&entry.service.host, &known.protocol))
        });
        let (bytes, others): (Vec<_>, Vec<_>) =
            ports.partition(|(_, protocol)| matches!(protocol, Protocol::Tcp | Protocol::Tls));
        match bytes.as_slice() {
            [] => {}
            [(host, _)] => {
                if let Some(cluster) = tables.outbound(port, host).and_then(|found| found.cluster) {
                    found.insert(port, BytesTo { cluster, beside_http: !others.is_empty() });
                }
            }
            [(one, _), (other, _), ..] => {
                return Err(format!(
                    "port {port} carries bytes to `{one}` as well as to `{other}`, and a bind for the port cannot tell them \
                     apart: give one of them another port"
                ));
            }
        }
    }
    Ok(found)
}

/// What each server of a gateway shows.
fn certificates(tables: &Tables, before: Option<&World>) -> Result<Vec<Vec<Option<Shown>>>, String> {
    let known: Vec<&Shown> = before.iter().flat_map(|before| before.certificates.iter().flatten().flatten()).collect();
    let shown = |certificate: &Certificate| {
        let same = known.iter().find(|shown| shown.certificate == *certificate);
        let config = match same {
            Some(shown) => shown.config.clone(),
            None => gateway_config(certificate)?,
        };
        Ok(Shown { certificate: certificate.clone(), config })
    };
    let of = |listener: &GatewayListener| -> Result<Vec<Option<Shown>>, String> {
        listener.servers.iter().map(|server| server.certificate.as_ref().map(shown).transpose()).collect()
    };
    tables.listeners.iter().map(of).collect()
}

/// The address that a port of a gateway is listened on, if no bind says so.
pub(crate) fn gateway_address(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}
