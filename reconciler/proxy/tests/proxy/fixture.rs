//! A mesh for tests: snapshots made of literals, credentials, and proxies that run them.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use taut_delivery::{Refused, Runner};
use taut_identity::{Credentials, LiveIdentity};
use taut_proxy::{Bind, DrainConfig, Patience, Prepared, Proxy, ProxyConfig, ProxyError, Refresh, Role};
use taut_snapshot::endpoint::EndpointPort;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::*;
use taut_snapshot::{Digest, Endpoint, EndpointSet, Objects, Owner, Text};

pub(crate) const PORT: u16 = 8080;
pub(crate) const ORDERS: &str = "orders.shop.svc.cluster.local";

pub(crate) fn id(account: &str) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/{account}")
}

/// Whoever issues identities in a test.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub(crate) fn new() -> Issuer {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Issuer(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn identity(&self, account: &str) -> LiveIdentity {
        LiveIdentity::new(self.credentials(account))
    }

    pub(crate) fn credentials(&self, account: &str) -> Credentials {
        self.certify(&id(account))
    }

    /// Credentials for an id of any trust domain.
    pub(crate) fn certify(&self, id: &str) -> Credentials {
        self.certify_until(id, SystemTime::now() + Duration::from_secs(3_600))
    }

    /// The same, which count until then.
    pub(crate) fn certify_until(&self, id: &str, end: SystemTime) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = (SystemTime::now() - Duration::from_secs(3_600)).into();
        params.not_after = end.into();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let (leaf, root) = (leaf.pem(), self.0.pem());
        let credentials = Credentials::from_pem(leaf.as_bytes(), key.serialize_pem().as_bytes(), root.as_bytes());
        credentials.unwrap()
    }
}

/// A cluster without limits, over plaintext.
pub(crate) fn cluster(subset: &str) -> Cluster {
    Cluster {
        host: ORDERS.into(),
        port: PORT,
        subset: subset.into(),
        namespace: "shop".into(),
        protocol: Protocol::Http,
        endpoints: EndpointSource::Workloads(WorkloadSelector {
            namespace: "shop".into(),
            labels: if subset.is_empty() {
                vec![("app".into(), "orders".into())]
            } else {
                vec![("app".into(), "orders".into()), ("version".into(), subset.into())]
            },
            port: TargetPort::Number(PORT),
        }),
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
        connect_timeout_ms: 2_000,
        idle_timeout_ms: 60_000,
        warmup: None,
        wire: None,
        locality: None,
        own: None,
    }
}

pub(crate) fn auto_mtls(accounts: &[&str]) -> ClusterTls {
    ClusterTls::Auto(Identities { accepted: accounts.iter().map(|account| id(account).into()).collect() })
}

/// An endpoint of the service `orders`.
pub(crate) fn endpoint(name: &str, version: &str, address: SocketAddr) -> Endpoint {
    Endpoint {
        id: name.into(),
        owner: Owner::Workload("shop".into()),
        labels: vec![("app".into(), "orders".into()), ("version".into(), version.into())],
        address: address.ip().to_string().into(),
        ports: vec![EndpointPort { number: PORT, name: "http".into(), dial: address.port(), plaintext: false }],
        identity: "".into(),
        weight: 1,
        draining: false,
        locality: "".into(),
    }
}

/// The set that has this cluster alone.
pub(crate) fn set(cluster: &Cluster) -> ClusterSet {
    let it = cluster.clone();
    let subset = Subset { name: it.subset, labels: vec![], names: vec![], traffic: None };
    ClusterSet {
        host: it.host,
        port: it.port,
        namespace: it.namespace,
        endpoints: it.endpoints,
        traffic: Traffic {
            protocol: it.protocol,
            balancer: it.balancer,
            limits: it.limits,
            outlier: it.outlier,
            tls: it.tls,
            connect_timeout_ms: it.connect_timeout_ms,
            idle_timeout_ms: it.idle_timeout_ms,
            warmup: it.warmup,
            wire: it.wire,
            locality: it.locality,
        },
        subsets: if subset.name.is_empty() { vec![] } else { vec![subset] },
    }
}

