//! Clusters: the endpoints of a service port or subset, and how to talk to them (semantics.md §4).

use std::collections::BTreeSet;

use taut_model::{
    Client, EndpointKind, Governing, Mode, PortTraffic, Protocol, Service, ServiceId, ServicePort, Target, key_pair,
    mode_of, namespace_mode, roots_beside, secret_of,
};
use taut_resources::{
    ClientTls, ClientTlsMode, H2Upgrade, LoadBalancer, OutlierDetection, Resolution, RetryBudget, SimpleBalancer,
    Subset,
};
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::{
    self, Balancer, Certificate, ClusterSet, ClusterTls, DnsName, EndpointSource, Identities, Limits, Outlier,
    OutsideTls, Roots, ServiceSelector, TargetPort, Traffic, WorkloadSelector,
};
use taut_snapshot::{Objects, Text};

use super::{Lowering, balancing};
use crate::origins::Source;

/// Istio's default for connecting.
const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// Envoy's default for idle connections: an hour.
const IDLE_TIMEOUT_MS: u64 = 3_600_000;

/// A gateway, as services see it: where its Secrets are, and which of them it shows where a policy says TLS.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    namespace: Text,
    certificate: Option<(Text, Text)>,
}

/// What is made beside a cluster.
struct Making<'c> {
    caller: Option<&'c Caller>,
    objects: Objects,
}

