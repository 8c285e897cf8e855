//! Services as clients see them, cut into layers that clients share.
//!
//! Most services mean the same to every client: they are one layer for the whole mesh. What differs for a namespace is
//! a layer of its own above it, and what differs by the client's labels a layer of the workload's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use taut_model::{
    Client, EndpointKind, Host, Imports, LabelSet, Protocol, Routing, ServiceId, candidates_among, covers, expand,
    governing, is_wildcard, rules_for,
};
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{self, Layer, ServicePort};
use taut_snapshot::{Digest, Text};

use super::authz::ip_block;
use super::cluster::protocol;
use super::{LayerName, Lowering};
use crate::origins::Source;
use taut_source::threads;

/// The most names that lead from one to the other.
const ALIASES_MAX: usize = 8;

/// The port that a virtual service for an unknown host has (semantics.md §3.3).
const PLAIN_HTTP: u16 = 80;

impl<'r> Lowering<'_, 'r> {
    /// Finds out what all views have in common.
    pub(super) fn prepare(&mut self) {
        self.base();
        self.special();
        self.looked_at();
    }

    /// The layers that a client has before the one of everybody, the one that counts first, first.
    pub(super) fn layers(&mut self, namespace: &Text, labels: &LabelSet) -> Vec<Link<Layer>> {
        let base = self.base();
        let own = self.layer_of_namespace(namespace, &base.1);
        let by_labels = self.layer_of_labels(namespace, labels);
        by_labels.into_iter().chain(own).collect()
    }

    /// The layer of an egress listener of a Sidecar. `place` says which listener of which one.
    pub(super) fn imported(
        &mut self,
        imports: Imports,
        place: (Text, usize),
        namespace: &Text,
        labels: &LabelSet,
    ) -> Link<Layer> {
        let seen = if self.looked_at().is_empty() { LabelSet::new() } else { labels.clone() };
        if let Some(known) = &self.known_layers {
            let name = LayerName { sidecar: place.0, listener: place.1, namespace: namespace.clone() };
            let link = known.get(&name).copied();
            self.asked_layers.push(link.is_some().then_some(name));
            return link.unwrap_or_else(|| Link::to(Digest::of(&[])));
        }
        let key = (place.0, place.1, namespace.clone(), seen);
        if let Some(layer) = self.imported.get(&key) {
            return *layer;
        }
        self.imports = Some(imports);
        let client = Client { namespace, labels, gateway: "mesh" };
        let hosts = self.hosts();
        let entries = self.entries(&*hosts, &client);
        self.imports = None;
        let layer = self.layer(entries);
        self.imported.insert(key, layer);
        layer
    }

    /// Whether the workload that is being lowered knows of a virtual service.
    pub(super) fn knows_rules(&self, routing: &Routing<'_>) -> bool {
        self.imports.as_ref().is_none_or(|imports| imports.admits_rules(routing))
    }

    /// The service of exactly this host that the workload knows.
    fn known(&self, host: &Host, namespace: &str) -> Option<ServiceId> {
        let Some(imports) = &self.imports else { return self.mesh.service_named(host, namespace) };
        let ids = self.mesh.services_of(host);
        let known = |id: &&ServiceId| {
            let service = self.mesh.service(**id);
            service.visibility.admits(namespace) && imports.admits(service)
        };
        let own = ids.iter().filter(known).find(|id| self.mesh.service(**id).namespace == namespace);
        own.or_else(|| ids.iter().find(known)).copied()
    }

    /// The host that a name of another one stands for (§19), if it is known.
    pub(super) fn stands_for(&self, host: &Host, namespace: &str) -> Option<Host> {
        let mut host = host.clone();
        let mut found = None;
        // Names of names of names: a circle ends somewhere.
        for _ in 0..ALIASES_MAX {
            let id = self.mesh.service_named(&host, namespace)?;
            let EndpointKind::Alias(to) = self.mesh.service(id).endpoints else { break };
            host = to.to_ascii_lowercase().into();
            found = Some(host.clone());
        }
        found.filter(|host| self.mesh.service_named(host, namespace).is_some())
    }

    pub(super) fn aliases(&mut self) -> Arc<BTreeMap<Host, Vec<Host>>> {
        let aliases = self.aliases.get_or_insert_with(|| {
            let mut aliases: BTreeMap<Host, Vec<Host>> = BTreeMap::new();
            for service in &self.mesh.services {
                if let EndpointKind::Alias(to) = service.endpoints {
                    aliases.entry(to.to_ascii_lowercase().into()).or_default().push(service.host.clone());
                }
            }
            Arc::new(aliases)
        });
        aliases.clone()
    }

    /// Other names of a host.
    fn aliases_of(&mut self, host: &Host) -> Vec<Host> {
        let aliases = self.aliases();
        let mut all = Vec::new();
        let mut waiting = vec![host];
        while let Some(of) = waiting.pop() {
            for alias in aliases.get(of).into_iter().flatten() {
                if alias != host && !all.contains(alias) {
                    all.push(alias.clone());
                    waiting.push(alias);
                }
            }
        }
        all.sort();
        all
    }

    /// The ports on which a virtual service counts for its hosts that are no services there: 80, and the ports of the
    /// services that it names beside them (§3.3).
    fn ports_of(&self, routing: &Routing<'_>, namespace: &str) -> BTreeSet<u16> {
        let mut ports = BTreeSet::from([PLAIN_HTTP]);
        if routing.hosts.len() < 2 {
            return ports;
        }
        let ids = routing.hosts.iter().filter_map(|host| self.known(host, namespace));
        for service in ids.map(|id| self.mesh.service(id)) {
            let http = service.ports.iter().filter(|port| port.protocol.is_http() || port.protocol == Protocol::Auto);
            ports.extend(http.map(|port| port.number));
        }
        ports
    }

    /// Whether every host means the same to every client.
    pub(super) fn is_the_same_for_everybody(&mut self) -> bool {
        self.special().is_empty() && self.looked_at().is_empty()
    }

    /// What every client sees alike: the meaning of each host to a client of which nothing is known.
    fn base(&mut self) -> Arc<(Link<Layer>, BTreeMap<Text, Digest>)> {
        if let Some(base) = &self.base {
            return base.clone();
        }
        let nobody = LabelSet::new();
        let client = Client { namespace: "", labels: &nobody, gateway: "mesh" };
        self.aliases();
        let hosts = self.hosts();
        let is_used = self.shares.is_none() || self.uses_base();
        let this = &*self;
        let made = threads::fold(
            &hosts.chunks(64).collect::<Vec<_>>(),
            || (this.fork(), Vec::new()),
            |(lowering, entries), hosts| {
                entries.extend(hosts.iter().filter_map(|host| {
                    Some((host.clone(), lowering.unit(is_used, |unit| unit.service(host, &client))?))
                }));
            },
        );
        let mut entries = BTreeMap::new();
        for (lowering, of_some) in made {
            self.join_later(lowering);
            entries.extend(of_some);
        }
        let layer = self.layer(entries.clone());
        let base = Arc::new((layer, entries));
        self.base = Some(base.clone());
        base
    }

    pub(super) fn layer(&mut self, entries: BTreeMap<Text, Digest>) -> Link<Layer> {
        let services = self.objects.insert_map(entries);
        self.objects.insert(&Layer { services })
    }

    fn entries<'h>(
        &mut self,
        hosts: impl IntoIterator<Item = &'h Host>,
        client: &Client<'_>,
    ) -> BTreeMap<Text, Digest> {
        let entry = |host: &Host| Some((host.clone(), self.service(host, client)?));
        hosts.into_iter().filter_map(entry).collect()
    }

    /// Every host that is a service, or that a virtual service of sidecars names.
    pub(super) fn hosts(&mut self) -> Arc<[Host]> {
        if let Some(hosts) = &self.hosts {
            return hosts.clone();
        }
        let services = self.mesh.services.iter().map(|service| service.host.clone());
        let routed = self.mesh.routings.iter().filter(|routing| routing.is_used_by("mesh"));
        let mut hosts: Vec<Host> = services.chain(routed.flat_map(|routing| routing.hosts.iter().cloned())).collect();
        hosts.sort_unstable();
        hosts.dedup();
        self.hosts.insert(hosts.into()).clone()
    }

    fn layer_of_namespace(&mut self, namespace: &Text, base: &BTreeMap<Text, Digest>) -> Option<Link<Layer>> {
        if let Some(layer) = self.layers.get(namespace) {
            return *layer;
        }
        let special = self.special();
        let hosts = special.get(namespace).into_iter().flatten();
        let nobody = LabelSet::new();
        let client = Client { namespace, labels: &nobody, gateway: "mesh" };
        let mut entries = self.entries(hosts, &client);
        entries.retain(|host, digest| base.get(host) != Some(digest));
        let layer = if entries.is_empty() { None } else { Some(self.layer(entries)) };
        self.layers.insert(namespace.clone(), layer);
        layer
    }

    /// Hosts whose rules look at the client's labels.
    fn layer_of_labels(&mut self, namespace: &Text, labels: &LabelSet) -> Option<Link<Layer>> {
        let looking = self.looked_at();
        if looking.is_empty() {
            return None;
        }
        let governed = |host: &Host| looking.iter().any(|looked| covers(looked, host));
        let hosts = self.hosts();
        let entries =
            self.entries(hosts.iter().filter(|host| governed(host)), &Client { namespace, labels, gateway: "mesh" });
        if entries.is_empty() { None } else { Some(self.layer(entries)) }
    }

    /// The hosts of virtual services of sidecars that look at labels of the client.
    fn looked_at(&mut self) -> Arc<Vec<Host>> {
        if let Some(hosts) = &self.looked_at {
            return hosts.clone();
        }
        let routings = self.mesh.routings.iter().filter(|it| it.is_used_by("mesh") && it.looks_at_labels());
        let hosts: Arc<Vec<Host>> = Arc::new(routings.flat_map(|routing| routing.hosts.iter().cloned()).collect());
        self.looked_at = Some(hosts.clone());
        hosts
    }

    /// For each namespace, the hosts that something there, or something exported to it, gives another meaning.
    fn special(&mut self) -> Arc<BTreeMap<Text, BTreeSet<Text>>> {
        let hosts = self.hosts();
        let special = self.special.take().unwrap_or_else(|| Arc::new(self.find_special(&hosts)));
        self.special.insert(special).clone()
    }

    fn find_special(&self, hosts: &[Host]) -> BTreeMap<Text, BTreeSet<Text>> {
        let mut special: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
        // Namespaces in which a host itself differs: its visibility, its rules of traffic, its rivals.
        let differs = threads::each_of_many(hosts, |host| self.differs(host));
        let of_host: HashMap<&Host, BTreeSet<Text>> =
            hosts.iter().zip(differs).filter(|(_, namespaces)| !namespaces.is_empty()).collect();
        let special_in = threads::each_of_many(hosts, |host| {
            let mut namespaces = of_host.get(host).cloned().unwrap_or_default();
            let wild =
                self.mesh.wildcard_routings().iter().filter(|(wide, _)| covers(wide, host)).map(|(_, number)| number);
            for routing in self.mesh.routings_of(host).iter().chain(wild).map(|number| &self.mesh.routings[*number]) {
                namespaces.extend(routing.visibility.named().cloned());
                namespaces.extend(routing.source_namespaces().cloned());
                let led_to = routing.http.iter().flat_map(|of| of.rule.route.iter().map(move |to| (of, to)));
                for (of, to) in led_to.filter(|_| !of_host.is_empty()) {
                    let target = expand(&to.destination.host, of.of.namespace(), &self.mesh.settings);
                    namespaces.extend(of_host.get(&target).into_iter().flatten().cloned());
                }
            }
            namespaces
        });
        for (host, namespaces) in hosts.iter().zip(special_in) {
            for namespace in namespaces {
                special.entry(namespace).or_default().insert(host.clone());
            }
        }
        special
    }

    /// The namespaces in which another service is meant by a host, or other rules of traffic govern it, than where nothing
    /// is known of the client.
    fn differs(&self, host: &Host) -> BTreeSet<Text> {
        let ids = self.mesh.services_of(host);
        let mut namespaces = BTreeSet::new();
        for service in ids.iter().map(|id| self.mesh.service(*id)) {
            namespaces.extend(service.visibility.named().cloned());
            if 1 < ids.len() {
                namespaces.insert(service.namespace.clone());
            }
        }
        let wild = self.mesh.wildcard_traffic().iter().filter(|(wide, _)| covers(wide, host)).map(|(_, number)| number);
        for traffic in self.mesh.traffic_of(host).iter().chain(wild).map(|number| &self.mesh.traffic[*number]) {
            namespaces.insert(traffic.of.namespace().clone());
            namespaces.extend(traffic.visibility.named().cloned());
        }
        let meant = |namespace: &str| {
            let id = self.mesh.service_named(host, namespace);
            (id, id.map(|id| governing(self.mesh, self.mesh.service(id), namespace).rules))
        };
        if !namespaces.is_empty() {
            let unknown = meant("");
            namespaces.retain(|namespace| meant(namespace) != unknown);
        }
        namespaces
    }

    /// What one host means to a client; none if it means nothing.
    pub(super) fn service(&mut self, host: &Host, client: &Client<'_>) -> Option<Digest> {
        let id = self.known(host, client.namespace);
        let candidates = candidates_among(self.mesh, host, client, &|routing| self.knows_rules(routing));
        let service = id.map(|id| self.mesh.service(id));
        let named = service.is_some_and(|service| matches!(service.endpoints, EndpointKind::Alias(_)));
        if named && candidates.is_empty() && self.stands_for(host, client.namespace).is_some() {
            return None; // it is a name of the other
        }
        let mut ports = Vec::new();
        match (id, service) {
            (Some(id), Some(service)) => {
                let governing = governing(self.mesh, service, client.namespace);
                for port in &service.ports {
                    let looked_at = port.protocol.is_http() || port.protocol == Protocol::Auto;
                    ports.push(ServicePort {
                        number: port.number,
                        protocol: protocol(port.protocol),
                        routes: if looked_at { self.routes(&candidates, client, port.number) } else { None },
                        clusters: Some(self.clusters(id, port, &governing, client)),
                        connections: self.connections(host, port, client),
                    });
                }
            }
            _ if candidates.is_empty() => return None,
            _ => {}
        }
        ports.extend(self.other_ports(host, &candidates, client, &ports));
        if ports.is_empty() {
            return None;
        }
        ports.sort();
        ports.dedup_by_key(|port| port.number);
        let object = object::Service {
            host: host.clone(),
            namespace: match (service, candidates.first()) {
                (Some(service), _) => service.namespace.clone(),
                (None, Some(candidate)) => candidate.routing.of.namespace().clone(),
                (None, None) => Text::default(),
            },
            kubernetes: service.is_some_and(|service| service.kubernetes),
            addresses: service.map(|service| service.addresses.clone()).unwrap_or_default(),
            headless: service.is_some_and(|service| service.headless) && !is_wildcard(host),
            ports,
            external: service.is_none_or(|service| service.external),
            created: service
                .and_then(|service| service.resource.meta.creation_timestamp.as_ref())
                .map_or_else(Text::default, |time| time.value.clone()),
            alias: named,
            ranges: service
                .map(|it| it.ranges.iter().filter_map(|range| ip_block(range)).collect())
                .unwrap_or_default(),
            aliases: if service.is_some() && !named { self.aliases_of(host) } else { Vec::new() },
            original: service.is_some_and(|service| service.original),
        };
        let link = self.objects.insert(&object);
        let declared = service.map(|service| Source::new(0, service.resource, service.resource.span));
        self.origins.add(link.digest, declared);
        Some(link.digest)
    }

    /// Ports that a host has for the sake of a virtual service alone.
    fn other_ports(
        &mut self,
        host: &Host,
        candidates: &[taut_model::Candidate<'_, 'r>],
        client: &Client<'_>,
        own: &[ServicePort],
    ) -> Vec<ServicePort> {
        let mut found: BTreeMap<u16, ServicePort> = BTreeMap::new();
        for candidate in candidates.iter().filter(|it| it.routing.hosts.contains(host)) {
            for number in self.ports_of(candidate.routing, client.namespace) {
                if found.contains_key(&number) || own.iter().any(|port| port.number == number) {
                    continue;
                }
                // A service is called on port 80 only where something in the mesh has that port.
                if number == PLAIN_HTTP && !own.is_empty() && !self.plain_http {
                    continue;
                }
                // A wildcard that some service there is part of stands for these services alone.
                if is_wildcard(host) && self.covers_services(host, number, client.namespace) {
                    continue;
                }
                if let Some(routes) = self.routes(std::slice::from_ref(candidate), client, number) {
                    let port = ServicePort {
                        number,
                        protocol: object::Protocol::Http,
                        routes: Some(routes),
                        clusters: None,
                        connections: None,
                    };
                    found.insert(number, port);
                }
            }
        }
        found.into_values().collect()
    }

    fn covers_services(&self, wildcard: &Host, port: u16, namespace: &str) -> bool {
        let here = |service: &&taut_model::Service<'_>| {
            service.port(port).is_some()
                && taut_model::overlap(wildcard, &service.host)
                && service.visibility.admits(namespace)
                && self.imports.as_ref().is_none_or(|imports| imports.admits(service))
        };
        self.mesh.services.iter().find(here).is_some()
    }

    /// The rules for a host and port: those of the first candidate that has any for this client and port.
    fn routes(
        &mut self,
        candidates: &[taut_model::Candidate<'_, 'r>],
        client: &Client<'_>,
        port: u16,
    ) -> Option<Link<object::RouteTable>> {
        candidates.iter().find_map(|candidate| {
            let bound = rules_for(candidate.routing, client, port);
            if bound.is_empty() {
                return None;
            }
            let rules = self.rules(&bound, client, port, 0);
            Some(self.table(rules))
        })
    }
}