/// Until its table is made, a rule knows a set by the beginning of its digest.
fn mark(set: Link<ClusterSet>) -> u32 {
    u32::from_le_bytes([set.digest.0[0], set.digest.0[1], set.digest.0[2], set.digest.0[3]])
}

/// The table of some rules, whose sets are among the objects.
pub(crate) fn table(mut rules: Vec<Rule>, objects: &Objects) -> RouteTable {
    let digests = objects.iter().map(|(digest, _)| digest);
    let sets = digests.filter(|digest| matches!(objects.read_any(*digest), Ok(Object::ClusterSet(_))));
    let clusters: Vec<Link<ClusterSet>> = sets.map(Link::to).collect();
    for rule in &mut rules {
        let Action::Forward(forward) = &mut rule.action else { continue };
        for to in &mut forward.destinations {
            if let Target::Cluster(to) = &mut to.target {
                let at = clusters.iter().position(|set| mark(*set) == to.set).unwrap();
                to.set = u32::try_from(at).unwrap();
            }
        }
    }
    RouteTable { rules, clusters }
}

/// A rule that sends everything to some clusters, by weight.
pub(crate) fn rule(destinations: &[(&Cluster, u32)], objects: &mut Objects) -> Rule {
    let weighted = |(cluster, weight): &(&Cluster, u32), objects: &mut Objects| Weighted {
        target: Target::Cluster(ClusterRef {
            set: mark(objects.insert(&set(cluster))),
            subset: cluster.subset.clone(),
        }),
        weight: *weight,
        request_headers: None,
        response_headers: None,
        host: "".into(),
    };
    let forward = Forward {
        destinations: destinations.iter().map(|to| weighted(to, objects)).collect(),
        timeout_ms: 0,
        retry: None,
        path: None,
        host: "".into(),
        mirrors: vec![],
        missing_status: 0,
    };
    Rule {
        name: "".into(),
        alternatives: vec![],
        action: Action::Forward(forward),
        request_headers: None,
        response_headers: None,
        fault: None,
        cors: None,
    }
}

pub(crate) fn forward(rule: &mut Rule) -> &mut Forward {
    match &mut rule.action {
        Action::Forward(forward) => forward,
        _ => panic!("the rule does not forward"),
    }
}

pub(crate) fn alternative() -> Alternative {
    Alternative {
        name: "".into(),
        path: None,
        ignore_case: false,
        method: None,
        scheme: None,
        authority: None,
        headers: vec![],
        without_headers: vec![],
        query: vec![],
    }
}

pub(crate) fn header_is(name: &str, value: &str) -> Alternative {
    let value = Matcher::Exact(value.into());
    Alternative { headers: vec![NamedMatcher { name: name.into(), value }], ..alternative() }
}

pub(crate) fn path_prefix(prefix: &str) -> Alternative {
    Alternative { path: Some(Matcher::Prefix(prefix.into())), ..alternative() }
}

pub(crate) fn retry(on: &[RetryOn], attempts: u32) -> Retry {
    Retry { attempts, on: on.to_vec(), statuses: vec![], per_try_timeout_ms: 0, backoff_ms: 1, any_host: false }
}

/// The policy that lets only these service accounts in.
pub(crate) fn only(accounts: &[&str]) -> PolicySet {
    let test = |account: &&str| Test::Principal(TextTest::Exact(format!("cluster.local/ns/shop/sa/{account}").into()));
    let clause = Clause { negated: false, any: accounts.iter().map(test).collect() };
    let rule = AuthzRule { from: vec![Conjunction { clauses: vec![clause] }], to: vec![], when: vec![] };
    let policy = Policy { name: "shop/only".into(), rules: vec![rule], dry_run: false };
    PolicySet { deny: vec![], allow: vec![policy], custom: vec![], audit: vec![], authorizers: vec![] }
}

