//! `taut explain`: what becomes of one request, on the same `decide` that the proxy runs (semantics.md §2.3, §5, §9, §11).
//!
//! Owns: the view of the workload that is asked about, which need not be one that is declared; and every rule that took
//! part, with its file and line.
//! May not: decide anything. What it says is what `taut_snapshot::decide` says.

mod answer;
mod declared;
#[cfg(test)]
mod edge_tests;
mod gateway;
mod governing;
mod inbound;
mod made;
mod outbound;
mod question;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use taut_model::{LabelSet, Mesh, Who};
use taut_snapshot::decide::{Connection, Destination, Forwarding, Hello, Hit, Refusal, Router, Tables, VirtualHost};
use taut_snapshot::object::ClusterTls;
use taut_snapshot::{Digest, Endpoint, EndpointSet, Owner, SourceMap, Text};
use taut_source::{Problems, SourceSet};

pub use answer::{Answer, Authz, Because, Fault, Made, Passed, Security, Share};
pub use declared::{Declared, Lead, declared};
pub use question::{Bytes, Claims, Direction, ProxyOf, Question, Tls};

use crate::compile::{Options, read};
use crate::lower::{Lowering, Subject};
use crate::{endpoints, lower};

/// Answers questions about the mesh of some sources, each in its place. The mesh may have problems: what of it could
/// be read is what the answers are about.
#[must_use]
pub fn explain(sources: &SourceSet, options: &Options, questions: &[Question]) -> Vec<Answer> {
    let mut problems = Problems::default();
    let (read, _) = read(sources, options, &mut problems);
    let mesh = read.mesh(options);
    let mut lowering = Lowering::new(&mesh);
    let questions: Vec<Question> = questions.iter().cloned().map(Question::with_claims).collect();
    let links: Vec<_> = questions.iter().map(|question| lowering.view_of(&question.subject(&mesh))).collect();
    let snapshot = lowering.root(BTreeMap::new());
    let lower::Lowering { objects, origins, .. } = lowering;
    let map = origins.places().into_source_map(sources, &read.resources, Box::new(|| ()));
    let endpoints = endpoints::declared(&mesh);
    let mut views: BTreeMap<Digest, Result<Tables, String>> = BTreeMap::new();
    let mut answer = |(question, link): (&Question, taut_snapshot::format::codec::Link<_>)| {
        let load = || Tables::load(&objects, snapshot, link).map_err(|bad| bad.to_string());
        match views.entry(link.digest).or_insert_with(load) {
            Ok(tables) => Asked { question, tables, map: &map, endpoints: &endpoints }.answer(),
            Err(bad) => Answer::impossible(bad.clone()),
        }
    };
    let mut answers: Vec<Answer> = questions.iter().zip(links).map(&mut answer).collect();
    for (question, answer) in questions.iter().zip(&mut answers) {
        governing::add(&mesh, sources, question, answer);
    }
    answers
}

impl Question {
    /// The workload: one that is declared with these labels, or the one that is described.
    fn subject<'q>(&'q self, mesh: &'q Mesh<'_>) -> Subject<'q> {
        let ids = mesh.workloads_in(&self.proxy.namespace);
        let declared = ids.iter().map(|id| mesh.workload(*id)).find(|it| it.labels == self.proxy.labels);
        Subject {
            who: Who {
                namespace: &self.proxy.namespace,
                labels: &self.proxy.labels,
                ports: declared.map_or(&[], |it| &it.ports),
                addresses: &self.proxy.addresses,
            },
            name: declared.map(|it| it.name.clone()).unwrap_or_default(),
            service_account: declared.map_or("default".into(), |it| it.service_account.clone()),
            gateway: self.proxy.gateway,
        }
    }
}

/// A question and what it takes to answer it.
struct Asked<'a> {
    question: &'a Question,
    tables: &'a Tables,
    map: &'a SourceMap,
    endpoints: &'a EndpointSet,
}

