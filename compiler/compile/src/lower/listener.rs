//! Gateways: listeners, and hosts with their rules (semantics.md §5).

use std::collections::BTreeMap;

use taut_model::{
    BoundServer, Client, Host, LabelSet, Leading, ListenPort, client_roots, key_pair, ports_at, rules_for, secret_of,
    server_admits, specificity,
};
use taut_resources::{At, Resource, ServerTlsMode};
use taut_snapshot::Text;
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::{
    Certificate, ClientCheck, ConnectionTable, HostEntry, HostTable, Listener, Server, ServerTls, TlsTerms, TlsVersion,
};

use super::Lowering;
use super::route::Sourced;
use crate::origins::Source;

/// A host while it is collected: its rules, and whether plain HTTP is redirected.
#[derive(Default)]
struct Collected<'r> {
    rules: Vec<Sourced>,
    /// The virtual services that the rules are of.
    of: Vec<&'r Resource>,
    /// The port number of the first server that has it.
    number: u16,
    https_only: bool,
}

impl<'r> Lowering<'_, 'r> {
    /// What a gateway workload listens to.
    pub(super) fn listeners(
        &mut self,
        namespace: &Text,
        labels: &LabelSet,
        leading: &[Leading<'_, 'r>],
    ) -> Vec<Link<Listener>> {
        let ports = ports_at(self.mesh, namespace, labels, leading);
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
        let mut taken = Vec::new();
        let servers = groups.iter().map(|group| match group.as_slice() {
            [server, ..] if !server.is_http() => self.opaque_server(server, namespace, labels, &mut taken),
            group => self.server(group, tls, namespace, labels),
        });
        let servers = servers.collect();
        let link = self.objects.insert(&Listener { port: port.port, servers });
        let sources = port.servers.iter().map(|server| Source::new(0, server.gateway.resource, server.server.span));
        self.origins.add(link.digest, sources);
        link
    }

    fn server(&mut self, group: &[&BoundServer<'_>], tls: bool, namespace: &Text, labels: &LabelSet) -> Server {
        let mut hosts: BTreeMap<Host, Collected<'_>> = BTreeMap::new();
        for server in group {
            self.collect(server, namespace, labels, &mut hosts);
        }
        keep_apart(group, &mut hosts);
        let mut entries: Vec<HostEntry> = Vec::with_capacity(hosts.len());
        let names = shared_names(&hosts);
        let usual = group.first().map_or(0, |server| server.server.port.number.0);
        let numbers: BTreeMap<Host, u16> = hosts.iter().map(|(host, it)| (host.clone(), it.number)).collect();
        for (host, mut collected) in hosts {
            // A rule that takes everything goes behind those that do not, and the first of such ends the list (§3.8).
            collected.rules.sort_by_key(|sourced| sourced.takes_everything);
            let end = collected.rules.iter().position(|sourced| sourced.takes_everything);
            collected.rules.truncate(end.map_or(usize::MAX, |end| end + 1));
            for (at, sourced) in collected.rules.iter_mut().enumerate() {
                sourced.source.renumber(at + 1);
            }
            let routes = if collected.rules.is_empty() { None } else { Some(self.table(collected.rules)) };
            let shared = names.get(&host).cloned();
            let number = numbers.get(shared.as_ref().unwrap_or(&host)).copied();
            entries.push(HostEntry {
                routes,
                https_only: collected.https_only,
                number: number.filter(|number| *number != usual).unwrap_or(0),
                shared: shared.unwrap_or_default(),
                host,
            });
        }
        entries.sort_by(|a, b| specificity(&a.host).cmp(&specificity(&b.host)));
        let table = self.objects.insert(&HostTable { hosts: entries });
        let first = group.first();
        let names: Vec<Text> = match first {
            Some(server) if tls => taut_model::gateway_hosts(server).iter().map(|host| bare(host)).collect(),
            _ => vec!["*".into()],
        };
        let (certificate, terms) =
            first.filter(|_| tls).map(|server| self.shown(server, namespace)).unwrap_or_default();
        Server {
            number: first.map_or(0, |server| server.server.port.number.0),
            names,
            // That a certificate means SIMPLE need not be said.
            tls: first.and_then(|server| tls_of(server)).filter(|it| *it != ServerTls::Simple || certificate.is_none()),
            certificate,
            terms,
            hosts: table,
            connections: None,
        }
    }

    /// A server whose bytes are not looked at.
    fn opaque_server(
        &mut self,
        server: &BoundServer<'_>,
        namespace: &Text,
        labels: &LabelSet,
        taken: &mut Vec<Text>,
    ) -> Server {
        let gateway = server.gateway_name();
        let client = Client { namespace, labels, gateway: &gateway };
        let tls = tls_of(server);
        let connections = match tls {
            Some(ServerTls::AutoPassthrough) => self.passed_clusters(server, &client),
            _ => self.server_connections(server, &client, taken),
        };
        // Without any rule it takes no connection, which is not the same as having no rules.
        let none = ConnectionTable { rules: Vec::new(), clusters: Vec::new() };
        let connections = connections.unwrap_or_else(|| self.objects.insert(&none));
        let (certificate, terms) = self.shown(server, namespace);
        Server {
            number: server.server.port.number.0,
            names: taut_model::gateway_hosts(server).iter().map(|host| bare(host)).collect(),
            certificate,
            terms,
            hosts: self.objects.insert(&HostTable { hosts: Vec::new() }),
            tls,
            connections: Some(connections),
        }
    }

    /// The hosts of one server, with the rules of every virtual service that it admits, by seniority.
    fn collect(
        &mut self,
        server: &BoundServer<'_>,
        namespace: &Text,
        labels: &LabelSet,
        hosts: &mut BTreeMap<Host, Collected<'r>>,
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
                let rules = self.rules(&bound, &client, port, 0);
                if rules.is_empty() {
                    continue;
                }
                let collected = hosts.entry(host).or_default();
                collected.rules.extend(rules);
                collected.of.push(routing.of.resource);
                collected.number = if collected.number == 0 { port } else { collected.number };
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
                    let collected = hosts.entry(host).or_default();
                    collected.https_only = true;
                    collected.number = if collected.number == 0 { port } else { collected.number };
                }
            }
        }
    }

    /// The certificate that a server shows, and on which terms it ends TLS.
    fn shown(&mut self, server: &BoundServer<'_>, namespace: &Text) -> (Option<Link<Certificate>>, Option<TlsTerms>) {
        let Some(tls) = server.server.tls.as_deref().filter(|_| server.ends_tls() && !server.passes_tls()) else {
            return (None, None);
        };
        let named = tls.credential_name.iter().chain(&tls.credential_names);
        let found: Vec<_> = named.map(|credential| self.certificate(credential, namespace)).collect();
        let mut certificates = found.into_iter().flatten();
        let first = certificates.next();
        let text = |texts: &[At<Text>]| texts.iter().map(|it| it.value.clone()).collect::<Vec<_>>();
        let version = |version: Option<At<taut_resources::TlsVersion>>| match version.map(|it| it.value) {
            Some(taut_resources::TlsVersion::V1_2) => Some(TlsVersion::V12),
            Some(taut_resources::TlsVersion::V1_3) => Some(TlsVersion::V13),
            _ => None,
        };
        let checks = matches!(tls.effective_mode(), ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
        let clients = checks.then(|| ClientCheck {
            // Where there are none, nobody is believed: that was refused before.
            roots: Blob(client_roots(self.mesh, tls, namespace).unwrap_or_default().into()),
            names: text(&tls.subject_alt_names),
            unchecked: tls.insecure_skip_verify.is_some_and(|skip| skip.value),
        });
        let terms = TlsTerms {
            certificates: certificates.collect(),
            clients,
            ciphers: text(&tls.cipher_suites),
            oldest: version(tls.min_protocol_version),
            newest: version(tls.max_protocol_version),
        };
        (first, Some(terms).filter(|terms| *terms != USUAL))
    }

    /// A certificate. The Gateway API names the namespace; without it, the Secret is where the gateway runs (§5.7).
    fn certificate(&mut self, credential: &str, namespace: &str) -> Option<Link<Certificate>> {
        let place = secret_of(credential, namespace);
        let secret = self.mesh.secrets.get(&place)?;
        let pair = key_pair(secret.spec).ok()?;
        let certificate = Certificate {
            name: format!("{}/{}", place.0, place.1).into(),
            chain: Blob(pair.chain.into()),
            key: Blob(pair.key.into()),
        };
        let link = self.objects.insert(&certificate);
        self.origins.add(link.digest, [Source::new(0, secret.resource, secret.resource.span)]);
        Some(link)
    }
}

