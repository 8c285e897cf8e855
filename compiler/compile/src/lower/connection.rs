//! Rules for connections: `tls` and `tcp` of virtual services (semantics.md §3.15).

use taut_model::{BoundServer, Client, Host, Routing, ServicePort, covers, gateway_name, in_order, overlap, selects};
use taut_resources::{At, Labels, RouteDestination, TcpMatch, TlsMatch};
use taut_snapshot::Text;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{ClusterSet, ConnectionRule, ConnectionTable, ConnectionTarget, IpBlock};

use super::Lowering;
use super::authz::ip_block;
use super::route::Portless;
use crate::origins::Source;

/// The part of a match that is decided before any connection.
struct Fixed<'f> {
    port: Option<u32>,
    gateways: &'f [At<Text>],
    source_labels: &'f Labels,
    source_namespace: Option<&'f Text>,
}

impl<'f> Fixed<'f> {
    fn of_tls(from: &'f TlsMatch) -> Fixed<'f> {
        Fixed {
            port: from.port.as_ref().map(|port| port.value),
            gateways: &from.gateways,
            source_labels: &from.source_labels,
            source_namespace: from.source_namespace.as_ref().map(|it| &it.value),
        }
    }

    fn of_tcp(from: &'f TcpMatch) -> Fixed<'f> {
        Fixed {
            port: from.port.as_ref().map(|port| port.value),
            gateways: &from.gateways,
            source_labels: &from.source_labels,
            source_namespace: from.source_namespace.as_ref().map(|it| &it.value),
        }
    }

    /// Here all of them count, unlike in a match of HTTP (§3.4). A gateway's own labels and namespace do not.
    fn applies(&self, namespace: &str, client: &Client<'_>, port: u16) -> bool {
        let mut gateways = self.gateways.iter();
        let port_fits = self.port.is_none_or(|wanted| wanted == 0 || wanted == u32::from(port));
        let gateway_fits =
            self.gateways.is_empty() || gateways.any(|name| gateway_name(name, namespace) == client.gateway);
        let source_fits = client.gateway != "mesh"
            || (self.source_namespace.is_none_or(|wanted| wanted.is_empty() || wanted == client.namespace)
                && selects(self.source_labels, client.labels));
        port_fits && gateway_fits && source_fits
    }
}

/// A table while it is made.
#[derive(Default)]
struct Making {
    rules: Vec<ConnectionRule>,
    clusters: Vec<Link<ClusterSet>>,
    sources: Vec<Source>,
}

impl<'r> Lowering<'_, 'r> {
    /// The rules for connections to a port of a service; none if no virtual service has any.
    pub(super) fn connections(
        &mut self,
        host: &Host,
        port: &ServicePort,
        client: &Client<'_>,
    ) -> Option<Link<ConnectionTable>> {
        if self.streams.is_empty() || port.protocol.is_http() {
            return None;
        }
        let mesh = self.mesh;
        let usable = |number: &usize| {
            let routing = &mesh.routings[*number];
            routing.is_used_by(client.gateway)
                && routing.visibility.admits(client.namespace)
                && self.knows_rules(routing)
                && routing.hosts.iter().any(|other| overlap(other, host))
        };
        let numbers: Vec<usize> = self.streams.iter().copied().filter(usable).collect();
        let mut making = Making::default();
        for candidate in in_order(mesh, numbers, client) {
            let ended = if port.protocol.is_tls() {
                self.tls_rules(candidate.routing, client, port.number, None, &mut making);
                false
            } else {
                self.tcp_rules(candidate.routing, client, port.number, &mut making)
            };
            if ended {
                break;
            }
        }
        self.connection_table(making)
    }

    /// The rules of a gateway's server that does not look at bytes (§3.15): of `tcp` rules the first, of `tls` rules each
    /// whose names nobody had before.
    pub(super) fn server_connections(
        &mut self,
        server: &BoundServer<'_>,
        client: &Client<'_>,
        taken: &mut Vec<Text>,
    ) -> Option<Link<ConnectionTable>> {
        let port = server.server.port.number.0;
        let mesh = self.mesh;
        let mut making = Making::default();
        let usable = |number: &usize| {
            let routing = &mesh.routings[*number];
            routing.is_used_by(client.gateway)
                && routing.visibility.admits(client.namespace)
                && routing.hosts.iter().any(|host| taut_model::server_admits(server, routing, host).is_some())
        };
        let numbers: Vec<usize> = self.streams.iter().copied().filter(usable).collect();
        for candidate in in_order(mesh, numbers, client) {
            if server.passes_tls() {
                self.tls_rules(candidate.routing, client, port, Some(taken), &mut making);
            } else if server.ends_tls() && candidate.routing.made && !candidate.routing.of.spec.tls.is_empty() {
                // Routes of the Gateway API go by server name even where TLS ends (semantics.md §18.5).
                self.tls_rules(candidate.routing, client, port, None, &mut making);
            } else if self.first_tcp_rule(candidate.routing, client, port, &mut making) {
                break;
            }
        }
        self.connection_table(making)
    }

    /// The clusters that a gateway passes the mesh's own TLS on to, each by the server name that stands for it (§5.6).
    pub(super) fn passed_clusters(
        &mut self,
        server: &BoundServer<'_>,
        client: &Client<'_>,
    ) -> Option<Link<ConnectionTable>> {
        const OFFERED: [&str; 5] = ["istio", "istio-h2", "istio-http/1.0", "istio-http/1.1", "istio-peer-exchange"];
        let mesh = self.mesh;
        let admitted = taut_model::gateway_hosts(server);
        let names = admitted.iter().map(|host| host.split_once('/').map_or(host.as_str(), |(_, name)| name));
        let names: Vec<&str> = names.collect();
        let mut making = Making::default();
        for service in mesh.services.iter().filter(|it| !it.external && it.visibility.admits(client.namespace)) {
            let Some(id) = mesh.service_named(&service.host, client.namespace) else { continue };
            let here = std::ptr::eq(mesh.service(id), service) && names.iter().any(|name| covers(name, &service.host));
            if !here {
                continue;
            }
            let governing = taut_model::governing(mesh, service, client.namespace);
            for port in &service.ports {
                let set = self.clusters(id, port, &governing, client);
                let subsets = governing.subsets.iter().map(|subset| subset.name.value.clone());
                for subset in std::iter::once(Text::default()).chain(subsets) {
                    let name = format!("outbound_.{}_.{subset}_.{}", port.number, service.host);
                    making.rules.push(ConnectionRule {
                        server_names: vec![name.into()],
                        addresses: Vec::new(),
                        protocols: OFFERED.iter().map(|it| Text::new_static(it)).collect(),
                        destinations: vec![ConnectionTarget {
                            target: self.whole(set, subset, &mut making.clusters),
                            weight: 1,
                        }],
                    });
                    making.sources.push(Source::new(making.rules.len(), service.resource, service.resource.span));
                }
            }
        }
        self.connection_table(making)
    }

    fn connection_table(&mut self, making: Making) -> Option<Link<ConnectionTable>> {
        if making.rules.is_empty() {
            return None;
        }
        let link = self.objects.insert(&ConnectionTable { rules: making.rules, clusters: making.clusters });
        self.origins.add(link.digest, making.sources);
        Some(link)
    }

    fn tls_rules(
        &mut self,
        routing: &Routing<'r>,
        client: &Client<'_>,
        port: u16,
        mut taken: Option<&mut Vec<Text>>,
        making: &mut Making,
    ) {
        for rule in &routing.of.spec.tls {
            for matched in &rule.matches {
                if !Fixed::of_tls(matched).applies(routing.of.namespace(), client, port) {
                    continue;
                }
                let names: Vec<Text> = matched.sni_hosts.iter().map(|it| it.to_ascii_lowercase().into()).collect();
                let addresses = blocks(&matched.destination_subnets);
                let same = |it: &ConnectionRule| it.server_names == names && it.addresses == addresses;
                if making.rules.iter().any(same) {
                    continue;
                }
                if let Some(taken) = taken.as_deref_mut() {
                    if names.iter().any(|name| taken.contains(name)) {
                        continue; // on a gateway one common name drops the whole match
                    }
                    taken.extend(names.iter().cloned());
                }
                let source = Source::new(making.rules.len() + 1, routing.of.resource, matched.span);
                self.connection_rule(routing, &rule.route, (names, addresses), (client, port), source, making);
            }
        }
    }

    /// Whether a rule was added that takes every connection.
    fn tcp_rules(&mut self, routing: &Routing<'r>, client: &Client<'_>, port: u16, making: &mut Making) -> bool {
        for rule in &routing.of.spec.tcp {
            let namespace = routing.of.namespace();
            let fits = |it: &&TcpMatch| Fixed::of_tcp(it).applies(namespace, client, port);
            let mut addresses = Vec::new();
            let mut everything = rule.matches.is_empty();
            for matched in rule.matches.iter().filter(fits) {
                everything |= matched.destination_subnets.is_empty();
                addresses.extend(blocks(&matched.destination_subnets));
            }
            let source = Source::new(making.rules.len() + 1, routing.of.resource, rule.span);
            if everything {
                self.connection_rule(routing, &rule.route, (Vec::new(), Vec::new()), (client, port), source, making);
                return true;
            }
            if !addresses.is_empty() {
                addresses.sort();
                addresses.dedup();
                self.connection_rule(routing, &rule.route, (Vec::new(), addresses), (client, port), source, making);
            }
        }
        false
    }

    /// Whether a rule was added.
    fn first_tcp_rule(&mut self, routing: &Routing<'r>, client: &Client<'_>, port: u16, making: &mut Making) -> bool {
        let namespace = routing.of.namespace();
        let fits = |it: &TcpMatch| Fixed::of_tcp(it).applies(namespace, client, port);
        let mut rules = routing.of.spec.tcp.iter();
        let Some(rule) = rules.find(|rule| rule.matches.is_empty() || rule.matches.iter().any(fits)) else {
            return false;
        };
        let source = Source::new(1, routing.of.resource, rule.span);
        self.connection_rule(routing, &rule.route, (Vec::new(), Vec::new()), (client, port), source, making);
        true
    }

    fn connection_rule(
        &mut self,
        routing: &Routing<'r>,
        route: &'r [RouteDestination],
        (server_names, addresses): (Vec<Text>, Vec<IpBlock>),
        (client, port): (&Client<'_>, u16),
        source: Source,
        making: &mut Making,
    ) {
        let weight =
            |to: &RouteDestination| to.weight.as_ref().map_or(0, |weight| u32::try_from(weight.value).unwrap_or(0));
        let one = route.len() == 1;
        let kept = route.iter().filter(|to| one || 0 < weight(to));
        let destinations = kept
            .map(|to| ConnectionTarget {
                target: self.target(
                    routing.of.namespace(),
                    &to.destination,
                    client,
                    Portless::Only(port),
                    &mut making.clusters,
                ),
                weight: if one { 1 } else { weight(to) },
            })
            .collect();
        making.rules.push(ConnectionRule { server_names, addresses, protocols: Vec::new(), destinations });
        making.sources.push(source);
    }
}

fn blocks(from: &[At<Text>]) -> Vec<IpBlock> {
    from.iter().filter_map(|block| ip_block(block)).collect()
}
