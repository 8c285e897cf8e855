//! One view, ready to be asked: every object of it read, checked and indexed once, when it is staged.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::authorize::Policies;
use super::hosts::{HostIndex, host_without_port};
use super::listen::{Chains, Listeners, any_name};
use super::pattern::BadPattern;
use super::route::{ClusterId, Forwarding, Router, ToDo};
use crate::format::codec::Link;
use crate::object::{
    Authorizer, Certificate, Cluster, ClusterRef, ClusterSet, ClusterTls, ConnectionTable, EgressPort, HostTable,
    Layer, LogFile, LogService, Mesh, OutsideTls, Protocol, Retry, RouteTable, ServerTls, Service, Target, Telemetry,
    TlsTerms, TokenSet, Tracing, View,
};
use crate::snapshot::{BadSnapshot, Objects, base_of, services_of};
use crate::{Digest, Text};

/// Everything that one workload decides by.
#[derive(Debug)]
pub struct Tables {
    /// The view itself.
    pub view: View,
    /// What holds for the whole mesh.
    pub mesh: Mesh,
    /// The services that the workload may call.
    pub services: Vec<ServiceEntry>,
    /// Who may ask it for what.
    pub policies: Policies,
    /// Those whom policies may ask.
    authorizers: Vec<(Authorizer, ClusterId)>,
    /// Which tokens it takes; it looks at none if missing.
    pub tokens: Option<TokenSet>,
    /// What is told of its requests.
    pub telemetry: Option<Telemetry>,
    /// Where spans go, of the client's side and of the server's.
    exporters: [Option<ClusterId>; 2],
    /// The clusters of the services that are told of requests, by side.
    told: [Vec<ClusterId>; 2],
    /// What it listens to as a gateway.
    pub listeners: Vec<GatewayListener>,
    clusters: Vec<Cluster>,
    cluster_digests: Vec<Digest>,
    routers: Vec<Router>,
    router_digests: Vec<Digest>,
    /// What the workload knows: ports that are set apart first, all others last.
    scopes: Vec<Scope>,
    pub(super) chains: Vec<Chains>,
    pub(super) listen: Listeners,
    /// The clusters that traffic for unknown hosts goes through, if it goes through any.
    through: Option<ClusterId>,
}

/// The services that a workload knows, on one port or on all that are left.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) egress: Option<EgressPort>,
    /// Numbers in the list of services.
    pub(super) services: Range<usize>,
    hosts: HashMap<u16, HostIndex>,
}

/// One service with its ports.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// As in the snapshot.
    pub service: Service,
    /// The object that it was read from.
    pub digest: Digest,
    pub(super) ports: Vec<PortEntry>,
}

#[derive(Clone, Debug)]
pub(super) struct PortEntry {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
    router: Option<usize>,
    pub(super) chains: Option<usize>,
    /// Without rules, everything goes here.
    pub(super) otherwise: Option<(ClusterId, ToDo)>,
}

/// Where requests for one host and port are decided.
#[derive(Clone, Copy, Debug)]
pub struct VirtualHost<'t> {
    /// The service.
    pub service: &'t Service,
    /// The port.
    pub port: u16,
    /// What the port speaks.
    pub protocol: &'t Protocol,
    /// The rules, and the digest of their table; without, everything is done as `otherwise` says.
    pub router: Option<(&'t Router, Digest)>,
    /// What is done without rules; nothing if the host has no endpoints of its own.
    pub otherwise: Option<&'t ToDo>,
    /// The cluster of the whole port.
    pub cluster: Option<ClusterId>,
}

/// One port of a gateway.
#[derive(Debug)]
pub struct GatewayListener {
    /// The port to listen on.
    pub port: u16,
    /// The servers.
    pub servers: Vec<GatewayServer>,
    names: HostIndex,
}

