//! Where connections go, from the resources to the wire: by address, by server name, by their first bytes.

use std::net::SocketAddr;

use taut_delivery::Runner as _;
use taut_proxy::{AccessLog, LogFormat, Role};
use taut_snapshot::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, mesh_tls_to, raw, send_http2, web_tls};
use crate::fixture::*;
use crate::mesh::compiled_in;
use crate::server::App;

/// A server that says who it is, and then sends back what comes until the client has ended.
pub(crate) async fn teller(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(format!("{name}:").as_bytes()).await?;
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await?;
                stream.write_all(&all).await
            });
        }
    });
    address
}

/// What comes back for some bytes; nothing if the connection is closed.
pub(crate) async fn talk(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    if stream.write_all(b"hi").await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

/// The first word of a server that speaks first.
async fn listen(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut word = [0; 16];
    let read = stream.read(&mut word).await.unwrap_or(0);
    String::from_utf8_lossy(&word[..read]).into_owned()
}

/// An application that ends TLS itself, with a certificate for `NAME.example`.
struct Sealed {
    address: SocketAddr,
    name: &'static str,
    cert: String,
}

impl Sealed {
    async fn start(name: &'static str) -> Sealed {
        let made = rcgen::generate_simple_self_signed([format!("{name}.example")]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
        let mut config = config.unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let app = App::start_tls(name, config).await;
        Sealed { address: app.address, name, cert: made.cert.pem() }
    }
}

/// A sidecar of the workload `shop/frontend` whose application dials these addresses.
fn dialling(addresses: &[SocketAddr]) -> Running {
    let roles: Vec<Role> = addresses.iter().map(|address| Role::OutboundTo { address: *address }).collect();
    Running::start("frontend", &roles, Issuer::new().identity("frontend"))
}

/// Activates some resources beside those of the frontend, with the endpoints that they declare.
fn activate(proxy: &Running, yaml: &str) {
    activate_with(proxy, "{}", yaml, vec![]);
}

/// The same in a mesh with this MeshConfig, and with endpoints that nobody declares.
pub(crate) fn activate_with(proxy: &Running, config: &str, yaml: &str, mut more: Vec<Endpoint>) {
    let workloads = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
spec: {serviceAccountName: frontend, containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: istio-proxy, image: proxyv2, args: [proxy, router]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders, version: v1}}
spec: {serviceAccountName: orders, containers: [{name: app}]}
---
";
    let (snapshot, objects, mut endpoints) = compiled_in(config, &format!("{workloads}{yaml}"));
    let prepared = tokio::task::block_in_place(|| proxy.proxy.prepare(snapshot, &objects)).unwrap();
    proxy.run((snapshot, prepared));
    endpoints.endpoints.append(&mut more);
    proxy.endpoints(endpoints.endpoints);
}

/// A service entry with one address, one port and these endpoints.
pub(crate) fn entry(name: &str, address: &str, protocol: &str, endpoints: &[(SocketAddr, &str)]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(at, version)| format!("{{address: {}, ports: {{p: {}}}, labels: {{v: {version}}}}}", at.ip(), at.port()))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{name}.example]
  addresses: [{address}]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{{name: p, number: 9000, protocol: {protocol}}}]
  endpoints: [{}]
---
",
        endpoints.join(", ")
    )
}

fn at(proxy: &Running, number: usize) -> SocketAddr {
    proxy.proxy.addresses().binds[number].address
}

