//! Services as clients see them, cut into layers that clients share.
//!
//! Most services mean the same to every client: they are one layer for the whole mesh. What differs for a namespace is
//! a layer of its own above it, and what differs by the client's labels a layer of the workload's own.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use taut_model::{Client, Host, LabelSet, Protocol, candidates, covers, expand, governing, is_wildcard, rules_for};
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{self, Layer, ServicePort};
use taut_snapshot::{Digest, Text};

use super::Lowering;
use super::cluster::protocol;
use crate::origins::Source;

/// The port that a virtual service for an unknown host has (semantics.md §3.3).
const PLAIN_HTTP: u16 = 80;

impl<'r> Lowering<'_, 'r> {
    /// The layers of a client, the one that counts first, first.
    pub(super) fn layers(&mut self, namespace: &Text, labels: &LabelSet) -> Vec<Link<Layer>> {
        let base = self.base();
        let own = self.layer_of_namespace(namespace, &base.1);
        let by_labels = self.layer_of_labels(namespace, labels);
        by_labels.into_iter().chain(own).chain([base.0]).collect()
    }

    /// What every client sees alike: the meaning of each host to a client of which nothing is known.
    fn base(&mut self) -> Rc<(Link<Layer>, BTreeMap<Text, Digest>)> {
        if let Some(base) = &self.base {
            return base.clone();
        }
        let nobody = LabelSet::new();
        let client = Client { namespace: "", labels: &nobody, gateway: "mesh" };
        let entries = self.entries(self.hosts(), &client);
        let layer = self.layer(entries.clone());
        let base = Rc::new((layer, entries));
        self.base = Some(base.clone());
        base
    }

    fn layer(&mut self, entries: BTreeMap<Text, Digest>) -> Link<Layer> {
        let services = self.objects.insert_map(entries);
        self.objects.insert(&Layer { services })
    }

    fn entries(&mut self, hosts: BTreeSet<Host>, client: &Client<'_>) -> BTreeMap<Text, Digest> {
        let entry = |host: Host| Some((host.clone(), self.service(&host, client)?));
        hosts.into_iter().filter_map(entry).collect()
    }

    /// Every host that is a service, or that a virtual service of sidecars names.
    fn hosts(&self) -> BTreeSet<Host> {
        let services = self.mesh.services.iter().map(|service| service.host.clone());
        let routed = self.mesh.routings.iter().filter(|routing| routing.gateways.contains("mesh"));
        services.chain(routed.flat_map(|routing| routing.hosts.iter().cloned())).collect()
    }

    fn layer_of_namespace(&mut self, namespace: &Text, base: &BTreeMap<Text, Digest>) -> Option<Link<Layer>> {
        if let Some(layer) = self.layers.get(namespace) {
            return *layer;
        }
        let hosts = self.special().get(namespace).cloned().unwrap_or_default();
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
        let hosts: BTreeSet<Host> = self.hosts().into_iter().filter(governed).collect();
        let entries = self.entries(hosts, &Client { namespace, labels, gateway: "mesh" });
        if entries.is_empty() { None } else { Some(self.layer(entries)) }
    }

    /// The hosts of virtual services of sidecars that look at labels of the client.
    fn looked_at(&mut self) -> Rc<Vec<Host>> {
        if let Some(hosts) = &self.looked_at {
            return hosts.clone();
        }
        let routings = self.mesh.routings.iter().filter(|it| it.gateways.contains("mesh") && it.looks_at_labels());
        let hosts: Rc<Vec<Host>> = Rc::new(routings.flat_map(|routing| routing.hosts.iter().cloned()).collect());
        self.looked_at = Some(hosts.clone());
        hosts
    }

    /// For each namespace, the hosts that something there, or something exported to it, gives another meaning.
    fn special(&mut self) -> &BTreeMap<Text, BTreeSet<Text>> {
        if self.special.is_none() {
            self.special = Some(self.find_special());
        }
        self.special.get_or_insert_default()
    }

    fn find_special(&self) -> BTreeMap<Text, BTreeSet<Text>> {
        let hosts = self.hosts();
        let mut special: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
        // Namespaces in which a host itself differs: its visibility, its rules of traffic, its rivals.
        let mut of_host: BTreeMap<&Host, BTreeSet<Text>> = BTreeMap::new();
        for host in &hosts {
            let mut namespaces = BTreeSet::new();
            let ids = self.mesh.services_of(host);
            for service in ids.iter().map(|id| self.mesh.service(*id)) {
                namespaces.extend(service.visibility.named().cloned());
                if 1 < ids.len() {
                    namespaces.insert(service.namespace.clone());
                }
            }
            let wild =
                self.mesh.wildcard_traffic().iter().filter(|(wide, _)| covers(wide, host)).map(|(_, number)| number);
            for traffic in self.mesh.traffic_of(host).iter().chain(wild).map(|number| &self.mesh.traffic[*number]) {
                namespaces.insert(traffic.of.namespace().clone());
                namespaces.extend(traffic.visibility.named().cloned());
            }
            of_host.insert(host, namespaces);
        }
        for host in &hosts {
            let mut namespaces = of_host.get(host).cloned().unwrap_or_default();
            let wild =
                self.mesh.wildcard_routings().iter().filter(|(wide, _)| covers(wide, host)).map(|(_, number)| number);
            for routing in self.mesh.routings_of(host).iter().chain(wild).map(|number| &self.mesh.routings[*number]) {
                namespaces.extend(routing.visibility.named().cloned());
                namespaces.extend(routing.source_namespaces().cloned());
                for to in routing.of.spec.http.iter().flat_map(|rule| &rule.route) {
                    let target = expand(&to.destination.host, routing.of.namespace(), &self.mesh.settings);
                    namespaces.extend(of_host.get(&target).into_iter().flatten().cloned());
                }
            }
            for namespace in namespaces {
                special.entry(namespace).or_default().insert(host.clone());
            }
        }
        special
    }

    /// What one host means to a client; none if it means nothing.
    pub(super) fn service(&mut self, host: &Host, client: &Client<'_>) -> Option<Digest> {
        let id = self.mesh.service_named(host, client.namespace);
        let candidates = candidates(self.mesh, host, client);
        let service = id.map(|id| self.mesh.service(id));
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
                        clusters: Some(self.clusters(id, port, &governing)),
                    });
                }
            }
            _ => {
                let routes = self.routes(&candidates, client, PLAIN_HTTP)?;
                ports.push(ServicePort {
                    number: PLAIN_HTTP,
                    protocol: object::Protocol::Http,
                    routes: Some(routes),
                    clusters: None,
                });
            }
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
        };
        let link = self.objects.insert(&object);
        let declared = service.map(|service| Source::new(0, service.resource, service.resource.span));
        self.origins.add(link.digest, declared);
        Some(link.digest)
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
            let rules = self.rules(candidate.routing, &bound, client, port, 0);
            Some(self.table(rules))
        })
    }
}