impl<'r> Lowering<'_, 'r> {
    /// The clusters of a port of a service: all of it, and each subset that the destination rules declare.
    pub(super) fn clusters(
        &mut self,
        id: ServiceId,
        port: &ServicePort,
        governing: &Governing<'r>,
        client: &Client<'_>,
    ) -> Link<ClusterSet> {
        let caller = self.caller(client);
        let key = (id.0, port.number, governing.rules.clone(), caller.clone());
        if let Some(link) = self.clusters.get(&key) {
            return *link;
        }
        let service = self.mesh.service(id);
        let mut made = Making { caller: caller.as_deref(), objects: Objects::default() };
        let traffic = self.traffic(service, port, governing, None, &mut made);
        let mut declared = governing.subsets.clone();
        declared.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        let mut subset = |subset: &&'r Subset| {
            // Most subsets have no policy of their own.
            let own =
                subset.traffic_policy.as_ref().map(|_| self.traffic(service, port, governing, Some(subset), &mut made));
            object::Subset {
                name: subset.name.value.clone(),
                labels: labels(subset),
                names: match service.endpoints {
                    EndpointKind::Dns(entry) => names(service, entry, port, Some(subset)),
                    EndpointKind::Alias(host) => alias(host, port),
                    EndpointKind::Selector(_) | EndpointKind::Declared | EndpointKind::Original => Vec::new(),
                },
                traffic: own.filter(|own| *own != traffic),
            }
        };
        let set = ClusterSet {
            host: service.host.clone(),
            port: port.number,
            namespace: service.namespace.clone(),
            endpoints: endpoints(service, port),
            subsets: declared.iter().map(&mut subset).collect(),
            traffic,
        };
        self.objects.absorb(made.objects);
        let link = self.objects.insert(&set);
        let mut sources = vec![Source::new(0, service.resource, service.resource.span)];
        for rule in &governing.rules {
            let of = &self.mesh.traffic[*rule].of;
            sources.push(Source::new(0, of.resource, of.spec.host.span));
            for (at, subset) in declared.iter().enumerate() {
                if of.spec.subsets.iter().any(|own| std::ptr::eq(own, *subset)) {
                    sources.push(Source::new(at + 1, of.resource, subset.name.span));
                }
            }
        }
        self.origins.add(link.digest, sources);
        self.clusters.insert(key, link);
        link
    }

    /// How to talk to the endpoints of a port, or of a subset of it.
    fn traffic(
        &self,
        service: &Service<'r>,
        port: &ServicePort,
        governing: &Governing<'r>,
        subset: Option<&'r Subset>,
        made: &mut Making<'_>,
    ) -> Traffic {
        let traffic = governing.port(port.number, subset);
        let pool = traffic.connection_pool;
        let tcp = pool.and_then(|pool| pool.tcp.as_ref());
        let http = pool.and_then(|pool| pool.http.as_ref());
        let upgrade = http.and_then(|http| http.h2_upgrade_policy.as_ref()).map(|policy| policy.value);
        let number = |value: Option<&taut_resources::At<u32>>| value.map_or(0, |value| value.value);
        let idle = http.and_then(|http| http.idle_timeout.as_ref()).map(|idle| idle.as_millis());
        let idle = idle.or_else(|| tcp?.idle_timeout.as_ref().map(|idle| idle.0.as_millis()));
        let follows_client = http.and_then(|http| http.use_client_protocol.as_ref()).is_some_and(|follow| follow.value);
        Traffic {
            protocol: match (protocol(port.protocol), upgrade) {
                (object::Protocol::Http | object::Protocol::Http2, _) if follows_client => object::Protocol::Auto,
                (object::Protocol::Http, Some(H2Upgrade::Upgrade)) => object::Protocol::Http2,
                (protocol, _) => protocol,
            },
            balancer: balancer(traffic.load_balancer),
            limits: Limits {
                connections: number(tcp.and_then(|tcp| tcp.max_connections.as_ref())),
                pending: number(http.and_then(|http| http.http1_max_pending_requests.as_ref())),
                requests: number(http.and_then(|http| http.http2_max_requests.as_ref())),
                retries: number(http.and_then(|http| http.max_retries.as_ref())),
                requests_per_connection: number(http.and_then(|http| http.max_requests_per_connection.as_ref())),
                budget: traffic.retry_budget.map(budget),
            },
            outlier: traffic.outlier_detection.map(outlier),
            tls: self.tls(service, port, &traffic, made),
            connect_timeout_ms: tcp
                .and_then(|tcp| tcp.connect_timeout.as_ref())
                .map_or(CONNECT_TIMEOUT_MS, |timeout| timeout.as_millis()),
            idle_timeout_ms: idle.unwrap_or(IDLE_TIMEOUT_MS),
            warmup: traffic.load_balancer.and_then(balancing::warmup),
            wire: pool.and_then(balancing::wire),
            locality: balancing::locality(service, &traffic, &self.mesh.settings),
        }
    }

    /// §9.3: what a rule says; or, if no rule says anything, mTLS to every endpoint that speaks it.
    fn tls(
        &self,
        service: &Service<'r>,
        port: &ServicePort,
        traffic: &PortTraffic<'_>,
        made: &mut Making<'_>,
    ) -> ClusterTls {
        if let Some(tls) = traffic.tls {
            // An empty `tls` means DISABLE (the trap of §4.1); modes that are not carried were refused.
            return match tls.mode.as_ref().map(|mode| mode.value) {
                Some(ClientTlsMode::IstioMutual) => ClusterTls::Mutual(self.identities(service)),
                Some(ClientTlsMode::Simple | ClientTlsMode::Mutual) => {
                    ClusterTls::Outside(self.outside(service, (tls, traffic.tls_of_policy), made))
                }
                _ => ClusterTls::Plain,
            };
        }
        if !self.mesh.settings.auto_mtls
            || service.external
            || namespace_mode(self.mesh, &service.namespace) == Mode::Disable
        {
            return ClusterTls::Plain;
        }
        // If every workload behind it takes plaintext alone on this port, so be it.
        let mut behind = self.mesh.workloads_behind(service).peekable();
        let all_plain = behind.peek().is_some()
            && behind.all(|workload| {
                let number = match &port.target {
                    Target::Number(number) => Some(*number),
                    Target::Name(name) => workload.port_named(name),
                };
                let modes = mode_of(self.mesh, &workload.namespace, &workload.labels);
                number.map_or(modes.workload, |number| modes.port(number)) == Mode::Disable
            });
        if all_plain { ClusterTls::Plain } else { ClusterTls::Auto(self.identities(service)) }
    }

    /// Who may answer for a service: the accounts of its workloads, in the trust domain and its aliases.
    fn identities(&self, service: &Service<'r>) -> Identities {
        let settings = &self.mesh.settings;
        let mut accounts: BTreeSet<(&Text, &Text)> = self
            .mesh
            .workloads_behind(service)
            .map(|workload| (&workload.namespace, &workload.service_account))
            .collect();
        if let EndpointKind::Selector(selector) = service.endpoints {
            for entry in self.mesh.entries_selected(&service.namespace, selector) {
                accounts.extend(entry.spec.service_account.as_ref().map(|it| (entry.namespace(), &it.value)));
            }
        }
        let mut accepted: BTreeSet<Text> = BTreeSet::new();
        if let taut_resources::Spec::ServiceEntry(entry) = &service.resource.spec {
            let listed = entry.endpoints.iter().filter_map(|endpoint| endpoint.service_account.as_ref());
            accounts.extend(listed.map(|account| (&service.namespace, &account.value)));
            accepted.extend(entry.subject_alt_names.iter().map(|name| name.value.clone()));
        }
        for domain in std::iter::once(&settings.trust_domain).chain(&settings.trust_domain_aliases) {
            for (namespace, name) in &accounts {
                accepted.insert(format!("spiffe://{domain}/ns/{namespace}/sa/{name}").into());
            }
        }
        Identities { accepted: accepted.into_iter().collect() }
    }

    /// §4.1: without names of its own, a rule takes those of the service entry.
    fn outside(
        &self,
        service: &Service<'_>,
        (tls, of_policy): (&ClientTls, bool),
        made: &mut Making<'_>,
    ) -> OutsideTls {
        let text =
            |field: &Option<taut_resources::At<Text>>| field.as_ref().map(|it| it.value.clone()).unwrap_or_default();
        let of_entry = match &service.resource.spec {
            taut_resources::Spec::ServiceEntry(entry) => entry.subject_alt_names.as_slice(),
            _ => &[],
        };
        let names = if tls.subject_alt_names.is_empty() { of_entry } else { &tls.subject_alt_names };
        let mutual = tls.mode.as_ref().is_some_and(|mode| mode.value == ClientTlsMode::Mutual);
        let credential = text(&tls.credential_name);
        // A Secret is one of the namespace of the gateway that calls. Sidecars have none, and then believe nobody (§4.1).
        let secret = Some(&credential)
            .filter(|name| !name.is_empty() && !name.starts_with(CONFIG_MAP))
            .map(|name| made.caller.map(|caller| secret_of(name, &caller.namespace)));
        let own = match &secret {
            Some(secret) => secret.clone().filter(|_| mutual),
            None => made.caller.and_then(|caller| caller.certificate.clone()).filter(|_| of_policy),
        };
        OutsideTls {
            own: own.and_then(|secret| self.own_certificate(&secret, made)),
            server_name: text(&tls.sni),
            names: names.iter().map(|name| name.value.clone()).collect(),
            roots: match text(&tls.ca_certificates) {
                _ if tls.insecure_skip_verify.is_some_and(|skip| skip.value) => Roots::Unchecked,
                _ if credential.starts_with(CONFIG_MAP) => self.roots(&credential),
                _ if secret.is_some() => {
                    let roots = secret.flatten().and_then(|secret| roots_beside(self.mesh, &secret).ok());
                    Roots::Pem(Blob(roots.unwrap_or_default().into()))
                }
                file if file.is_empty() || file == "system" => Roots::System,
                file => Roots::File(file),
            },
            certificate: if mutual { text(&tls.client_certificate) } else { Text::default() },
            key: if mutual { text(&tls.private_key) } else { Text::default() },
            revoked: text(&tls.ca_crl),
        }
    }

    /// Whose Secrets connections are secured with; none for sidecars, which have no Secrets.
    fn caller(&self, client: &Client<'_>) -> Option<Box<Caller>> {
        if client.gateway == "mesh" {
            return None;
        }
        let entrance = self.mesh.entrances.iter().find(|entrance| entrance.name == client.gateway);
        let certificate = entrance.and_then(|entrance| entrance.client_certificate.cloned());
        Some(Box::new(Caller { namespace: client.namespace.into(), certificate }))
    }

    fn own_certificate(&self, secret: &(Text, Text), made: &mut Making<'_>) -> Option<Link<Certificate>> {
        let pair = key_pair(self.mesh.secrets.get(secret)?.spec).ok()?;
        Some(made.objects.insert(&Certificate {
            name: format!("{}/{}", secret.0, secret.1).into(),
            chain: Blob(pair.chain.into()),
            key: Blob(pair.key.into()),
        }))
    }

    /// The roots in a ConfigMap. Where there are none, nobody is believed: that was refused before.
    fn roots(&self, name: &str) -> Roots {
        let (namespace, name) = name.trim_start_matches(CONFIG_MAP).split_once('/').unwrap_or_default();
        let mut maps = self.mesh.inventory.config_maps.iter();
        let map = maps.find(|map| *map.namespace() == namespace && *map.name() == name);
        let pem = map.and_then(|map| map.spec.data.get("ca.crt")).map_or("", |pem| pem.as_str());
        Roots::Pem(Blob(pem.as_bytes().into()))
    }
}

