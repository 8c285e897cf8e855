//! Small meshes, made without a compiler.

use std::collections::BTreeMap;

use taut_snapshot::endpoint::EndpointPort;
use taut_snapshot::object::{
    Authority, Balancer, ClusterSet, ClusterTls, EndpointSource, Layer, Limits, Mesh, MtlsMode, PathNormalization,
    Protocol, Root, Service, ServicePort, TargetPort, Traffic, View, WorkloadSelector,
};
use taut_snapshot::{Endpoint, Objects, Owner, Snapshot, Text};

/// A mesh of these workloads, `namespace/name` each: every one is a service on port 80, runs as a service account of
/// its own name, and may call all others. With another `mark` the first service's cluster is another, and so are all
/// views, but most objects are the same.
#[must_use]
pub fn mesh(workloads: &[&str], mark: u32) -> Snapshot {
    let mut objects = Objects::default();
    let split = |workload: &&str| {
        let (namespace, name) = workload.split_once('/').expect("a workload is written namespace/name");
        (Text::new(namespace), Text::new(name))
    };
    let mut services = BTreeMap::new();
    for (at, (namespace, name)) in workloads.iter().map(split).enumerate() {
        let host = Text::new(format!("{name}.{namespace}.svc.cluster.local"));
        let connections = if at == 0 { mark } else { 0 };
        let cluster = objects.insert(&cluster(&host, &namespace, &name, connections));
        let port = ServicePort {
            number: 80,
            protocol: Protocol::Http,
            routes: None,
            clusters: Some(cluster),
            connections: None,
        };
        let service = Service {
            host: host.clone(),
            namespace,
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
        };
        services.insert(host, objects.insert(&service).digest);
    }
    let services = objects.insert_map(services);
    let layer = objects.insert(&Layer { services });
    let mesh = objects.insert(&Mesh {
        trust_domain: "cluster.local".into(),
        trust_domain_aliases: vec![],
        root_namespace: "istio-system".into(),
        domain_suffix: "cluster.local".into(),
        registry_only: false,
        path_normalization: PathNormalization::Base,
        detection_timeout_ms: 0,
        retry: None,
    });
    let mut views = BTreeMap::new();
    for (namespace, name) in workloads.iter().map(split) {
        let view = View {
            labels: vec![("app".into(), name.clone())],
            service_account: name.clone(),
            gateway: false,
            mesh,
            layers: vec![],
            has_base: true,
            inbound: vec![],
            other_ports: MtlsMode::Permissive,
            policies: None,
            listeners: vec![],
            tokens: None,
            telemetry: None,
            egress: None,
            egress_ports: vec![],
            port_modes: vec![],
            namespace: namespace.clone(),
            name: name.clone(),
        };
        views.insert(Text::new(format!("{namespace}/{name}")), objects.insert(&view).digest);
    }
    let views = objects.insert_map(views);
    let mut identities: Vec<Text> = workloads.iter().map(Text::new).collect();
    identities.sort();
    let authority = objects.insert(&Authority { trust_domain: "cluster.local".into(), identities });
    let id = objects.insert(&Root { mesh, views, authority, base: Some(layer) }).digest;
    Snapshot { id, objects }
}

fn cluster(host: &Text, namespace: &Text, app: &Text, connections: u32) -> ClusterSet {
    let select = WorkloadSelector {
        namespace: namespace.clone(),
        labels: vec![("app".into(), app.clone())],
        port: TargetPort::Number(8080),
    };
    let traffic = Traffic {
        protocol: Protocol::Http,
        balancer: Balancer::LeastRequest,
        limits: Limits { connections, pending: 0, requests: 0, retries: 0, requests_per_connection: 0, budget: None },
        outlier: None,
        tls: ClusterTls::Plain,
        connect_timeout_ms: 1000,
        idle_timeout_ms: 0,
        warmup: None,
        wire: None,
        locality: None,
    };
    ClusterSet {
        host: host.clone(),
        port: 80,
        namespace: namespace.clone(),
        endpoints: EndpointSource::Workloads(select),
        traffic,
        subsets: Vec::new(),
    }
}

/// An endpoint of a workload, on 10.0.0.`host` and port 8080.
#[must_use]
pub fn endpoint(id: &str, namespace: &str, app: &str, host: u8) -> Endpoint {
    Endpoint {
        id: id.into(),
        owner: Owner::Workload(namespace.into()),
        labels: vec![("app".into(), app.into())],
        address: Text::new(format!("10.0.0.{host}")),
        ports: vec![EndpointPort { number: 8080, name: "http".into(), dial: 8080, plaintext: false }],
        identity: Text::new(format!("spiffe://cluster.local/ns/{namespace}/sa/{app}")),
        weight: 0,
        draining: false,
        locality: Default::default(),
    }
}
