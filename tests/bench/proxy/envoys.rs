//! The same chain of two Envoys, as Istio would configure them.
//!
//! What Istio's own filters do is done by stock ones, each time by less than Istio's do, so that nothing is added that
//! Istio's users do not pay for:
//! - Its metrics filter counts a request and notes its duration and sizes under some 25 labels, most of them looked up or
//!   copied for each request. Envoy's logger of statistics notes the same four metrics at both ends, under the labels that
//!   differ from request to request or come from the connection. The names of workloads, which are the same here for all
//!   requests, are left out.
//! - Its metadata exchange writes two headers each way, and takes away and decodes the other end's. Here they are written and
//!   taken away.
//! - Its bootstrap leaves out the statistics of clusters and listeners that nobody reads. So does this one.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use harness::Envoy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use super::load::{Protocol, Target};
use super::tauts::MANY;

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

impl Certificates {
    /// TLS as the server's proxy ends it.
    fn ends(&self, protocols: &[&str]) -> Value {
        let context = json!({"common_tls_context": self.context(1, protocols), "require_client_certificate": true});
        transport("DownstreamTlsContext", context)
    }

    /// TLS as the client's proxy begins it.
    fn begins(&self, protocols: &[&str]) -> Value {
        transport("UpstreamTlsContext", json!({"common_tls_context": self.context(0, protocols)}))
    }
}