/// One server of a gateway's port.
#[derive(Debug)]
pub struct GatewayServer {
    /// The port number in the Gateway.
    pub number: u16,
    /// With one, the server ends TLS: each client is shown the first that it can read.
    pub certificates: Vec<Certificate>,
    /// On which terms, where they are not the usual ones.
    pub terms: Option<TlsTerms>,
    /// What it does with TLS, where that is more than its certificate says.
    pub tls: Option<ServerTls>,
    /// The server names it is for.
    pub names: Vec<Text>,
    /// The rules for its connections, if their bytes are not looked at.
    pub(super) chains: Option<usize>,
    /// The hosts.
    pub entries: Vec<GatewayHost>,
    hosts: HostIndex,
}

/// One host of a gateway's server.
#[derive(Debug)]
pub struct GatewayHost {
    /// The name or wildcard.
    pub host: Text,
    /// Whether plain HTTP is redirected to HTTPS.
    pub https_only: bool,
    /// The host under which it is named; its own if empty.
    pub shared: Text,
    /// The port number in the Gateway under which it is named; the server's if 0.
    pub number: u16,
    router: Option<usize>,
}

struct Loader<'o> {
    objects: &'o Objects,
    retry: Option<Retry>,
    clusters: Vec<Cluster>,
    cluster_digests: Vec<Digest>,
    chains: Vec<Chains>,
    chain_ids: BTreeMap<Digest, usize>,
    sets: BTreeMap<Digest, ClusterSet>,
    cluster_ids: BTreeMap<(Digest, Text), ClusterId>,
    routers: Vec<Router>,
    router_digests: Vec<Digest>,
    router_ids: BTreeMap<Digest, usize>,
}

impl Tables {
    /// Reads a view of a snapshot, and all that it leads to.
    ///
    /// # Errors
    /// If anything is missing or wrong: then the view cannot be run.
    pub fn load(objects: &Objects, snapshot: Digest, link: Link<View>) -> Result<Tables, BadSnapshot> {
        let base = base_of(objects, snapshot, link)?;
        let view = objects.read(link)?;
        let own: Vec<Link<Layer>> = view.layers.iter().copied().chain(base).collect();
        let mesh = objects.read(view.mesh)?;
        let mut loader = Loader {
            objects,
            retry: mesh.retry.clone(),
            clusters: Vec::new(),
            cluster_digests: Vec::new(),
            chains: Vec::new(),
            chain_ids: BTreeMap::new(),
            sets: BTreeMap::new(),
            cluster_ids: BTreeMap::new(),
            routers: Vec::new(),
            router_digests: Vec::new(),
            router_ids: BTreeMap::new(),
        };
        let mut services = Vec::new();
        let mut scopes = Vec::with_capacity(view.egress_ports.len() + 1);
        let apart = view.egress_ports.iter().map(|port| (Some(port), &port.layers));
        for (egress, layers) in apart.chain([(None, &own)]) {
            let from = services.len();
            loader.services(layers, &mut services)?;
            let hosts = index(&services[from..], from, &view, &mesh);
            scopes.push(Scope { egress: egress.cloned(), services: from..services.len(), hosts });
        }
        let egress = view.egress.as_ref();
        let through = egress.and_then(|egress| Some((egress.through?, &egress.subset)));
        let through = through.map(|(link, subset)| loader.cluster(link, subset)).transpose()?;
        let mut authorizers = Vec::new();
        let policies = match view.policies {
            Some(link) => {
                let set = objects.read(link)?;
                for it in &set.authorizers {
                    let cluster = loader.cluster(it.clusters, &Text::default())?;
                    authorizers.push((it.clone(), cluster));
                }
                Policies::new(&set).map_err(|bad| meaning(link.digest, &bad))?
            }
            None => Policies::default(),
        };
        let tokens = view.tokens.map(|link| objects.read(link)).transpose()?;
        let telemetry = view.telemetry.map(|link| objects.read(link)).transpose()?;
        let mut exporter = |tracing: Option<&Tracing>| {
            tracing.map(|it| loader.cluster(it.exporter.clusters, &Text::default())).transpose()
        };
        let exporters = match &telemetry {
            Some(it) => [exporter(it.client.as_ref())?, exporter(it.server.as_ref())?],
            None => [None, None],
        };
        let mut told = |services: &[LogService]| {
            services
                .iter()
                .map(|it| loader.cluster(it.clusters, &Text::default()))
                .collect::<Result<Vec<ClusterId>, _>>()
        };
        let told = match &telemetry {
            Some(it) => [told(&it.client_told)?, told(&it.server_told)?],
            None => Default::default(),
        };
        let listeners = view.listeners.iter().map(|link| loader.listener(*link)).collect::<Result<_, _>>()?;
        let Loader { clusters, cluster_digests, chains, routers, router_digests, .. } = loader;
        let listen = Listeners::new(&services, &scopes, &chains);
        Ok(Tables {
            view,
            mesh,
            services,
            policies,
            authorizers,
            tokens,
            telemetry,
            exporters,
            told,
            listeners,
            clusters,
            cluster_digests,
            routers,
            router_digests,
            scopes,
            chains,
            listen,
            through,
        })
    }