/// The terms that need not be said.
const USUAL: TlsTerms =
    TlsTerms { certificates: Vec::new(), clients: None, ciphers: Vec::new(), oldest: None, newest: None };

/// What a listener of the Gateway API has is not served through a wider one of the same Gateway, even where no route
/// is attached to it (semantics.md §18.3).
fn keep_apart(group: &[&BoundServer<'_>], hosts: &mut BTreeMap<Host, Collected<'_>>) {
    for server in group.iter().filter(|server| server.made) {
        for host in taut_model::gateway_hosts(server).iter().map(|host| bare(host)) {
            let of_same = |other: &&&BoundServer<'_>| std::ptr::eq(other.gateway.resource, server.gateway.resource);
            let mut wider = group.iter().filter(of_same).flat_map(|other| taut_model::gateway_hosts(other));
            let is_narrower = wider.any(|wide| bare(&wide) != host && taut_model::covers(&bare(&wide), &host));
            if is_narrower && !hosts.contains_key(&host) {
                let number = server.server.port.number.0;
                hosts.insert(host, Collected { number, ..Collected::default() });
            }
        }
    }
}

/// The host under which each is named: the first of those with the same rules (semantics.md §3.8).
fn shared_names(hosts: &BTreeMap<Host, Collected<'_>>) -> BTreeMap<Host, Host> {
    let alike = |a: &Collected<'_>, b: &Collected<'_>| {
        let same = a.of.len() == b.of.len() && a.of.iter().zip(&b.of).all(|(a, b)| std::ptr::eq(*a, *b));
        same && a.https_only == b.https_only
    };
    let mut order: Vec<(&Host, &Collected<'_>)> = hosts.iter().collect();
    order.sort_by(|(a, _), (b, _)| specificity(a).cmp(&specificity(b)));
    let mut names = BTreeMap::new();
    let mut first: Vec<(&Host, &Collected<'_>)> = Vec::new();
    for (host, collected) in order {
        match first.iter().find(|(_, other)| alike(other, collected)) {
            Some((name, _)) => drop(names.insert(host.clone(), (*name).clone())),
            None => first.push((host, collected)),
        }
    }
    names
}

fn tls_of(server: &BoundServer<'_>) -> Option<ServerTls> {
    let tls = server.server.tls.as_ref().filter(|_| server.ends_tls())?;
    Some(match tls.effective_mode() {
        ServerTlsMode::Passthrough => ServerTls::Passthrough,
        ServerTlsMode::Simple => ServerTls::Simple,
        ServerTlsMode::Mutual => ServerTls::Mutual,
        ServerTlsMode::AutoPassthrough => ServerTls::AutoPassthrough,
        ServerTlsMode::IstioMutual => ServerTls::IstioMutual,
        ServerTlsMode::OptionalMutual => ServerTls::OptionalMutual,
    })
}

/// A server's host without the namespace before it.
fn bare(host: &str) -> Text {
    host.split_once('/').map_or(host, |(_, name)| name).into()
}