/// The name of roots in a ConfigMap, as policies of the Gateway API give it.
const CONFIG_MAP: &str = "configmap://";

pub(super) fn protocol(protocol: Protocol) -> object::Protocol {
    match protocol {
        Protocol::Auto => object::Protocol::Auto,
        Protocol::Http | Protocol::HttpProxy => object::Protocol::Http,
        Protocol::Http2 => object::Protocol::Http2,
        Protocol::Grpc | Protocol::GrpcWeb => object::Protocol::Grpc,
        Protocol::Https | Protocol::Tls => object::Protocol::Tls,
        Protocol::Tcp | Protocol::Mongo | Protocol::Redis | Protocol::Mysql | Protocol::Udp => object::Protocol::Tcp,
    }
}

fn labels(subset: &Subset) -> Vec<(Text, Text)> {
    let labels: BTreeSet<(Text, Text)> =
        subset.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.into_iter().collect()
}

fn alias(host: &Text, port: &ServicePort) -> Vec<DnsName> {
    vec![name(host.to_ascii_lowercase().into(), port.number, false)]
}

/// A name of which nothing else is said.
fn name(host: Text, port: u16, single: bool) -> DnsName {
    DnsName { host, port, weight: 1, locality: Text::default(), single }
}

fn endpoints(service: &Service<'_>, port: &ServicePort) -> EndpointSource {
    match service.endpoints {
        EndpointKind::Selector(selector) => {
            let labels: BTreeSet<(Text, Text)> =
                selector.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            EndpointSource::Workloads(WorkloadSelector {
                namespace: service.namespace.clone(),
                labels: labels.into_iter().collect(),
                port: match &port.target {
                    Target::Number(number) => TargetPort::Number(*number),
                    Target::Name(name) => TargetPort::Name(name.clone()),
                },
            })
        }
        EndpointKind::Declared => EndpointSource::Declared(ServiceSelector {
            host: service.host.clone(),
            labels: Vec::new(),
            port: TargetPort::Number(port.number),
        }),
        EndpointKind::Original => match port.target {
            Target::Number(number) if number != port.number => EndpointSource::OriginalAt(number),
            _ => EndpointSource::Original,
        },
        EndpointKind::Alias(host) => EndpointSource::Dns(alias(host, port)),
        EndpointKind::Dns(entry) => EndpointSource::Dns(names(service, entry, port, None)),
    }
}