impl Asked<'_> {
    fn answer(&self) -> Answer {
        match self.question.direction {
            Direction::Outbound => self.outbound(),
            Direction::Inbound => self.inbound(),
            Direction::Gateway => self.gateway(),
        }
    }

    fn connection(&self) -> Connection<'_> {
        let question = self.question;
        let http = question.bytes != Bytes::Tcp;
        let hello =
            |mesh: bool| Hello { server_name: question.server_name.as_deref(), protocol: question.offered(mesh), mesh };
        Connection {
            address: question.address,
            port: question.port,
            http,
            tls: match question.tls {
                Tls::Plaintext => None,
                Tls::Tls => Some(hello(false)),
                Tls::Mesh => Some(hello(true)),
            },
        }
    }

    /// Whether an address is one of a service's declared endpoints, and not the workload's own.
    fn is_endpoint(&self, host: &VirtualHost<'_>, address: IpAddr) -> bool {
        let own = self.question.proxy.addresses.iter().any(|it| it.parse() == Ok(address));
        let Some(cluster) = host.cluster.filter(|_| !own) else { return false };
        let source = &self.tables.cluster(cluster).endpoints;
        let mut endpoints = self.endpoints.endpoints.iter();
        let listed = |it: &Endpoint| {
            it.owner == Owner::Service(host.service.host.clone())
                && it.ports.iter().any(|port| port.number == host.port)
        };
        endpoints.any(|it| it.address.parse() == Ok(address) && (source.dial(it).is_some() || listed(it)))
    }

    /// The places of an object, or of one part of it.
    fn because(&self, digest: Digest, part: usize, into: &mut Answer) {
        for origin in self.map.origins(digest).iter().filter(|origin| origin.part as usize == part) {
            let because = Because {
                kind: origin.kind.clone(),
                namespace: origin.namespace.clone(),
                name: origin.name.clone(),
                file: self.map.files.get(origin.file as usize).cloned().unwrap_or_default(),
                line: origin.line,
            };
            if !into.because.contains(&because) {
                into.because.push(because);
            }
        }
    }

    /// The rule of a table for the request, written into the answer; what it does is `forward`'s to say.
    fn ask<'r>(&self, (router, digest): (&'r Router, Digest), path: &str, into: &mut Answer) -> Option<Hit<'r>> {
        let request = self.question.request(path);
        let hit = router.route(&request);
        let until = hit.as_ref().map_or(router.len(), |hit| hit.rule);
        for (rule, unmet) in router.unmet(&request, until) {
            let mut place = Answer::default();
            self.because(digest, rule + 1, &mut place);
            into.passed.push(Passed { rule: place.because.into_iter().next(), unmet });
        }
        let hit = hit?;
        self.because(digest, hit.rule + 1, into);
        let alternative = hit.alternative.map(|it| it.name.as_str()).filter(|name| !name.is_empty());
        let name = match (hit.name.as_str(), alternative) {
            (name, Some(alternative)) => format!("{name}.{alternative}"),
            (name, None) => name.to_owned(),
        };
        into.route = Some(name);
        Some(hit)
    }

    fn forward(&self, forward: &Forwarding, into: &mut Answer) {
        into.timeout_ms = Some(forward.timeout_ms).filter(|timeout| 0 < *timeout);
        into.retries = forward.retry.as_ref().map(|retry| retry.attempts);
        let targets = forward.destinations.iter().map(|to: &Destination| (&to.cluster, to.weight));
        self.targets(targets, into);
    }

    fn targets<'t>(
        &self,
        targets: impl Iterator<Item = (&'t Result<taut_snapshot::decide::ClusterId, Text>, u32)>,
        into: &mut Answer,
    ) {
        for (at, (target, weight)) in targets.enumerate() {
            let cluster = match target {
                Ok(id) => {
                    self.because(self.tables.cluster_digest(*id), 0, into);
                    let cluster = self.tables.cluster(*id);
                    if at == 0 {
                        into.tls = Some(self.security(cluster));
                    }
                    cluster.name()
                }
                Err(missing) => missing.to_string(),
            };
            into.split.push(Share { cluster, weight });
        }
        into.clusters = into.split.iter().map(|share| share.cluster.clone()).collect();
        into.cluster = into.clusters.first().cloned();
        if into.split.len() < 2 {
            into.split.clear();
        }
    }

    /// How connections to a cluster are secured: by themselves they are where some endpoint can do it.
    fn security(&self, cluster: &taut_snapshot::object::Cluster) -> Security {
        let capable = || {
            let mut own = self.endpoints.endpoints.iter().filter(|it| cluster.endpoints.dial(it).is_some()).peekable();
            own.peek().is_none() || own.any(|it| cluster.endpoints.speaks_mtls(it))
        };
        match &cluster.tls {
            // TLS of services outside the mesh is none of the mesh's.
            ClusterTls::Plain | ClusterTls::Outside(_) => Security::Plaintext,
            ClusterTls::Mutual(_) => Security::Mtls,
            ClusterTls::Auto(_) if capable() => Security::Mtls,
            ClusterTls::Auto(_) => Security::Plaintext,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        match refusal {
            Refusal::NoListener => Fault::NoListener,
            Refusal::NoFilterChain => Fault::NoFilterChain,
            Refusal::Tls => Fault::Tls,
            Refusal::Mtls => Fault::Mtls,
            Refusal::Protocol => Fault::Protocol,
        }
    }
}

/// Labels in their order.
#[must_use]
pub fn labels(pairs: impl IntoIterator<Item = (Text, Text)>) -> LabelSet {
    pairs.into_iter().collect()
}