    /// The cluster of a number.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> &Cluster {
        &self.clusters[id.0 as usize]
    }

    /// All clusters, in the order of their numbers.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// The object that a cluster was read from.
    #[must_use]
    pub fn cluster_digest(&self, id: ClusterId) -> Digest {
        self.cluster_digests[id.0 as usize]
    }

    /// Whoever is asked under this name, and where that is.
    #[must_use]
    pub fn authorizer(&self, name: &str) -> Option<(&Authorizer, ClusterId)> {
        self.authorizers.iter().find(|(it, _)| it.name == name).map(|(it, cluster)| (it, *cluster))
    }

    /// How requests are traced on the client's side, or the server's, and where spans go.
    #[must_use]
    pub fn tracing(&self, server: bool) -> Option<(&Tracing, ClusterId)> {
        let telemetry = self.telemetry.as_ref()?;
        let tracing = if server { &telemetry.server } else { &telemetry.client };
        Some((tracing.as_ref()?, self.exporters[usize::from(server)]?))
    }

    /// Where the requests of the client's side are logged, or of the server's.
    #[must_use]
    pub fn logs(&self, server: bool) -> &[LogFile] {
        match &self.telemetry {
            Some(it) if server => &it.server_logs,
            Some(it) => &it.client_logs,
            None => &[],
        }
    }

    /// Who is told of the requests of the client's side, or of the server's, and where that is.
    pub fn told(&self, server: bool) -> impl Iterator<Item = (&LogService, ClusterId)> {
        let services = self.telemetry.iter().flat_map(move |it| if server { &it.server_told } else { &it.client_told });
        services.zip(self.told[usize::from(server)].iter().copied())
    }

    /// The cluster that traffic for unknown hosts goes through, if it passes and goes through one.
    #[must_use]
    pub fn through(&self) -> Option<ClusterId> {
        self.through
    }

    /// Whether traffic for unknown hosts is refused.
    #[must_use]
    pub fn registry_only(&self) -> bool {
        self.view.egress.as_ref().map_or(self.mesh.registry_only, |egress| egress.registry_only)
    }

    /// Where a request of this workload's application is decided, by the port that it asked for and its Host
    /// (semantics.md §2.3: the address it dialled does not matter).
    #[must_use]
    pub fn outbound(&self, port: u16, authority: &str) -> Option<VirtualHost<'_>> {
        self.in_scope(self.scope_of(port), port, authority)
    }

    /// The same, within one scope.
    pub(super) fn in_scope(&self, scope: usize, port: u16, authority: &str) -> Option<VirtualHost<'_>> {
        let scope = &self.scopes[scope];
        let host = host_without_port(authority);
        let port = match &scope.egress {
            // A proxy's clients name the port themselves.
            Some(egress) if egress.any_port => authority[host.len()..].trim_start_matches(':').parse().unwrap_or(80),
            _ => port,
        };
        let number = scope.hosts.get(&port)?.find(host.strip_suffix('.').unwrap_or(host))?;
        self.virtual_host(number as usize, port)
    }

    pub(super) fn virtual_host(&self, number: usize, port: u16) -> Option<VirtualHost<'_>> {
        let entry = &self.services[number];
        let port = entry.ports.iter().find(|known| known.number == port)?;
        Some(VirtualHost {
            service: &entry.service,
            port: port.number,
            protocol: &port.protocol,
            router: port.router.map(|router| (&self.routers[router], self.router_digests[router])),
            otherwise: port.otherwise.as_ref().map(|(_, todo)| todo),
            cluster: port.otherwise.as_ref().map(|(cluster, _)| *cluster),
        })
    }

    /// The services that the workload knows on a port, with what they speak there.
    pub fn services_on(&self, port: u16) -> impl Iterator<Item = (&Service, &Protocol)> {
        let entries = &self.services[self.scopes[self.scope_of(port)].services.clone()];
        entries.iter().filter(|entry| !entry.service.alias).flat_map(move |entry| {
            let of_port = entry.ports.iter().filter(move |known| known.number == port);
            of_port.map(|known| (&entry.service, &known.protocol))
        })
    }

    /// The scope of a port.
    fn scope_of(&self, port: u16) -> usize {
        let apart =
            self.scopes.iter().position(|scope| scope.egress.as_ref().is_some_and(|egress| egress.port == port));
        apart.unwrap_or(self.scopes.len() - 1)
    }

    /// Whether any service has this port, so that requests to it are looked at.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        self.services.iter().any(|entry| entry.ports.iter().any(|known| known.number == port))
    }

    /// The rules of a gateway's host, and the digest of their table.
    #[must_use]
    pub fn gateway_router(&self, host: &GatewayHost) -> Option<(&Router, Digest)> {
        host.router.map(|router| (&self.routers[router], self.router_digests[router]))
    }
}

