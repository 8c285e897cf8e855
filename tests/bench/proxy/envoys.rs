//! The same chain of two Envoys, as Istio would configure them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use harness::Envoy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use super::load::{Protocol, Target};

pub(crate) struct Envoys {
    client: Envoy,
    /// None where memory alone is asked for.
    server: Option<Envoy>,
}

/// Certificates of a mesh: a key and what is signed for it, for the client and for the server.
struct Certificates {
    root: String,
    pairs: [(String, String); 2],
}

const IDS: [&str; 2] = ["spiffe://cluster.local/ns/shop/sa/frontend", "spiffe://cluster.local/ns/shop/sa/orders"];

fn certificates() -> Certificates {
    let mut params = CertificateParams::default();
    // A leaf of the same name would be taken for a root of its own.
    params.distinguished_name.push(DnType::CommonName, "root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = || KeyPair::generate().expect("a key can be made");
    let issuer = CertifiedIssuer::self_signed(params, key()).expect("a root can be made");
    let pairs = IDS.map(|id| {
        let key = key();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().expect("an id is ASCII"))];
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(3_600)).into();
        params.not_after = (now + Duration::from_secs(36_000)).into();
        (params.signed_by(&key, &issuer).expect("it can be signed").pem(), key.serialize_pem())
    });
    Certificates { root: issuer.pem(), pairs }
}

fn typed(kind: &str, mut value: Value) -> Value {
    value["@type"] = format!("type.googleapis.com/envoy.extensions.{kind}").into();
    value
}

impl Certificates {
    /// The context of TLS of one end, which wants the other one.
    fn context(&self, own: usize, protocols: &[&str]) -> Value {
        let (chain, key) = &self.pairs[own];
        let others = json!([{"san_type": "URI", "matcher": {"exact": IDS[1 - own]}}]);
        json!({
            "alpn_protocols": protocols,
            "tls_certificates": [{"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}],
            "validation_context": {"trusted_ca": {"inline_string": self.root}, "match_typed_subject_alt_names": others},
        })
    }
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn listener(name: &str, filters: &[Value], hosts: &[Value], tls: Option<Value>) -> Value {
    let mut all = filters.to_vec();
    for (filter, kind) in [("fault", "fault.v3.HTTPFault"), ("cors", "cors.v3.Cors"), ("router", "router.v3.Router")] {
        let config = typed(&format!("filters.http.{kind}"), json!({}));
        all.push(json!({"name": format!("envoy.filters.http.{filter}"), "typed_config": config}));
    }
    let http = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({"stat_prefix": name, "http_filters": all, "normalize_path": true,
            "route_config": {"name": name, "virtual_hosts": hosts, "ignore_port_in_host_matching": true}}),
    );
    let mut chain =
        json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": http}]});
    if let Some(tls) = tls {
        chain["transport_socket"] = tls;
    }
    json!({"name": name, "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))), "filter_chains": [chain]})
}

fn cluster(name: &str, to: SocketAddr, protocol: Protocol, tls: Option<Value>) -> Value {
    let explicit = match protocol {
        Protocol::Http1 => json!({"http_protocol_options": {}}),
        Protocol::Http2 => json!({"http2_protocol_options": {}}),
    };
    let options = typed("upstreams.http.v3.HttpProtocolOptions", json!({"explicit_http_config": explicit}));
    let mut cluster = json!({
        "name": name, "type": "STATIC", "connect_timeout": "10s", "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{
            "max_connections": u32::MAX, "max_pending_requests": u32::MAX, "max_requests": u32::MAX, "max_retries": u32::MAX}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(to)}}]}]},
    });
    if let Some(tls) = tls {
        cluster["transport_socket"] = tls;
    }
    cluster
}

fn host(domains: &[&str], routes: &[Value]) -> Value {
    json!({"name": domains[0], "domains": domains, "routes": routes, "include_request_attempt_count": true})
}

fn route(prefix: &str, cluster: &str) -> Value {
    json!({"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s", "retry_policy": {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2,
        "host_selection_retry_max_attempts": 5}}})
}

fn start(listeners: &[Value], clusters: &[Value]) -> Envoy {
    let admin = json!({"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))});
    Envoy::start(&json!({"admin": admin, "static_resources": {"listeners": listeners, "clusters": clusters}}))
}

const PROTOCOLS: [(Protocol, &str, &str); 2] =
    [(Protocol::Http1, "http", "http/1.1"), (Protocol::Http2, "http2", "h2")];

impl Envoys {
    pub(crate) fn start(application: SocketAddr) -> Envoys {
        let certificates = certificates();
        let tls = |kind: &str, context: Value| {
            json!({"name": "envoy.transport_sockets.tls",
                "typed_config": typed(&format!("transport_sockets.tls.v3.{kind}"), context)})
        };
        let policy = json!({"permissions": [{"header": {"name": ":method", "string_match": {"exact": "GET"}}}],
            "principals": [{"authenticated": {"principal_name": {"exact": IDS[0]}}}]});
        let rbac = json!({"name": "envoy.filters.http.rbac", "typed_config":
            typed("filters.http.rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": {"orders": policy}}}))});
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for (protocol, name, alpn) in PROTOCOLS {
            let context =
                json!({"common_tls_context": certificates.context(1, &[alpn]), "require_client_certificate": true});
            let hosts = [host(&["*"], &[route("/", name)])];
            listeners.push(listener(
                name,
                std::slice::from_ref(&rbac),
                &hosts,
                Some(tls("DownstreamTlsContext", context)),
            ));
            clusters.push(cluster(name, application, protocol, None));
        }
        let server = start(&listeners, &clusters);
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for (protocol, name, alpn) in PROTOCOLS {
            let context = json!({"common_tls_context": certificates.context(0, &[alpn])});
            listeners.push(listener(name, &[], &[host(&["orders"], &[route("/", name)])], None));
            clusters.push(cluster(name, server.listeners[name], protocol, Some(tls("UpstreamTlsContext", context))));
        }
        Envoys { client: start(&listeners, &clusters), server: Some(server) }
    }

    /// A client's proxy that knows so many services, each with so many routes.
    pub(crate) fn with_routes(application: SocketAddr, services: usize, routes: usize) -> Envoys {
        let names: Vec<String> = (0..services).map(|number| format!("svc-{number}")).collect();
        let hosts: Vec<Value> = names
            .iter()
            .map(|name| {
                let domains = ["", ".shop", ".shop.svc", ".shop.svc.cluster.local"].map(|rest| format!("{name}{rest}"));
                let routes: Vec<Value> = (0..routes).map(|route_| route(&format!("/route-{route_}/"), name)).collect();
                host(&domains.each_ref().map(String::as_str), &routes)
            })
            .collect();
        let clusters: Vec<Value> = names.iter().map(|name| cluster(name, application, Protocol::Http1, None)).collect();
        Envoys { client: start(&[listener("outbound", &[], &hosts, None)], &clusters), server: None }
    }

    /// The client's proxy first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        std::iter::once(&self.client).chain(&self.server).map(Envoy::id).collect()
    }

    pub(crate) fn target(&self, protocol: Protocol) -> Target {
        let name = if protocol == Protocol::Http1 { "http" } else { "http2" };
        Target { address: self.client.listeners[name], host: "orders", path: "/".to_owned() }
    }
}