/// The names that a service entry looks up: its endpoints', or its own.
fn names(
    service: &Service<'_>,
    entry: &taut_resources::ServiceEntry,
    port: &ServicePort,
    subset: Option<&Subset>,
) -> Vec<DnsName> {
    let target = match port.target {
        Target::Number(number) => number,
        Target::Name(_) => port.number,
    };
    // §6.2: with `DNS_ROUND_ROBIN`, the first address of the newest answer is where new connections go.
    let single = entry.resolution.as_ref().is_some_and(|it| it.value == Resolution::DnsRoundRobin);
    if entry.endpoints.is_empty() {
        return vec![name(service.host.clone(), target, single)];
    }
    let in_subset = |endpoint: &&taut_resources::WorkloadEntry| {
        subset.is_none_or(|subset| subset.labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value)))
    };
    let of = |endpoint: &taut_resources::WorkloadEntry| {
        let own = endpoint.ports.0.iter().find(|(name, _)| name.value == port.name).map(|(_, number)| number.0);
        Some(DnsName {
            host: endpoint.address.as_ref()?.to_ascii_lowercase().into(),
            port: own.unwrap_or(target),
            weight: endpoint.weight.as_ref().map_or(1, |weight| weight.value.max(1)),
            locality: endpoint.locality.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
            single,
        })
    };
    let mut names: Vec<DnsName> = entry.endpoints.iter().filter(in_subset).filter_map(of).collect();
    names.sort();
    names
}