impl VirtualHost<'_> {
    /// Istio's name for it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.service.host, self.port)
    }
}

impl GatewayListener {
    /// The server for a connection, by its server name; without TLS there is one server.
    #[must_use]
    pub fn server(&self, name: Option<&str>) -> Option<&GatewayServer> {
        let number = match name {
            Some(name) => self.names.find(name)?,
            // A client that names no server gets the one for every name, if there is one.
            None if self.servers.first().is_some_and(|server| !server.certificates.is_empty()) => {
                self.names.find("\u{0}")?
            }
            None => 0,
        };
        self.servers.get(number as usize)
    }

    /// The server that speaks plain HTTP or bytes, or ends TLS for any name.
    pub(super) fn plain(&self) -> Option<&GatewayServer> {
        self.servers.iter().find(|server| !server.passes_tls() && (!server.ends_tls() || any_name(&server.names)))
    }
}

impl GatewayServer {
    /// Whether TLS ends here.
    #[must_use]
    pub fn ends_tls(&self) -> bool {
        !self.passes_tls() && (!self.certificates.is_empty() || self.tls.is_some())
    }

    /// Whether TLS is passed on.
    #[must_use]
    pub fn passes_tls(&self) -> bool {
        matches!(self.tls, Some(ServerTls::Passthrough | ServerTls::AutoPassthrough))
    }

    /// Whether its bytes are not looked at.
    #[must_use]
    pub fn carries_bytes(&self) -> bool {
        self.chains.is_some()
    }

    /// Istio's name of a host's table.
    #[must_use]
    pub fn name_of(&self, host: &GatewayHost) -> String {
        let name = if host.shared.is_empty() { &host.host } else { &host.shared };
        format!("{name}:{}", if host.number == 0 { self.number } else { host.number })
    }

    /// The host that a request is for.
    #[must_use]
    pub fn host(&self, authority: &str) -> Option<&GatewayHost> {
        let host = host_without_port(authority);
        let number = self.hosts.find(host.strip_suffix('.').unwrap_or(host))?;
        self.entries.get(number as usize)
    }
}

