//! One snapshot, ready to decide requests: everything that can fail has been tried before it is active.
//!
//! Owns: what is made from a view: tables, clusters, inbound ports, certificates.
//! Invariant: a world never changes. Endpoints do, inside its clusters; which clusters there are does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use taut_delivery::Refused;
use taut_snapshot::decide::{
    ClusterId, DEFAULT_RETRY_ATTEMPTS, Destination, Forwarding, GatewayListener, GatewayServer, Tables, Whereabouts,
};
use taut_snapshot::object::{
    Balancer, Cluster, ClusterTls, EndpointSource, Limits, LogService, MtlsMode, Protocol, Retry, RetryOn, Service,
};
use taut_snapshot::{BadSnapshot, Digest, Objects, Text, view_of};

use crate::config::Role;
use crate::telemetry::files::Logs;
use crate::telemetry::names::{Labels, NameId, ServiceName, Workload};
use crate::telemetry::peer::Introduction;
use crate::telemetry::said::Wanted;
use crate::telemetry::told::Sink;
use crate::tls::{Ending, HTTP, Securing, gateway_config};
use crate::token::Tokens;
use crate::trace::Tracer;
use crate::upstream::Upstream;
use crate::worker::Shared;

/// The most that connecting to the workload's own application may take: Istio's default.
const APPLICATION_CONNECT_MS: u64 = 10_000;

/// How long a connection to it may be idle, as with Envoy.
const APPLICATION_IDLE_MS: u64 = 3_600_000;

/// What Istio calls where traffic for unknown hosts passes to.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";

/// What Istio calls where captured traffic goes to ports that no service leads to.
const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// What Istio calls where it ends.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";

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
    /// What the client of an outbound bind is taken to have dialled, by the port of the bind.
    pub(crate) stand_ins: BTreeMap<u16, StandIn>,
    /// Where what nobody knows passes to: wherever it wanted to go.
    pub(crate) passthrough: Arc<Upstream>,
    /// Where captured connections go to ports that no service leads to; none if there are none.
    pub(crate) captured: Option<Arc<Upstream>>,
    /// What nobody knows is counted as, where it does not pass.
    pub(crate) black_hole: NameId,
    /// By the numbers of the tables' clusters, those of which clients choose the endpoint by its address.
    chosen: Vec<bool>,
    /// What each server of each gateway's listener shows, in the tables' order.
    certificates: Vec<Vec<Option<Shown>>>,
    /// Which tokens it takes.
    pub(crate) tokens: Option<Tokens>,
    /// How requests are traced: those that it sends, and those that it takes.
    pub(crate) tracers: [Option<Arc<Tracer>>; 2],
    /// Where requests are logged: those that it sends, and those that it takes.
    logs: [Option<Arc<Logs>>; 2],
    /// What metrics want to know of requests beyond the usual: of the client's side and of the server's.
    said: [Option<Wanted>; 2],
    /// Which workload this is, to metrics.
    pub(crate) workload: NameId,
    /// What it says of itself to other proxies.
    pub(crate) introduction: Introduction,
}

/// One port of the workload.
pub(crate) struct Inbound {
    /// The application.
    pub(crate) upstream: Arc<Upstream>,
}

/// How requests go to the application: tried again only if nothing was sent (semantics.md §3.10, 'Inbound').
pub(crate) struct ToApplication {
    pub(crate) forwarding: Forwarding,
    pub(crate) destination: Destination,
}

/// What the client of an outbound bind is taken to have dialled, which only names a port.
pub(crate) struct StandIn {
    pub(crate) address: IpAddr,
    /// Whether there may be HTTP on the port as well, so that one must look.
    pub(crate) beside_http: bool,
}