/// What a snapshot has for one workload.
pub(crate) struct Case {
    pub(crate) objects: Objects,
    pub(crate) workload: &'static str,
    pub(crate) labels: Vec<(Text, Text)>,
    pub(crate) gateway: bool,
    pub(crate) services: Vec<Service>,
    pub(crate) inbound: Vec<Inbound>,
    pub(crate) policies: Option<PolicySet>,
    pub(crate) listeners: Vec<Listener>,
    /// Other names of the trust domain.
    pub(crate) aliases: Vec<Text>,
    /// Makes snapshots differ that are otherwise the same.
    pub(crate) salt: u64,
}

impl Case {
    pub(crate) fn new(workload: &'static str) -> Case {
        Case {
            objects: Objects::default(),
            workload,
            labels: vec![("app".into(), workload.into()), ("version".into(), "v1".into())],
            gateway: false,
            services: vec![],
            inbound: vec![],
            policies: None,
            listeners: vec![],
            aliases: vec![],
            salt: 0,
        }
    }

    /// The service `orders` with these rules; without any, everything goes to all of its endpoints.
    pub(crate) fn orders(cluster: &Cluster, rules: Vec<Rule>, objects: Objects) -> Case {
        let mut case = Case { objects, ..Case::new("frontend") };
        let clusters = Some(case.objects.insert(&set(cluster)));
        let table = table(rules, &case.objects);
        let routes = (!table.rules.is_empty()).then(|| case.objects.insert(&table));
        let port = ServicePort {
            number: cluster.port,
            protocol: cluster.protocol.clone(),
            routes,
            clusters,
            connections: None,
        };
        case.services.push(Service {
            host: cluster.host.clone(),
            namespace: "shop".into(),
            kubernetes: true,
            addresses: vec![],
            headless: false,
            ports: vec![port],
            external: false,
            created: Text::default(),
            alias: false,
            ranges: vec![],
            aliases: vec![],
            original: false,
        });
        case
    }

    /// The workload `orders` with one port of its own.
    pub(crate) fn serving(mtls: MtlsMode, policies: Option<PolicySet>) -> Case {
        let mut case = Case::new("orders");
        case.policies = policies;
        case.inbound.push(Inbound {
            port: PORT,
            name: "http".into(),
            protocol: Protocol::Http,
            mtls,
            service: ORDERS.into(),
            service_namespace: "shop".into(),
            endpoint: "".into(),
        });
        case
    }

    pub(crate) fn salted(mut self, salt: u64) -> Case {
        self.salt = salt;
        self
    }

    /// The snapshot's id and objects.
    pub(crate) fn snapshot(mut self) -> (Digest, Objects) {
        let objects = &mut self.objects;
        let mesh = objects.insert(&Mesh {
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: self.aliases,
            root_namespace: "istio-system".into(),
            domain_suffix: "cluster.local".into(),
            registry_only: false,
            path_normalization: PathNormalization::Base,
            detection_timeout_ms: 0,
            retry: None,
        });
        let services = self.services.iter().map(|service| (service.host.clone(), objects.insert(service).digest));
        let services = services.collect();
        let layer = Layer { services: objects.insert_map(services) };
        let mut labels = self.labels;
        if self.salt != 0 {
            labels.push(("salt".into(), self.salt.to_string().into()));
        }
        labels.sort();
        let view = View {
            egress: None,
            egress_ports: vec![],
            port_modes: vec![],
            namespace: "shop".into(),
            name: format!("{}-v1", self.workload).into(),
            labels,
            service_account: self.workload.into(),
            gateway: self.gateway,
            mesh,
            layers: vec![objects.insert(&layer)],
            has_base: false,
            inbound: self.inbound,
            other_ports: MtlsMode::Permissive,
            policies: self.policies.map(|policies| objects.insert(&policies)),
            listeners: self.listeners.iter().map(|listener| objects.insert(listener)).collect(),
            tokens: None,
            telemetry: None,
        };
        let view = objects.insert(&view).digest;
        let views = objects.insert_map([(format!("shop/{}", self.workload).into(), view)].into());
        let authority = objects.insert(&Authority { trust_domain: "cluster.local".into(), identities: vec![] });
        let root = objects.insert(&Root { mesh, views, authority, base: None });
        (root.digest, self.objects)
    }
}