fn meaning(digest: Digest, bad: &BadPattern) -> BadSnapshot {
    BadSnapshot::Meaning(digest, bad.to_string())
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a view has fewer than 2^32 parts")
}

impl Loader<'_> {
    fn cluster(&mut self, link: Link<ClusterSet>, subset: &Text) -> Result<ClusterId, BadSnapshot> {
        let key = (link.digest, subset.clone());
        if let Some(id) = self.cluster_ids.get(&key) {
            return Ok(*id);
        }
        let set = match self.sets.entry(link.digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.objects.read(link)?),
        };
        let missing = || BadSnapshot::Meaning(link.digest, format!("it has no subset `{subset}`"));
        let id = ClusterId(number(self.clusters.len()));
        let mut cluster = set.cluster(subset).ok_or_else(missing)?;
        if let ClusterTls::Outside(OutsideTls { own: Some(own), .. }) = &cluster.tls {
            cluster.own = Some(self.objects.read(*own)?);
        }
        self.clusters.push(cluster);
        self.cluster_digests.push(link.digest);
        self.cluster_ids.insert(key, id);
        Ok(id)
    }

    fn router(&mut self, link: Link<RouteTable>) -> Result<usize, BadSnapshot> {
        if let Some(router) = self.router_ids.get(&link.digest) {
            return Ok(*router);
        }
        let table = self.objects.read(link)?;
        let mut failed = None;
        let mut resolve = |to: &ClusterRef| {
            let set = table.clusters.get(to.set as usize).copied();
            let set = set.ok_or_else(|| BadSnapshot::Meaning(link.digest, format!("it has no clusters {}", to.set)));
            set.and_then(|set| self.cluster(set, &to.subset)).unwrap_or_else(|bad| {
                failed.get_or_insert(bad);
                ClusterId(0)
            })
        };
        let router = Router::new(&table, &mut resolve).map_err(|bad| meaning(link.digest, &bad))?;
        if let Some(bad) = failed {
            return Err(bad);
        }
        self.routers.push(router);
        self.router_digests.push(link.digest);
        self.router_ids.insert(link.digest, self.routers.len() - 1);
        Ok(self.routers.len() - 1)
    }

    fn services(&mut self, layers: &[Link<Layer>], into: &mut Vec<ServiceEntry>) -> Result<(), BadSnapshot> {
        let mut seen: HashSet<Text> = HashSet::new();
        for layer in layers {
            for (digest, service) in services_of(self.objects, *layer)? {
                if seen.insert(service.host.clone()) {
                    into.push(self.service(digest, service)?);
                }
            }
        }
        Ok(())
    }

    fn connections(&mut self, link: Link<ConnectionTable>) -> Result<usize, BadSnapshot> {
        if let Some(chains) = self.chain_ids.get(&link.digest) {
            return Ok(*chains);
        }
        let table = self.objects.read(link)?;
        let mut targets = Vec::with_capacity(table.rules.len());
        for rule in &table.rules {
            let mut of_rule = Vec::with_capacity(rule.destinations.len());
            for to in &rule.destinations {
                let target = match &to.target {
                    Target::Missing(name) => Err(name.clone()),
                    Target::Cluster(to) => {
                        let set = table.clusters.get(to.set as usize).copied();
                        let missing = || BadSnapshot::Meaning(link.digest, format!("it has no clusters {}", to.set));
                        Ok(self.cluster(set.ok_or_else(missing)?, &to.subset)?)
                    }
                };
                of_rule.push((target, to.weight));
            }
            targets.push(of_rule);
        }
        self.chains.push(Chains::new(link.digest, &table, targets).map_err(|bad| meaning(link.digest, &bad))?);
        self.chain_ids.insert(link.digest, self.chains.len() - 1);
        Ok(self.chains.len() - 1)
    }

    fn service(&mut self, digest: Digest, service: Service) -> Result<ServiceEntry, BadSnapshot> {
        let mut ports = Vec::with_capacity(service.ports.len());
        for port in &service.ports {
            let cluster = port.clusters.map(|link| self.cluster(link, &Text::default())).transpose()?;
            ports.push(PortEntry {
                number: port.number,
                protocol: port.protocol.clone(),
                router: port.routes.map(|link| self.router(link)).transpose()?,
                chains: port.connections.map(|link| self.connections(link)).transpose()?,
                otherwise: cluster
                    .map(|cluster| (cluster, ToDo::Forward(Forwarding::to(cluster, self.retry.as_ref())))),
            });
        }
        Ok(ServiceEntry { service, digest, ports })
    }

    fn listener(&mut self, link: Link<crate::object::Listener>) -> Result<GatewayListener, BadSnapshot> {
        let listener = self.objects.read(link)?;
        let mut names = HostIndex::default();
        let mut servers = Vec::with_capacity(listener.servers.len());
        for (at, server) in listener.servers.iter().enumerate() {
            for name in &server.names {
                names.insert(name, number(at));
            }
            let table: HostTable = self.objects.read(server.hosts)?;
            let mut hosts = HostIndex::default();
            let mut entries = Vec::with_capacity(table.hosts.len());
            for (at, entry) in table.hosts.iter().enumerate() {
                hosts.insert(&entry.host, number(at));
                let router = entry.routes.map(|link| self.router(link)).transpose()?;
                let (host, shared) = (entry.host.clone(), entry.shared.clone());
                entries.push(GatewayHost { host, https_only: entry.https_only, shared, number: entry.number, router });
            }
            let further = server.terms.iter().flat_map(|terms| &terms.certificates);
            let certificates = server.certificate.iter().chain(further).map(|link| self.objects.read(*link));
            servers.push(GatewayServer {
                number: server.number,
                certificates: certificates.collect::<Result<_, _>>()?,
                terms: server.terms.clone(),
                tls: server.tls.clone(),
                names: server.names.clone(),
                chains: server.connections.map(|link| self.connections(link)).transpose()?,
                entries,
                hosts,
            });
        }
        Ok(GatewayListener { port: listener.port, servers, names })
    }
}