/// How a server ends TLS, and the configuration that does. Kept from one world to the next, so that clients can resume.
struct Shown {
    ending: Ending,
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
        let tables = Tables::load(objects, snapshot, view).map_err(|bad| unreadable(&bad))?;
        let in_view = |why: String| Refused { object: Some(view.digest), why };
        let (upstreams, fresh) = upstreams(&tables, shared, before).map_err(in_view)?;
        let known = before.and_then(|before| before.tokens.as_ref());
        let tokens = tables.tokens.as_ref().map(|set| Tokens::new(set, known)).transpose().map_err(in_view)?;
        let stand_ins = stand_ins(&tables, place.roles).map_err(in_view)?;
        let certificates = certificates(&tables, before).map_err(in_view)?;
        let told = tables.telemetry.as_ref();
        let said = [
            told.and_then(|told| Wanted::of(&told.client_metrics)),
            told.and_then(|told| Wanted::of(&told.server_metrics)),
        ];
        let workload = Workload::new(&tables.view.namespace, &tables.view.name, &tables.view.labels);
        let logs = |server: bool| {
            let sink = |(service, cluster): (&LogService, ClusterId)| Sink {
                service: service.clone(),
                upstream: upstreams[cluster.0 as usize].clone(),
                node: place.name.to_owned(),
                of: workload.service(),
            };
            Logs::open(tables.logs(server), tables.told(server).map(sink).collect(), &shared.writers).map_err(in_view)
        };
        let logs = [logs(false)?, logs(true)?];
        let world = World {
            snapshot,
            generation: 0,
            inbound: inbound(&tables, place, shared, before),
            to_application: ToApplication::new(),
            stand_ins,
            passthrough: before.map_or_else(|| Arc::new(passthrough(&shared.labels)), |it| it.passthrough.clone()),
            captured: place.roles.contains(&Role::InboundCaptured).then(|| {
                before
                    .and_then(|it| it.captured.clone())
                    .unwrap_or_else(|| Arc::new(inbound_passthrough(&shared.labels)))
            }),
            black_hole: shared
                .labels
                .services
                .number(ServiceName { name: BLACK_HOLE.into(), ..ServiceName::default() }),
            chosen: chosen(&tables),
            certificates,
            tokens,
            tracers: [false, true].map(|server| {
                let (tracing, cluster) = tables.tracing(server)?;
                let upstream = &upstreams[cluster.0 as usize];
                let mesh = &tables.mesh.trust_domain;
                Some(Arc::new(Tracer::new(tracing, upstream, &workload, place.name, mesh, server)))
            }),
            logs,
            said,
            introduction: Introduction::new(place.name, &workload),
            workload: shared.labels.workloads.number(workload),
            upstreams,
            tables,
        };
        Ok((world, fresh))
    }

    /// What metrics of the client's side, or of the server's, want to know of requests.
    pub(crate) fn said(&self, server: bool) -> Option<&Wanted> {
        self.said[usize::from(server)].as_ref()
    }

    /// Where what comes in at a bind is logged.
    pub(crate) fn logs(&self, role: Role) -> Option<&Arc<Logs>> {
        self.logs[usize::from(matches!(role, Role::Inbound { .. }))].as_ref()
    }

    /// A cluster.
    pub(crate) fn upstream(&self, cluster: ClusterId) -> &Arc<Upstream> {
        &self.upstreams[cluster.0 as usize]
    }

    /// The address of the endpoint, if the client chose it when it dialled: of services without an address of their own.
    pub(crate) fn toward(&self, cluster: ClusterId, dialled: Option<SocketAddr>) -> Option<SocketAddr> {
        dialled.filter(|dialled| {
            let upstream = self.upstream(cluster);
            upstream.cluster.endpoints.original(*dialled).is_some()
                || (self.chosen[cluster.0 as usize] && upstream.has(dialled.ip()))
        })
    }

    /// Which connections a port of the workload takes.
    pub(crate) fn mtls(&self, port: u16) -> &MtlsMode {
        self.tables.inbound_mode(port).0
    }

    /// A port of the gateway.
    pub(crate) fn listener(&self, port: u16) -> Option<&GatewayListener> {
        self.tables.listeners.iter().find(|listener| listener.port == port)
    }

    /// What a server of the gateway's port shows to its clients.
    pub(crate) fn certificate(&self, port: u16, server: &GatewayServer) -> Option<&Arc<ServerConfig>> {
        let at = self.tables.listeners.iter().position(|listener| listener.port == port)?;
        let servers = &self.tables.listeners[at].servers;
        let number = servers.iter().position(|one| std::ptr::eq(one, server))?;
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
    let view = &tables.view;
    let own = || taut_snapshot::endpoint::locality_of(&view.labels);
    let here =
        Arc::new(Whereabouts { locality: shared.locality.clone().unwrap_or_else(own), labels: view.labels.clone() });
    let mut securing = Securing::new(&shared.identity);
    let (mut all, mut fresh) = (Vec::with_capacity(tables.clusters().len()), Vec::new());
    for cluster in tables.clusters() {
        let before = known.get(&key(cluster)).map(|known| Arc::clone(known));
        if let Some(same) = before.as_ref().filter(|before| before.cluster == *cluster && *before.here == *here) {
            all.push(same.clone());
            continue;
        }
        let upstream = Upstream::new(cluster.clone(), &here, &mut securing, &shared.labels, before.as_deref())?;
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
        let protocol = declared.map_or(Protocol::Auto, |inbound| inbound.protocol.clone());
        let application = declared.map_or(application, |inbound| behind(inbound, application));
        let (host, namespace) = declared
            .map_or_else(Default::default, |inbound| (inbound.service.clone(), inbound.service_namespace.clone()));
        let cluster = application_cluster(host.clone(), port, namespace.clone(), protocol);
        let is_same = |known: &&Inbound| known.upstream.cluster == cluster && known.upstream.is_at(application);
        let same =
            before.and_then(|before| before.inbound.get(&port)).filter(is_same).map(|known| known.upstream.clone());
        let upstream = same.unwrap_or_else(|| {
            let service = shared.labels.services.number(ServiceName::new(&host, &namespace));
            let name = format!("inbound|{port}||");
            Arc::new(Upstream::application(name, cluster, service, application, place.workers))
        });
        Some((port, Inbound { upstream }))
    };
    let captures = place.roles.contains(&Role::InboundCaptured);
    let captured = tables.view.inbound.iter().filter(|_| captures).map(|inbound| Role::inbound(inbound.port));
    captured.collect::<Vec<_>>().iter().chain(place.roles).filter_map(ready).collect()
}