/// A proxy under test.
pub(crate) struct Running {
    pub(crate) proxy: Arc<Proxy>,
    generation: AtomicU64,
}

impl Running {
    /// Starts a proxy of a workload, with these binds on free ports of this machine.
    pub(crate) fn start(workload: &str, roles: &[Role], identity: LiveIdentity) -> Running {
        Running::start_with(config(workload, roles), identity)
    }

    pub(crate) fn start_with(config: ProxyConfig, identity: LiveIdentity) -> Running {
        Running::try_start(config, identity).unwrap()
    }

    pub(crate) fn try_start(config: ProxyConfig, identity: LiveIdentity) -> Result<Running, ProxyError> {
        Ok(Running { proxy: Proxy::start(config, identity)?, generation: AtomicU64::new(0) })
    }

    /// A sidecar whose application calls `orders`.
    pub(crate) fn calling(issuer: &Issuer) -> Running {
        Running::start("frontend", &[Role::Outbound { port: PORT }], issuer.identity("frontend"))
    }

    /// A sidecar in front of an application.
    pub(crate) fn serving(application: SocketAddr, issuer: &Issuer) -> Running {
        Running::start("orders", &[Role::Inbound { port: PORT, application }], issuer.identity("orders"))
    }

    pub(crate) fn prepare(&self, case: Case) -> Result<(Digest, Prepared), Refused> {
        let (snapshot, objects) = case.snapshot();
        Ok((snapshot, tokio::task::block_in_place(|| self.proxy.prepare(snapshot, &objects))?))
    }

    /// Activates what some resources compile to.
    pub(crate) fn activate_mesh(&self, yaml: &str) -> Digest {
        let (snapshot, objects) = crate::mesh::compiled(yaml);
        let prepared = tokio::task::block_in_place(|| self.proxy.prepare(snapshot, &objects)).unwrap();
        self.run((snapshot, prepared))
    }

    pub(crate) fn activate(&self, case: Case) -> Digest {
        self.run(self.prepare(case).unwrap())
    }

    /// Activates what was prepared.
    pub(crate) fn run(&self, (snapshot, prepared): (Digest, Prepared)) -> Digest {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.proxy.activate(prepared, snapshot, generation);
        snapshot
    }

    pub(crate) fn endpoints(&self, mut endpoints: Vec<Endpoint>) {
        endpoints.sort_by(|a, b| a.id.cmp(&b.id));
        self.proxy.endpoints(&EndpointSet { endpoints });
    }

    /// Where its first bind listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.addresses().binds[0].address
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.proxy.addresses().admin
    }
}

pub(crate) fn config(workload: &str, roles: &[Role]) -> ProxyConfig {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    ProxyConfig {
        name: format!("{workload}-1"),
        workload: format!("shop/{workload}"),
        binds: roles.iter().map(|role| Bind { role: *role, address: free }).collect(),
        admin: free,
        advertise: None,
        workers: NonZeroUsize::new(2).unwrap(),
        drain: DrainConfig { notice: Duration::ZERO, deadline: Duration::from_secs(10) },
        trusted_proxies: 0,
        locality: None,
        access_log: None,
        patience: Patience::USUAL,
        refresh: Refresh::USUAL,
        nameservers: Vec::new(),
    }
}

/// The link that an object has in any snapshot.
pub(crate) fn link_of<T: ObjectKind>(object: &T) -> Link<T> {
    Objects::default().insert(object)
}

/// A log that a test reads.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