fn transport(kind: &str, context: Value) -> Value {
    json!({"name": "envoy.transport_sockets.tls",
        "typed_config": typed(&format!("transport_sockets.tls.v3.{kind}"), context)})
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// Which end of a call a proxy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

/// What the proxies of a mesh tell each other about themselves: as long as Taut's, and as Istio's at their shortest.
const METADATA_BYTES: usize = 200;

/// The four standard metrics (see above).
fn metrics(end: End) -> Value {
    let principals = match end {
        End::Client => ["%UPSTREAM_LOCAL_URI_SAN%", "%UPSTREAM_PEER_URI_SAN%"],
        End::Server => ["%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_LOCAL_URI_SAN%"],
    };
    let labels = [
        ("source_principal", principals[0]),
        ("destination_principal", principals[1]),
        ("response_code", "%RESPONSE_CODE%"),
        ("grpc_response_status", "%GRPC_STATUS_NUMBER%"),
        ("response_flags", "%RESPONSE_FLAGS%"),
    ];
    let tags = labels.map(|(name, value)| json!({"name": name, "value_format": value}));
    let stat = |name: &str| json!({"name": name, "tags": tags});
    let histogram =
        |name: &str, unit: &str, value: &str| json!({"stat": stat(name), "unit": unit, "value_format": value});
    let config = json!({
        "stat_prefix": "istio",
        "counters": [{"stat": stat("istio_requests_total"), "value_fixed": 1}],
        "histograms": [
            histogram("istio_request_duration_milliseconds", "Milliseconds", "%DURATION%"),
            histogram("istio_request_bytes", "Bytes", "%BYTES_RECEIVED%"),
            histogram("istio_response_bytes", "Bytes", "%BYTES_SENT%"),
        ],
    });
    json!({"name": "envoy.access_loggers.stats", "typed_config": typed("access_loggers.stats.v3.Config", config)})
}

/// Routes, and the introductions that go with them.
fn routes(name: &str, hosts: &[Value], end: End) -> Value {
    let value = "A".repeat(METADATA_BYTES);
    let own = [("x-envoy-peer-metadata-id", name), ("x-envoy-peer-metadata", value.as_str())];
    let written = own.map(|(name, value)| json!({"header": {"key": name, "value": value}}));
    let taken = own.map(|(name, _)| name);
    let mut routes = json!({"name": name, "virtual_hosts": hosts, "ignore_port_in_host_matching": true});
    let (write, take) = match end {
        End::Client => ("request_headers_to_add", "response_headers_to_remove"),
        End::Server => ("response_headers_to_add", "request_headers_to_remove"),
    };
    (routes[write], routes[take]) = (json!(written), json!(taken));
    routes
}

fn listener(name: &str, end: End, filters: &[Value], hosts: &[Value], tls: Option<Value>) -> Value {
    let mut all = filters.to_vec();
    let grpc = typed("filters.http.grpc_stats.v3.FilterConfig", json!({"emit_filter_state": true}));
    all.push(json!({"name": "envoy.filters.http.grpc_stats", "typed_config": grpc}));
    for (filter, kind) in [("fault", "fault.v3.HTTPFault"), ("cors", "cors.v3.Cors"), ("router", "router.v3.Router")] {
        let config = typed(&format!("filters.http.{kind}"), json!({}));
        all.push(json!({"name": format!("envoy.filters.http.{filter}"), "typed_config": config}));
    }
    let mut http = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({"stat_prefix": name, "http_filters": all, "normalize_path": true, "access_log": [metrics(end)],
            "route_config": routes(name, hosts, end)}),
    );
    if end == End::Server {
        http["forward_client_cert_details"] = "APPEND_FORWARD".into();
        http["set_current_client_cert_details"] = json!({"uri": true});
    }
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

/// So many routes to one cluster.
fn numbered(routes: usize, cluster: &str) -> Vec<Value> {
    (0..routes).map(|number| route(&format!("/route-{number}/"), cluster)).collect()
}

fn start(listeners: &[Value], clusters: &[Value]) -> Envoy {
    let admin = json!({"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))});
    let read = ["istio", "cluster_manager", "listener_manager", "server"].map(|prefix| json!({"prefix": prefix}));
    Envoy::start(&json!({"admin": admin, "static_resources": {"listeners": listeners, "clusters": clusters},
        "stats_config": {"use_all_default_tags": false, "stats_matcher": {"inclusion_list": {"patterns": read}}}}))
}

const PROTOCOLS: [(Protocol, &str, &str); 2] =
    [(Protocol::Http1, "http", "http/1.1"), (Protocol::Http2, "http2", "h2")];

impl Envoys {
    pub(crate) fn start(application: SocketAddr) -> Envoys {
        let certificates = certificates();
        let policy = json!({"permissions": [{"header": {"name": ":method", "string_match": {"exact": "GET"}}}],
            "principals": [{"authenticated": {"principal_name": {"exact": IDS[0]}}}]});
        let rbac = json!({"name": "envoy.filters.http.rbac", "typed_config":
            typed("filters.http.rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": {"orders": policy}}}))});
        let many = host(&["many"], &numbered(MANY, "http"));
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for (protocol, name, alpn) in PROTOCOLS {
            let hosts = [host(&["*"], &[route("/", name)])];
            let tls = certificates.ends(&[alpn]);
            listeners.push(listener(name, End::Server, std::slice::from_ref(&rbac), &hosts, Some(tls)));
            clusters.push(cluster(name, application, protocol, None));
        }
        // What its own application may ask for is the same.
        listeners.push(listener("outbound", End::Client, &[], std::slice::from_ref(&many), None));
        let server = start(&listeners, &clusters);
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for (protocol, name, alpn) in PROTOCOLS {
            let hosts = [host(&["orders"], &[route("/", name)])];
            let hosts = if protocol == Protocol::Http1 { vec![hosts[0].clone(), many.clone()] } else { hosts.to_vec() };
            listeners.push(listener(name, End::Client, &[], &hosts, None));
            clusters.push(cluster(name, server.listeners[name], protocol, Some(certificates.begins(&[alpn]))));
        }
        Envoys { client: start(&listeners, &clusters), server: Some(server) }
    }

    /// A client's proxy that knows so many services, each with so many routes; all of them speak mTLS, as in the mesh.
    pub(crate) fn with_routes(application: SocketAddr, services: usize, routes: usize) -> Envoys {
        let names: Vec<String> = (0..services).map(|number| format!("svc-{number}")).collect();
        let hosts: Vec<Value> = names
            .iter()
            .map(|name| {
                let domains = ["", ".shop", ".shop.svc", ".shop.svc.cluster.local"].map(|rest| format!("{name}{rest}"));
                host(&domains.each_ref().map(String::as_str), &numbered(routes, name))
            })
            .collect();
        let certificates = certificates();
        let of = |name: &String| cluster(name, application, Protocol::Http1, Some(certificates.begins(&["http/1.1"])));
        let clusters: Vec<Value> = names.iter().map(of).collect();
        Envoys { client: start(&[listener("outbound", End::Client, &[], &hosts, None)], &clusters), server: None }
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