/// Every name that a service answers to, for this client, port by port (semantics.md §3.3). `from` is the number of the
/// first service.
fn index(services: &[ServiceEntry], from: usize, view: &View, mesh: &Mesh) -> HashMap<u16, HostIndex> {
    let mut hosts: HashMap<u16, HostIndex> = HashMap::new();
    let mut insert = |entry: &ServiceEntry, at: usize, name: &str| {
        for port in &entry.ports {
            hosts.entry(port.number).or_default().insert(name, number(from + at));
        }
    };
    // Full names first: of two services that claim one name, the one whose own it is has it.
    for (at, entry) in services.iter().enumerate() {
        insert(entry, at, &entry.service.host);
    }
    for (at, entry) in services.iter().enumerate() {
        let service = &entry.service;
        for address in &service.addresses {
            insert(entry, at, address);
        }
        let own = service.kubernetes.then_some(&service.host);
        for host in own.into_iter().chain(&service.aliases) {
            if *host != service.host {
                insert(entry, at, host);
            }
            let Some(short) = host.strip_suffix(mesh.domain_suffix.as_str()) else { continue };
            let in_svc = short.trim_end_matches('.'); // name.ns.svc
            let Some(in_namespace) = in_svc.strip_suffix(".svc") else { continue }; // name.ns
            let mut names = vec![in_svc, in_namespace];
            if let Some((name, namespace)) = in_namespace.rsplit_once('.')
                && namespace == view.namespace
            {
                names.push(name);
            }
            for name in names {
                insert(entry, at, name);
                if service.headless {
                    insert(entry, at, &format!("*.{name}"));
                }
            }
        }
        if service.headless {
            insert(entry, at, &format!("*.{}", service.host));
        }
    }
    hosts
}