/// Where the application is behind a port: where a Sidecar says, or else where the bind does. All addresses at once mean
/// the workload's own.
fn behind(inbound: &taut_snapshot::object::Inbound, bound: SocketAddr) -> SocketAddr {
    let Ok(said) = inbound.endpoint.parse::<SocketAddr>() else { return bound };
    if said.ip().is_unspecified() { SocketAddr::new(bound.ip(), said.port()) } else { said }
}

/// The clusters of which clients choose the endpoint: those of headless services.
fn chosen(tables: &Tables) -> Vec<bool> {
    let hosts: BTreeSet<&Text> =
        tables.services.iter().filter(|entry| entry.service.original).map(|entry| &entry.service.host).collect();
    tables.clusters().iter().map(|cluster| hosts.contains(&cluster.host)).collect()
}

/// Where what nobody knows passes to.
fn passthrough(labels: &Labels) -> Upstream {
    let cluster = own_cluster(Text::default(), 0, Text::default(), Protocol::Auto, EndpointSource::Original);
    Upstream::passthrough(PASSTHROUGH, cluster, labels)
}

/// Where captured connections go to ports that no service leads to.
fn inbound_passthrough(labels: &Labels) -> Upstream {
    let cluster = own_cluster(Text::default(), 0, Text::default(), Protocol::Auto, EndpointSource::Original);
    Upstream::passthrough(INBOUND_PASSTHROUGH, cluster, labels)
}

/// The application behind a port, as a cluster.
fn application_cluster(host: Text, port: u16, namespace: Text, protocol: Protocol) -> Cluster {
    own_cluster(host, port, namespace, protocol, EndpointSource::Dns(Vec::new()))
}

/// A cluster that no resource declares: without limits, without TLS.
fn own_cluster(host: Text, port: u16, namespace: Text, protocol: Protocol, endpoints: EndpointSource) -> Cluster {
    Cluster {
        host,
        port,
        subset: Text::default(),
        namespace,
        protocol,
        endpoints,
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
        locality: None,
        own: None,
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

/// What the clients of outbound binds are taken to have dialled, where services have addresses. A bind names a port alone,
/// so that of those that carry bytes there may be one; server names tell services apart that have no address.
fn stand_ins(tables: &Tables, roles: &[Role]) -> Result<BTreeMap<u16, StandIn>, String> {
    let mut found = BTreeMap::new();
    for role in roles {
        let Role::Outbound { port } = *role else { continue };
        let (mut bytes, mut auto, mut http) = (Vec::new(), Vec::new(), false);
        for (service, protocol) in tables.services_on(port) {
            match protocol {
                Protocol::Tcp | Protocol::Tls => bytes.push((service, protocol)),
                Protocol::Auto => auto.push(service),
                Protocol::Http | Protocol::Http2 | Protocol::Grpc => http = true,
            }
        }
        let addressed = |service: &&Service| !service.addresses.is_empty() || !service.ranges.is_empty();
        let streams = bytes.iter().filter(|(_, protocol)| **protocol == Protocol::Tcp).count();
        if 1 < bytes.len() && (1 < streams || bytes.iter().any(|(service, _)| addressed(service))) {
            return Err(format!(
                "port {port} carries bytes to `{}` as well as to `{}`, and a bind for the port cannot tell them apart: bind \
                 their addresses instead (`--outbound ADDRESS:{port}=LISTEN`), or give one of them another port",
                bytes[0].0.host, bytes[1].0.host,
            ));
        }
        let only = match (bytes.as_slice(), auto.as_slice()) {
            ([], [only]) | ([(only, _)], _) => Some(*only),
            _ => None,
        };
        let addresses = only.iter().flat_map(|service| &service.addresses);
        let address = addresses.filter_map(|address| address.parse().ok()).next();
        let beside_http = http || !auto.is_empty() || bytes.is_empty();
        found.insert(port, StandIn { address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), beside_http });
    }
    Ok(found)
}

/// What each server of a gateway shows.
fn certificates(tables: &Tables, before: Option<&World>) -> Result<Vec<Vec<Option<Shown>>>, String> {
    let known: Vec<&Shown> = before.iter().flat_map(|before| before.certificates.iter().flatten().flatten()).collect();
    let shown = |server: &GatewayServer| -> Result<Option<Shown>, String> {
        if server.certificates.is_empty() {
            return Ok(None);
        }
        let ending = Ending {
            certificates: server.certificates.clone(),
            mode: server.tls.clone(),
            terms: server.terms.clone(),
            protocols: if server.carries_bytes() { &[] } else { HTTP },
        };
        let config = match known.iter().find(|it| it.ending == ending) {
            Some(shown) => shown.config.clone(),
            None => {
                gateway_config(&ending).map_err(|why| format!("the server for {}: {why}", server.names.join(", ")))?
            }
        };
        Ok(Some(Shown { ending, config }))
    };
    let of = |listener: &GatewayListener| listener.servers.iter().map(shown).collect();
    tables.listeners.iter().map(of).collect()
}

/// The address that a port of a gateway is listened on, if no bind says so.
pub(crate) fn gateway_address(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}