fn ip(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_one_port_are_told_apart_by_the_address_that_was_dialled() {
    let (one, two) = (teller("one").await, teller("two").await);
    let proxy = dialling(&[ip("10.1.0.1:9000"), ip("10.1.0.2:9000")]);
    let yaml = entry("one", "10.1.0.1", "TCP", &[(one, "a")]) + &entry("two", "10.1.0.2", "TCP", &[(two, "a")]);
    activate(&proxy, &yaml);
    assert_eq!((talk(at(&proxy, 0)).await, talk(at(&proxy, 1)).await), ("one:hi".to_owned(), "two:hi".to_owned()));
    assert_eq!(listen(at(&proxy, 0)).await, "one:", "a server may speak first");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_connections_count_with_their_subnets_and_weights() {
    let (a, b, elsewhere) = (teller("a").await, teller("b").await, teller("elsewhere").await);
    let proxy = dialling(&[ip("10.1.0.1:9000"), ip("10.1.0.2:9000")]);
    let services = entry("one", "10.1.0.1, 10.1.0.2", "TCP", &[(a, "a"), (b, "b")])
        + &entry("else", "10.1.0.9", "TCP", &[(elsewhere, "a")]);
    activate(
        &proxy,
        &(services
            + "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one, namespace: shop}
spec:
  host: one.example
  subsets: [{name: a, labels: {v: a}}, {name: b, labels: {v: b}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: shop}
spec:
  hosts: [one.example]
  tcp:
  - match: [{destinationSubnets: [10.1.0.2/32]}]
    route: [{destination: {host: else.example, port: {number: 9000}}}]
  - route:
    - {destination: {host: one.example, subset: a}, weight: 75}
    - {destination: {host: one.example, subset: b}, weight: 25}
"),
    );
    let mut counts = [0; 2];
    for _ in 0..80 {
        match talk(at(&proxy, 0)).await.as_str() {
            "a:hi" => counts[0] += 1,
            "b:hi" => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!((45..=75).contains(&counts[0]), "{counts:?}");
    assert_eq!(talk(at(&proxy, 1)).await, "elsewhere:hi", "the narrower subnet counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_where_its_server_name_says_and_stays_sealed() {
    let (one, two) = (Sealed::start("one").await, Sealed::start("two").await);
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let no_address = |yaml: String| yaml.replace("  addresses: [none]\n", "");
    let yaml = no_address(entry("one", "none", "TLS", &[(one.address, "a")]))
        + &no_address(entry("two", "none", "TLS", &[(two.address, "a")]));
    activate(&proxy, &yaml);
    for (name, app) in [("one.example", &one), ("two.example", &two)] {
        let stream = web_tls(proxy.address(), name, &app.cert, b"h2").await.unwrap();
        assert_eq!(send_http2(stream, "GET", &format!("https://{name}/"), &[], "").await.app(), app.name);
    }
    assert!(web_tls(proxy.address(), "three.example", &one.cert, b"h2").await.is_err(), "nobody has that name");

    let rule = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: shop}
spec:
  hosts: [one.example]
  tls:
  - match: [{sniHosts: [one.example]}]
    route: [{destination: {host: two.example}}]
";
    activate(&proxy, &(yaml + rule));
    assert!(web_tls(proxy.address(), "one.example", &two.cert, b"h2").await.is_err(), "it is for the other name");
    let moved = web_tls(proxy.address(), "one.example", &one.cert, b"h2").await;
    assert!(moved.is_err(), "the rule sends it to two, who shows another certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_a_protocol_takes_requests_by_host_and_bytes_as_they_are() {
    let app = App::start("web").await;
    let proxy = dialling(&[ip("10.1.0.1:9000")]);
    let any = |to: SocketAddr| entry("any", "10.1.0.1", "\"\"", &[(to, "a")]);
    activate(&proxy, &any(app.address));
    assert_eq!(
        get(at(&proxy, 0), "whatever.example", "/").await.app(),
        "web",
        "whoever has the address has the request"
    );
    activate(&proxy, &any(teller("bytes").await));
    assert_eq!(talk(at(&proxy, 0)).await, "bytes:hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_waits_as_long_as_the_mesh_says() {
    let proxy = dialling(&[ip("10.1.0.1:9000")]);
    let first = entry("any", "10.1.0.1", "\"\"", &[(teller("first").await, "a")]);
    activate_with(&proxy, "protocolDetectionTimeout: 50ms", &first, vec![]);
    assert_eq!(listen(at(&proxy, 0)).await, "first:", "nobody else said a word");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_passes_or_ends_as_the_mesh_says() {
    let (bytes, app) = (teller("outside").await, App::start("outside").await);
    let proxy = dialling(&[bytes, app.address]);
    let known =
        entry("one", "10.1.0.1", "HTTP", &[(app.address, "a")]).replace("9000", &app.address.port().to_string());
    activate(&proxy, &known);
    assert_eq!(talk(at(&proxy, 0)).await, "outside:hi");
    assert_eq!(get(at(&proxy, 1), "unknown.example", "/").await.app(), "outside", "requests pass as well");
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    for protocol in ["tcp", "http"] {
        let found = metrics.lines().any(|line| {
            line.contains(&format!("request_protocol=\"{protocol}\""))
                && line.contains("destination_service_name=\"PassthroughCluster\"")
        });
        assert!(found, "{protocol}: {metrics}");
    }
    activate_with(&proxy, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}", &known, vec![]);
    assert_eq!(talk(at(&proxy, 0)).await, "");
    assert_eq!(get(at(&proxy, 1), "unknown.example", "/").await.status, 502);
    assert_eq!(get(at(&proxy, 1), "one.example", "/").await.app(), "outside", "what is known goes on");
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains("destination_service_name=\"BlackHoleCluster\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_endpoints_of_its_own_is_where_the_client_says() {
    let (one, two) = (teller("one").await, App::start("two").await);
    let proxy = dialling(&[one, two.address]);
    let none = |name: &str, at: SocketAddr, protocol: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{name}.example]
  resolution: NONE
  ports: [{{name: p, number: {}, protocol: {protocol}}}]
---
",
            at.port()
        )
    };
    let closed = "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: closed, namespace: shop}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
";
    let yaml = closed.to_owned() + &none("db", one, "TCP") + &none("api", two.address, "HTTP");
    activate(&proxy, &yaml);
    assert_eq!(talk(at(&proxy, 0)).await, "one:hi");
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(get(at(&proxy, 1), "api.example", "/").await.app().to_owned());
    }
    assert_eq!(answers, ["two"; 3]);
    assert_eq!(get(at(&proxy, 1), "other.example", "/").await.status, 502, "the Sidecar says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_for_the_whole_mesh_counts() {
    let app = App::start("web").await;
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let yaml = entry("one", "10.1.0.1", "HTTP", &[(app.address, "a")])
        + "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: shop}
spec:
  hosts: [one.example]
  http:
  - match: [{uri: {exact: /a/b}}]
    directResponse: {status: 299}
  - route: [{destination: {host: one.example}}]
";
    activate(&proxy, &yaml);
    assert_eq!(get(proxy.address(), "one.example", "/a//b").await.app(), "web");
    let config =
        "pathNormalization: {normalization: MERGE_SLASHES}\ndefaultHttpRetryPolicy: {attempts: 2, retryOn: 5xx}";
    activate_with(&proxy, config, &yaml, vec![]);
    assert_eq!(get(proxy.address(), "one.example", "/a//b").await.status, 299);
    let before = app.asked();
    assert_eq!(get(proxy.address(), "one.example", "/status/503").await.status, 503);
    assert_eq!(app.asked() - before, 3, "one try and two more");
    let alone = entry("one", "10.1.0.1", "HTTP", &[(app.address, "a")]);
    activate_with(&proxy, "defaultServiceExportTo: [\"~\"]", &alone, vec![]);
    assert_eq!(get(proxy.address(), "one.example", "/x").await.status, 502, "nobody sees it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_knows_what_its_egress_says() {
    let (one, two) = (App::start("one").await, App::start("two").await);
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let yaml = entry("one", "10.1.0.1", "HTTP", &[(one.address, "a")])
        + &entry("two", "10.1.0.2", "HTTP", &[(two.address, "a")]);
    activate(&proxy, &yaml);
    assert_eq!(get(proxy.address(), "two.example", "/").await.app(), "two");
    let narrow = "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: shop}
spec:
  egress: [{hosts: [./one.example]}]
";
    activate(&proxy, &(yaml + narrow));
    assert_eq!(get(proxy.address(), "one.example", "/").await.app(), "one");
    assert_eq!(get(proxy.address(), "two.example", "/").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_says_where_the_application_is() {
    let (elsewhere, bound) = (teller("said").await, teller("bound").await);
    let role = Role::Inbound { port: 7000, application: bound };
    let proxy = Running::start("orders", &[role], Issuer::new().identity("orders"));
    let sidecar = |endpoint: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: orders, namespace: shop}}
spec:
  workloadSelector: {{labels: {{app: orders}}}}
  ingress: [{{port: {{number: 7000, protocol: TCP, name: tcp}}{endpoint}}}]
"
        )
    };
    activate(&proxy, &sidecar(""));
    assert_eq!(talk(proxy.address()).await, "bound:hi");
    activate(&proxy, &sidecar(&format!(", defaultEndpoint: \"127.0.0.1:{}\"", elsewhere.port())));
    assert_eq!(talk(proxy.address()).await, "said:hi");
    activate(&proxy, &sidecar(&format!(", defaultEndpoint: \"0.0.0.0:{}\"", elsewhere.port())));
    assert_eq!(talk(proxy.address()).await, "said:hi", "an address of its own");
}

pub(crate) const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  servers:
";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_passes_tls_on_by_its_server_name_and_bytes_by_their_port() {
    let (one, plain) = (Sealed::start("one").await, teller("plain").await);
    let roles = [Role::Gateway { port: 443 }, Role::Gateway { port: 5000 }];
    let proxy = Running::start("web", &roles, Issuer::new().identity("web"));
    let yaml = entry("one", "10.1.0.1", "TLS", &[(one.address, "a")])
        + &entry("plain", "10.1.0.2", "TCP", &[(plain, "a")])
        + GATEWAY
        + "  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [one.example], tls: {mode: PASSTHROUGH}}
  - {port: {number: 5000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: ['*']
  gateways: [web]
  tcp:
  - match: [{port: 5000}]
    route: [{destination: {host: plain.example}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tls, namespace: shop}
spec:
  hosts: [one.example]
  gateways: [web]
  tls:
  - match: [{sniHosts: [one.example]}]
    route: [{destination: {host: one.example}}]
";
    activate(&proxy, &yaml);
    let stream = web_tls(at(&proxy, 0), "one.example", &one.cert, b"h2").await.unwrap();
    assert_eq!(send_http2(stream, "GET", "https://one.example/", &[], "").await.app(), "one");
    assert!(web_tls(at(&proxy, 0), "two.example", &one.cert, b"h2").await.is_err());
    assert_eq!(raw(at(&proxy, 0), "GET / HTTP/1.1\r\nhost: one.example\r\n\r\n").await, "", "it is no TLS");
    assert_eq!(listen(at(&proxy, 1)).await, "plain:");
    assert_eq!(talk(at(&proxy, 1)).await, "plain:hi");
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains("taut_connections_for_nobody_total 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_passes_the_mesh_on_sealed_to_whoever_speaks_it() {
    let issuer = Issuer::new();
    let app = App::start("orders").await;
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(taut_snapshot::object::MtlsMode::Strict, None));
    let gateway = Running::start("web", &[Role::Gateway { port: 15443 }], issuer.identity("web"));
    let yaml = GATEWAY.to_owned()
        + "  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
";
    let own = server.proxy.endpoint().borrow().clone().unwrap();
    let deaf = Endpoint { id: "deaf".into(), identity: "".into(), address: "127.0.0.9".into(), ..own.clone() };
    activate_with(&gateway, "{}", &yaml, vec![own, deaf]);
    let caller = issuer.identity("frontend");
    let name = "outbound_.8080_._.orders.shop.svc.cluster.local";
    for _ in 0..4 {
        let tls = mesh_tls_to(gateway.address(), name, &caller, &[b"istio-h2"]);
        let answer = send_http2(tls.await.unwrap(), "GET", "https://orders/", &[], "").await;
        assert_eq!(answer.app(), "orders");
        assert!(answer.body.contains("sa/frontend"), "the client's own identity arrives: {}", answer.body);
    }
    let other = "outbound_.8080_._.nobody.shop.svc.cluster.local";
    let refused = mesh_tls_to(gateway.address(), other, &caller, &[b"istio-h2"]);
    assert!(refused.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_the_mesh_asks_who_comes() {
    let issuer = Issuer::new();
    let (app, bytes) = (App::start("v1").await, teller("bytes").await);
    let gateway =
        Running::start("web", &[Role::Gateway { port: 443 }, Role::Gateway { port: 444 }], issuer.identity("web"));
    let yaml = entry("one", "10.1.0.1", "HTTP", &[(app.address, "a")])
        + &entry("two", "10.1.0.2", "TCP", &[(bytes, "a")])
        + GATEWAY
        + "  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [one.example], tls: {mode: ISTIO_MUTUAL}}
  - {port: {number: 444, name: tls, protocol: TLS}, hosts: [two.example], tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [one.example]
  gateways: [web]
  http: [{route: [{destination: {host: one.example}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bytes, namespace: shop}
spec:
  hosts: [two.example]
  gateways: [web]
  tcp: [{match: [{port: 444}], route: [{destination: {host: two.example}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/frontend]}}]}]
";
    activate(&gateway, &yaml);
    for (account, status) in [("frontend", 200), ("other", 403)] {
        let identity = issuer.identity(account);
        let tls = mesh_tls_to(at(&gateway, 0), "one.example", &identity, &[b"h2"]).await.unwrap();
        assert_eq!(send_http2(tls, "GET", "https://one.example/", &[], "").await.status, status, "{account}");
        let tls = mesh_tls_to(at(&gateway, 1), "two.example", &identity, &[b"istio"]).await.unwrap();
        let mut word = [0; 16];
        let (mut read_half, _write_half) = tokio::io::split(tls);
        let read = read_half.read(&mut word).await.unwrap_or(0);
        assert_eq!(0 < read, status == 200, "{account}");
    }
    let stranger = Issuer::new().identity("frontend");
    let refused = mesh_tls_to(at(&gateway, 0), "one.example", &stranger, &[b"h2"]).await;
    let refused = match refused {
        Ok(mut tls) => tls.read_u8().await.is_err(), // in TLS 1.3 the client hears of it when it reads
        Err(_) => true,
    };
    assert!(refused, "another authority's identity is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_the_applications_own_passes_a_port_that_takes_both() {
    let issuer = Issuer::new();
    let own = Sealed::start("own").await;
    let server = Running::serving(own.address, &issuer);
    let mut case = Case::serving(taut_snapshot::object::MtlsMode::Permissive, None);
    case.inbound[0].protocol = taut_snapshot::object::Protocol::Tcp;
    server.activate(case);
    let stream = web_tls(server.address(), "own.example", &own.cert, b"h2").await.unwrap();
    assert_eq!(send_http2(stream, "GET", "https://own.example/", &[], "").await.app(), "own");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_times_of_connections_hold() {
    let (here, gone) = (teller("here").await, ip("127.0.0.1:1"));
    let kept = Kept::default();
    let mut config = config(
        "frontend",
        &[Role::OutboundTo { address: ip("10.1.0.1:9000") }, Role::OutboundTo { address: ip("10.1.0.2:9000") }],
    );
    config.access_log = Some(AccessLog { to: Box::new(kept.clone()), format: LogFormat::Text, provenance: false });
    let proxy = Running::start_with(config, Issuer::new().identity("frontend"));
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one, namespace: shop}
spec:
  host: one.example
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1, idleTimeout: 200ms, connectTimeout: 1s}}}
";
    let yaml =
        entry("one", "10.1.0.1", "TCP", &[(here, "a")]) + &entry("two", "10.1.0.2", "TCP", &[(gone, "a")]) + rule;
    activate(&proxy, &yaml);
    let mut first = TcpStream::connect(at(&proxy, 0)).await.unwrap();
    let mut word = [0; 5];
    first.read_exact(&mut word).await.unwrap();
    assert_eq!(talk(at(&proxy, 0)).await, "", "one is as many as may be");
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "it was idle for too long");
    assert_eq!(talk(at(&proxy, 0)).await, "here:hi", "and its place is free again");
    assert_eq!(talk(at(&proxy, 1)).await, "");
    proxy.proxy.drain().await;
    let log = kept.text();
    let lines: Vec<&str> = log.lines().collect();
    for (flags, cluster) in [
        (" 0 UO - - ", " outbound|9000||one.example "),
        (" 0 - - tcp_session_idle_timeout ", " outbound|9000||one.example "),
        (" 0 UF,URX - - ", " outbound|9000||two.example "),
    ] {
        let found =
            lines.iter().any(|line| line.contains("\"- - -\"") && line.contains(flags) && line.contains(cluster));
        assert!(found, "{flags}: {log}");
    }
    assert!(log.contains(" 10.1.0.1:9000 "), "what was dialled is this end: {log}");
}
