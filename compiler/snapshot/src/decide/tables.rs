//! One view, ready to be asked: every object of it read, checked and indexed once, when it is staged.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::authorize::Policies;
use super::hosts::{HostIndex, host_without_port};
use super::pattern::BadPattern;
use super::route::{ClusterId, Forwarding, Router, ToDo};
use crate::format::codec::Link;
use crate::object::{
    Certificate, Cluster, ClusterRef, ClusterSet, HostTable, Mesh, Protocol, RouteTable, Service, View,
};
use crate::snapshot::{BadSnapshot, Objects, services_of};
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
    /// What it listens to as a gateway.
    pub listeners: Vec<GatewayListener>,
    clusters: Vec<Cluster>,
    routers: Vec<Router>,
    router_digests: Vec<Digest>,
    hosts: HostIndex,
}

/// One service with its ports.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// As in the snapshot.
    pub service: Service,
    ports: Vec<PortEntry>,
}

#[derive(Clone, Debug)]
struct PortEntry {
    number: u16,
    protocol: Protocol,
    router: Option<usize>,
    /// Without rules, everything goes here.
    otherwise: Option<(ClusterId, ToDo)>,
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
    /// With it, the server ends TLS.
    pub certificate: Option<Certificate>,
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
    router: Option<usize>,
}

struct Loader<'o> {
    objects: &'o Objects,
    clusters: Vec<Cluster>,
    sets: BTreeMap<Digest, ClusterSet>,
    cluster_ids: BTreeMap<(Digest, Text), ClusterId>,
    routers: Vec<Router>,
    router_digests: Vec<Digest>,
    router_ids: BTreeMap<Digest, usize>,
}

impl Tables {
    /// Reads a view and all that it leads to.
    ///
    /// # Errors
    /// If anything is missing or wrong: then the view cannot be run.
    pub fn load(objects: &Objects, link: Link<View>) -> Result<Tables, BadSnapshot> {
        let view = objects.read(link)?;
        let mesh = objects.read(view.mesh)?;
        let mut loader = Loader {
            objects,
            clusters: Vec::new(),
            sets: BTreeMap::new(),
            cluster_ids: BTreeMap::new(),
            routers: Vec::new(),
            router_digests: Vec::new(),
            router_ids: BTreeMap::new(),
        };
        let mut services = Vec::new();
        let mut seen: HashMap<Text, ()> = HashMap::new();
        for layer in &view.layers {
            for service in services_of(objects, *layer)? {
                if seen.insert(service.host.clone(), ()).is_none() {
                    services.push(loader.service(service)?);
                }
            }
        }
        let policies = match view.policies {
            Some(link) => {
                let set = objects.read(link)?;
                Policies::new(&set).map_err(|bad| meaning(link.digest, &bad))?
            }
            None => Policies::default(),
        };
        let listeners = view.listeners.iter().map(|link| loader.listener(*link)).collect::<Result<_, _>>()?;
        let hosts = index(&services, &view, &mesh);
        let Loader { clusters, routers, router_digests, .. } = loader;
        Ok(Tables { view, mesh, services, policies, listeners, clusters, routers, router_digests, hosts })
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

    /// Where a request of this workload's application is decided, by the port that it asked for and its Host
    /// (semantics.md §2.3: the address it dialled does not matter).
    #[must_use]
    pub fn outbound(&self, port: u16, authority: &str) -> Option<VirtualHost<'_>> {
        let host = host_without_port(authority);
        let number = self.hosts.find(host.strip_suffix('.').unwrap_or(host))?;
        self.virtual_host(number as usize, port)
    }

    fn virtual_host(&self, number: usize, port: u16) -> Option<VirtualHost<'_>> {
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
            None if self.servers.first().is_some_and(|server| server.certificate.is_some()) => {
                self.names.find("\u{0}")?
            }
            None => 0,
        };
        self.servers.get(number as usize)
    }
}

impl GatewayServer {
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
        self.clusters.push(set.cluster(subset).ok_or_else(missing)?);
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

    fn service(&mut self, service: Service) -> Result<ServiceEntry, BadSnapshot> {
        let mut ports = Vec::with_capacity(service.ports.len());
        for port in &service.ports {
            let cluster = port.clusters.map(|link| self.cluster(link, &Text::default())).transpose()?;
            ports.push(PortEntry {
                number: port.number,
                protocol: port.protocol.clone(),
                router: port.routes.map(|link| self.router(link)).transpose()?,
                otherwise: cluster.map(|cluster| (cluster, ToDo::Forward(Forwarding::to(cluster)))),
            });
        }
        Ok(ServiceEntry { service, ports })
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
                entries.push(GatewayHost { host: entry.host.clone(), https_only: entry.https_only, router });
            }
            let certificate = server.certificate.map(|link| self.objects.read(link)).transpose()?;
            servers.push(GatewayServer { number: server.number, certificate, entries, hosts });
        }
        Ok(GatewayListener { port: listener.port, servers, names })
    }
}

/// Every name that a service answers to, for this client (semantics.md §3.3).
fn index(services: &[ServiceEntry], view: &View, mesh: &Mesh) -> HostIndex {
    let mut hosts = HostIndex::default();
    // Full names first: of two services that claim one name, the one whose own it is has it.
    for (at, entry) in services.iter().enumerate() {
        hosts.insert(&entry.service.host, number(at));
    }
    for (at, entry) in services.iter().enumerate() {
        let service = &entry.service;
        for address in &service.addresses {
            hosts.insert(address, number(at));
        }
        let Some(short) = service.host.strip_suffix(mesh.domain_suffix.as_str()).filter(|_| service.kubernetes) else {
            continue;
        };
        let in_svc = short.trim_end_matches('.'); // name.ns.svc
        let in_namespace = in_svc.strip_suffix(".svc").unwrap_or(in_svc); // name.ns
        let mut names = vec![in_svc, in_namespace];
        if let Some(name) =
            in_namespace.strip_suffix(service.namespace.as_str()).filter(|_| service.namespace == view.namespace)
        {
            names.push(name.trim_end_matches('.'));
        }
        for name in names {
            hosts.insert(name, number(at));
            if service.headless {
                hosts.insert(&format!("*.{name}"), number(at));
            }
        }
        if service.headless {
            hosts.insert(&format!("*.{}", service.host), number(at));
        }
    }
    hosts
}