/// §4.1: 20 percent, and always three.
fn budget(budget: &RetryBudget) -> object::RetryBudget {
    let percent = budget.percent.map_or(20.0, |percent| percent.value);
    object::RetryBudget {
        share: (percent * 10_000.0).round() as u32,
        least: budget.min_retry_concurrency.map_or(3, |least| if least.value == 0 { 3 } else { least.value }),
        interval_ms: budget.budget_interval.map_or(0, |interval| interval.0.as_millis()),
    }
}

fn balancer(load_balancer: Option<&LoadBalancer>) -> Balancer {
    if let Some(hash) = load_balancer.and_then(|load_balancer| load_balancer.consistent_hash.as_ref()) {
        return balancing::hashing(hash).map_or(Balancer::LeastRequest, Balancer::Hash);
    }
    match load_balancer.and_then(|load_balancer| load_balancer.simple.as_ref()).map(|simple| simple.value) {
        Some(SimpleBalancer::RoundRobin) => Balancer::RoundRobin,
        Some(SimpleBalancer::Random) => Balancer::Random,
        _ => Balancer::LeastRequest,
    }
}

fn outlier(outlier: &OutlierDetection) -> Outlier {
    let millis = |duration: &Option<taut_resources::At<taut_resources::Duration>>, otherwise| {
        duration.as_ref().map_or(otherwise, |duration| duration.as_millis())
    };
    let count =
        |value: &Option<taut_resources::At<u32>>, otherwise| value.as_ref().map_or(otherwise, |value| value.value);
    let percent = |value: &Option<taut_resources::At<i32>>| {
        value.as_ref().and_then(|value| u8::try_from(value.value).ok()).unwrap_or(0)
    };
    Outlier {
        consecutive_errors: count(&outlier.consecutive_5xx_errors, 5),
        consecutive_gateway_errors: count(&outlier.consecutive_gateway_errors, 0),
        split: outlier.split_external_local_origin_errors.as_ref().is_some_and(|split| split.value),
        consecutive_local_failures: count(&outlier.consecutive_local_origin_failures, 5),
        interval_ms: millis(&outlier.interval, 10_000),
        base_ejection_ms: millis(&outlier.base_ejection_time, 30_000),
        max_ejection_percent: match percent(&outlier.max_ejection_percent) {
            0 => 10, // 0 means: not said
            percent => percent,
        },
        panic_percent: percent(&outlier.min_health_percent),
        statuses: {
            let listed = outlier.outlier_detection_http_error_codes.iter();
            let statuses: BTreeSet<u16> = listed.filter_map(|status| u16::try_from(status.value).ok()).collect();
            statuses.into_iter().collect()
        },
    }
}
