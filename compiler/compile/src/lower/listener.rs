//! Gateways: listeners, and hosts with their rules (semantics.md §5).

use std::collections::BTreeMap;

use taut_model::{
    BoundServer, Client, Host, LabelSet, ListenPort, key_pair, listen_ports, rules_for, server_admits, specificity,
};
use taut_snapshot::Text;
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::{Certificate, HostEntry, HostTable, Listener, Server};

use super::Lowering;
use super::route::Sourced;
use crate::origins::Source;

/// A host while it is collected: its rules, and whether plain HTTP is redirected.
#[derive(Default)]
struct Collected {
    rules: Vec<Sourced>,
    https_only: bool,
}

impl Lowering<'_, '_> {
    /// What a gateway workload listens to.
    pub(super) fn listeners(
        &mut self,
        namespace: &Text,
        labels: &LabelSet,
        port_named: impl Fn(&str) -> Option<u16>,
    ) -> Vec<Link<Listener>> {
        let ports = listen_ports(self.mesh, namespace, labels, port_named);
        ports.iter().map(|port| self.listener(port, namespace, labels)).collect()
    }

    fn listener(&mut self, port: &ListenPort<'_>, namespace: &Text, labels: &LabelSet) -> Link<Listener> {
        let tls = port.servers.first().is_some_and(BoundServer::ends_tls);
        // Servers without TLS share one table; with TLS each has its own, found by server name.
        let groups: Vec<Vec<&BoundServer<'_>>> = if tls {
            port.servers.iter().map(|server| vec![server]).collect()
        } else {
            vec![port.servers.iter().collect()]
        };
        let servers = groups.iter().map(|group| self.server(group, tls, namespace, labels)).collect();
        let link = self.objects.insert(&Listener { port: port.port, servers });
        let sources = port.servers.iter().map(|server| Source::new(0, server.gateway.resource, server.server.span));
        self.origins.add(link.digest, sources);
        link
    }

    fn server(&mut self, group: &[&BoundServer<'_>], tls: bool, namespace: &Text, labels: &LabelSet) -> Server {
        let mut hosts: BTreeMap<Host, Collected> = BTreeMap::new();
        for server in group {
            self.collect(server, namespace, labels, &mut hosts);
        }
        let mut entries: Vec<HostEntry> = Vec::with_capacity(hosts.len());
        for (host, mut collected) in hosts {
            // A rule that takes everything goes behind those that do not, and the first of such ends the list (§3.8).
            collected.rules.sort_by_key(|sourced| sourced.takes_everything);
            let end = collected.rules.iter().position(|sourced| sourced.takes_everything);
            collected.rules.truncate(end.map_or(usize::MAX, |end| end + 1));
            for (at, sourced) in collected.rules.iter_mut().enumerate() {
                sourced.source.renumber(at + 1);
            }
            let routes = if collected.rules.is_empty() { None } else { Some(self.table(collected.rules)) };
            entries.push(HostEntry { host, routes, https_only: collected.https_only });
        }
        entries.sort_by(|a, b| specificity(&a.host).cmp(&specificity(&b.host)));
        let table = self.objects.insert(&HostTable { hosts: entries });
        let first = group.first();
        let names: Vec<Text> = match first {
            Some(server) if tls => taut_model::gateway_hosts(server).iter().map(|host| bare(host)).collect(),
            _ => vec!["*".into()],
        };
        Server {
            number: first.map_or(0, |server| server.server.port.number.0),
            names,
            certificate: first.filter(|_| tls).and_then(|server| self.certificate(server, namespace)),
            hosts: table,
        }
    }

    /// The hosts of one server, with the rules of every virtual service that it admits, by seniority.
    fn collect(
        &mut self,
        server: &BoundServer<'_>,
        namespace: &Text,
        labels: &LabelSet,
        hosts: &mut BTreeMap<Host, Collected>,
    ) {
        let gateway = server.gateway_name();
        let client = Client { namespace, labels, gateway: &gateway };
        let port = server.server.port.number.0;
        let mesh = self.mesh;
        let usable =
            mesh.routings.iter().filter(|it| it.gateways.contains(&gateway) && it.visibility.admits(namespace));
        for routing in usable {
            for host in &routing.hosts {
                let Some(host) = server_admits(server, routing, host) else { continue };
                let bound = rules_for(routing, &client, port);
                let rules = self.rules(routing, &bound, &client, port, 0);
                hosts.entry(host).or_default().rules.extend(rules);
            }
        }
        let redirects =
            server.server.tls.as_ref().and_then(|tls| tls.https_redirect.as_ref()).is_some_and(|it| it.value);
        if redirects && !server.ends_tls() {
            for host in taut_model::gateway_hosts(server) {
                let host = bare(&host);
                let covered: Vec<Host> =
                    hosts.keys().filter(|known| taut_model::covers(&host, known)).cloned().collect();
                for host in covered.into_iter().chain([host]) {
                    hosts.entry(host).or_default().https_only = true;
                }
            }
        }
    }

    fn certificate(&mut self, server: &BoundServer<'_>, namespace: &Text) -> Option<Link<Certificate>> {
        let credential = server.server.tls.as_ref()?.credential_name.as_ref()?;
        let name = credential.strip_prefix("kubernetes://").unwrap_or(credential);
        let secret = self.mesh.secrets.get(&(namespace.clone(), name.into()))?;
        let pair = key_pair(secret.spec).ok()?;
        let certificate = Certificate {
            name: format!("{namespace}/{name}").into(),
            chain: Blob(pair.chain.into()),
            key: Blob(pair.key.into()),
        };
        let link = self.objects.insert(&certificate);
        self.origins.add(link.digest, [Source::new(0, secret.resource, secret.resource.span)]);
        Some(link)
    }
}

/// A server's host without the namespace before it.
fn bare(host: &str) -> Text {
    host.split_once('/').map_or(host, |(_, name)| name).into()
}
