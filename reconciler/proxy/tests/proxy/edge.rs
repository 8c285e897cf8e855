//! Gateways of the Kubernetes Gateway API and their routes for connections: from the YAML to the wire.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use taut_proxy::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, Http1, get};
use crate::connections::{talk, teller};
use crate::fixture::{Issuer, Running, endpoint};
use crate::mesh::compiled;
use crate::server::App;

/// A gateway workload `web`, and services `a` and `b` behind it.
pub(crate) const EDGE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, gateway.networking.k8s.io/gateway-name: edge}}
spec: {serviceAccountName: web, containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge-istio, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: https, port: 443}, {name: tls, port: 9443}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: orders, version: a}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 90, targetPort: 8080}, {name: grpc, port: 91, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {selector: {app: orders, version: b}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 90, targetPort: 8080}]}
---
";

/// The Gateway with these listeners, and what else it says.
pub(crate) fn gateway(spec: &str, listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: shop}}\n\
         spec:\n  gatewayClassName: istio\n{spec}  listeners:\n{listeners}---\n"
    )
}

/// A route of some kind to the gateway's listener of a name.
pub(crate) fn route(kind: &str, section: &str, rest: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {section}, namespace: shop}}\n\
         spec:\n  parentRefs: [{{name: edge, sectionName: {section}}}]\n{rest}---\n"
    )
}

const PORTS: [u16; 4] = [80, 443, 9443, 9000];

/// A proxy of the gateway workload, with endpoints behind `a` and `b`.
pub(crate) fn start(a: SocketAddr, b: SocketAddr) -> Running {
    let roles = PORTS.map(|port| Role::Gateway { port });
    let proxy = Running::start("web", &roles, Issuer::new().identity("web"));
    proxy.endpoints(vec![endpoint("a-1", "a", a), endpoint("b-1", "b", b)]);
    proxy
}

pub(crate) fn at(proxy: &Running, port: u16) -> SocketAddr {
    proxy.proxy.addresses().binds[PORTS.iter().position(|it| *it == port).unwrap()].address
}

/// An authority of the world outside, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

#[derive(Clone)]
struct Signed {
    pem: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> Signed {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI("spiffe://cluster.local/ns/shop/sa/admin".try_into().unwrap()));
        let key = KeyPair::generate_for(algorithm).unwrap();
        Signed { pem: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    fn signed(&self, name: &str) -> Signed {
        self.sign(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// A connection to a server by one who trusts this authority, with a certificate of its own if it has one.
    async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        own: Option<&Signed>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config = self.config(own, &[&rustls::version::TLS13, &rustls::version::TLS12], |_| true);
        connect(address, name, config).await
    }

    fn config(
        &self,
        own: Option<&Signed>,
        versions: &[&'static rustls::SupportedProtocolVersion],
        keeps: impl Fn(&str) -> bool,
    ) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| keeps(suite.suite().as_str().unwrap_or_default()));
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
        let builder = builder.unwrap().with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = own.parsed();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        }
    }
}

impl Signed {
    fn parsed(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// The Secret of a name that holds it, and some roots if there are any.
    fn secret(&self, name: &str, roots: Option<&Authority>) -> String {
        let roots = roots.map(|roots| format!("  ca.crt: {:?}\n", roots.0.pem())).unwrap_or_default();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData:\n  tls.crt: {:?}\n  \
             tls.key: {:?}\n{roots}---\n",
            self.pem, self.key
        )
    }

    /// An application that shows it, and asks its clients for certificates of an authority if there is one.
    async fn serve(&self, name: &'static str, asks: Option<&Authority>) -> App {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match asks {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = self.parsed();
        App::start_tls(name, builder.with_single_cert(vec![chain], key).unwrap()).await
    }
}

async fn connect(
    address: SocketAddr,
    name: &str,
    config: rustls::ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What a request over TLS gets; none if the server ends the connection. With TLS 1.3 a client learns only then that its
/// certificate was no good.
async fn ask(stream: std::io::Result<TlsStream<TcpStream>>, host: &str) -> Option<Answer> {
    Http1::over(stream.ok()?).await.get(host, "/").await.ok()
}

/// What comes back for some bytes.
async fn say(stream: std::io::Result<TlsStream<TcpStream>>) -> Option<String> {
    let mut stream = stream.ok()?;
    stream.write_all(b"hi").await.ok()?;
    stream.shutdown().await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

fn config_map(name: &str, authority: &Authority) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata:\n  ca.crt: {:?}\n---\n",
        authority.0.pem()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_where_the_oldest_tcp_route_says() {
    let (a, b) = (teller("a").await, teller("b").await);
    let proxy = start(a, b);
    let listener = gateway("", "  - {name: tcp, port: 9000, protocol: TCP}\n");
    let to = |weights: [u32; 2]| {
        format!(
            "  rules: [{{backendRefs: [{{name: a, port: 90, weight: {}}}, {{name: b, port: 90, weight: {}}}]}}]\n",
            weights[0], weights[1]
        )
    };
    for (weights, want) in [([1, 0], "a:hi"), ([0, 1], "b:hi")] {
        proxy.activate_mesh(&format!("{EDGE}{listener}{}", route("TCPRoute", "tcp", &to(weights))));
        assert_eq!(talk(at(&proxy, 9000)).await, want);
    }
    let both = format!("{EDGE}{listener}{}", route("TCPRoute", "tcp", &to([1, 1])));
    proxy.activate_mesh(&both);
    let mut found = std::collections::BTreeSet::new();
    while found.len() < 2 {
        found.insert(talk(at(&proxy, 9000)).await);
    }
    let other = both
        .replace("name: tcp, namespace", "name: z, creationTimestamp: \"2021-01-01T00:00:00Z\", namespace")
        .replace("weight: 1}, {name: b, port: 90, weight: 1", "weight: 0}, {name: b, port: 90, weight: 1");
    let old = route("TCPRoute", "tcp", &to([1, 0]))
        .replace("name: tcp,", "name: old, creationTimestamp: \"2020-01-01T00:00:00Z\",");
    proxy.activate_mesh(&(other + &old));
    assert_eq!(talk(at(&proxy, 9000)).await, "a:hi", "the older route is the one that counts");
    proxy.activate_mesh(&format!("{EDGE}{listener}{}", route("TCPRoute", "tcp", &to([0, 0]))));
    assert_eq!(talk(at(&proxy, 9000)).await, "", "nobody has a share");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_passes_to_the_service_of_its_server_name() {
    let authority = Authority::new();
    let (a, b) = (authority.signed("a.example"), authority.signed("b.example"));
    let (one, two) = (a.serve("one", None).await, b.serve("two", None).await);
    let proxy = start(one.address, two.address);
    let listener = gateway(
        "",
        "  - {name: one, port: 9443, protocol: TLS, hostname: a.example, tls: {mode: Passthrough}}\n  - {name: two, port: 9443, protocol: TLS, hostname: \"*.example\", tls: {mode: Passthrough}}\n",
    );
    let to = |name: &str, host: &str| {
        format!("  hostnames: [{host}]\n  rules: [{{backendRefs: [{{name: {name}, port: 90}}]}}]\n")
    };
    let routes = route("TLSRoute", "one", &to("a", "a.example")) + &route("TLSRoute", "two", &to("b", "b.example"));
    proxy.activate_mesh(&format!("{EDGE}{listener}{routes}"));
    for (name, app) in [("a.example", "one"), ("b.example", "two")] {
        let stream = authority.connect(at(&proxy, 9443), name, None).await;
        assert_eq!(ask(stream, name).await.unwrap().app(), app, "{name}");
    }
    assert!(authority.connect(at(&proxy, 9443), "c.example", None).await.is_err(), "no route has that name");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_ends_carries_bytes_by_server_name_or_without() {
    let authority = Authority::new();
    let proxy = start(teller("a").await, teller("b").await);
    let secret = authority.signed("*.shop.example").secret("cert", None);
    let listener = gateway(
        "",
        "  - {name: named, port: 9443, protocol: TLS, hostname: \"*.shop.example\", tls: {mode: Terminate, certificateRefs: [{name: cert}]}}\n",
    );
    let named = |name: &str, host: &str| {
        route(
            "TLSRoute",
            "named",
            &format!("  hostnames: [{host}]\n  rules: [{{backendRefs: [{{name: {name}, port: 90}}]}}]\n"),
        )
        .replace("name: named,", &format!("name: {name},"))
    };
    proxy.activate_mesh(&format!(
        "{EDGE}{secret}{listener}{}{}",
        named("a", "a.shop.example"),
        named("b", "b.shop.example")
    ));
    for (name, want) in [("a.shop.example", Some("a:hi")), ("b.shop.example", Some("b:hi")), ("c.shop.example", None)] {
        let stream = authority.connect(at(&proxy, 9443), name, None).await;
        assert_eq!(say(stream).await.as_deref(), want, "{name}");
    }
    let tcp = route("TCPRoute", "named", "  rules: [{backendRefs: [{name: b, port: 90}]}]\n");
    proxy.activate_mesh(&format!("{EDGE}{secret}{listener}{tcp}"));
    let stream = authority.connect(at(&proxy, 9443), "c.shop.example", None).await;
    assert_eq!(say(stream).await.as_deref(), Some("b:hi"), "a TCPRoute takes what comes out of TLS, whatever its name");
}

/// The listener `https` on port 443, with a route to `a`, and further words in its `tls`.
fn https(spec: &str, tls: &str) -> String {
    let listener =
        format!("  - {{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]{tls}}}}}\n");
    format!(
        "{EDGE}{}{}",
        gateway(spec, &listener),
        route("HTTPRoute", "https", "  rules: [{backendRefs: [{name: a, port: 80}]}]\n")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_let_in_by_their_certificates() {
    let (web, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let app = App::start("a").await;
    let proxy = start(app.address, app.address);
    let (good, bad) = (clients.signed("phone.example"), stranger.signed("phone.example"));
    let beside = web.signed("a.example").secret("cert", None) + &config_map("clients", &clients);
    let frontend = |mode: &str| {
        format!(
            "  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: clients}}]{mode}}}}}}}}}\n"
        )
    };
    let answers = async |own: Option<&Signed>| {
        let stream = web.connect(at(&proxy, 443), "a.example", own).await;
        ask(stream, "a.example").await
    };
    proxy.activate_mesh(&(https(&frontend(""), "") + &beside));
    let answer = answers(Some(&good)).await.expect("its authority is believed");
    assert!(answers(Some(&bad)).await.is_none(), "its authority is not believed");
    assert!(answers(None).await.is_none(), "a certificate must be shown");
    let shown = answer.body.lines().find(|line| line.starts_with("x-forwarded-client-cert: ")).unwrap();
    assert!(shown.contains("Hash=") && shown.contains(";DNS=phone.example"), "{shown}");

    proxy.activate_mesh(&(https(&frontend(", mode: AllowInsecureFallback"), "") + &beside));
    assert!(answers(Some(&bad)).await.is_some() && answers(None).await.is_some(), "anybody");
    let per_port = "  tls: {frontend: {default: {}, perPort: [{port: 9443, tls: {validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: clients}]}}}]}}\n";
    proxy.activate_mesh(&(https(per_port, "") + &beside));
    assert!(answers(None).await.is_some(), "on another port than this one");

    let with_roots = web.signed("a.example").secret("cert", Some(&clients));
    for (mode, without) in [("MUTUAL", false), ("OPTIONAL_MUTUAL", true)] {
        let option = format!(", options: {{gateway.istio.io/tls-terminate-mode: {mode}}}");
        proxy.activate_mesh(&(https("", &option) + &with_roots));
        assert!(answers(Some(&good)).await.is_some(), "{mode}");
        assert!(answers(Some(&bad)).await.is_none(), "{mode}");
        assert_eq!(answers(None).await.is_some(), without, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_world_outside_proves_nothing_to_the_mesh() {
    let (web, clients) = (Authority::new(), Authority::new());
    let app = App::start("a").await;
    let proxy = start(app.address, app.address);
    let policy = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: admins, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/admin]}}]}]
---
";
    let secret = web.signed("a.example").secret("cert", Some(&clients));
    let mesh = https("", ", options: {gateway.istio.io/tls-terminate-mode: MUTUAL}") + &secret;
    let own = clients.signed("phone.example"); // it calls itself `admin` of the mesh
    for (policy, status) in [("", 200), (policy, 403)] {
        proxy.activate_mesh(&format!("{mesh}{policy}"));
        let stream = web.connect(at(&proxy, 443), "a.example", Some(&own)).await;
        assert_eq!(ask(stream, "a.example").await.unwrap().status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_shown_the_certificate_that_it_can_read() {
    let web = Authority::new();
    let app = App::start("a").await;
    let proxy = start(app.address, app.address);
    let (edwards, curve) = (web.sign("a.example", &rcgen::PKCS_ED25519), web.signed("a.example"));
    let mesh = https("", "").replace("[{name: cert}]", "[{name: cert}, {name: second}]");
    proxy.activate_mesh(&(mesh + &edwards.secret("cert", None) + &curve.secret("second", None)));
    let stream = web.connect(at(&proxy, 443), "a.example", None).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert!(shown == edwards.parsed().0 || shown == curve.parsed().0);
    let mut only_curves = web.config(None, &[&rustls::version::TLS12], |name| name.contains("ECDSA"));
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.signature_verification_algorithms.mapping = provider
        .signature_verification_algorithms
        .mapping
        .iter()
        .copied()
        .filter(|(scheme, _)| *scheme == rustls::SignatureScheme::ECDSA_NISTP256_SHA256)
        .collect::<Vec<_>>()
        .leak();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(web.0.der().clone()).unwrap();
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider));
    only_curves.dangerous().set_certificate_verifier(verifier.build().unwrap());
    let stream = connect(at(&proxy, 443), "a.example", only_curves).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], curve.parsed().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_ciphers_and_versions_that_are_listed_are_spoken() {
    let web = Authority::new();
    let app = App::start("a").await;
    let proxy = start(app.address, app.address);
    let secret = web.signed("a.example").secret("cert", None);
    let option = ", options: {gateway.istio.io/tls-cipher-suites: ECDHE-ECDSA-AES256-GCM-SHA384}";
    proxy.activate_mesh(&(https("", option) + &secret));
    let with = async |cipher: &'static str, version| {
        let config = web.config(None, &[version], |name| name.contains(cipher));
        connect(at(&proxy, 443), "a.example", config).await.is_ok()
    };
    assert!(with("ECDSA_WITH_AES_256", &rustls::version::TLS12).await);
    assert!(!with("ECDSA_WITH_AES_128", &rustls::version::TLS12).await);
    assert!(with("TLS13", &rustls::version::TLS13).await, "those of 1.3 are no matter of this list");

    let istio = format!(
        "{EDGE}{secret}apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: own, namespace: shop}}
spec:
  selector: {{app: web}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [a.example]
    tls: {{mode: SIMPLE, credentialName: cert, maxProtocolVersion: TLSV1_2}}
"
    );
    proxy.activate_mesh(&istio);
    assert!(with("ECDSA_WITH_AES_128", &rustls::version::TLS12).await);
    assert!(!with("TLS13", &rustls::version::TLS13).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_clients_may_be_asked_for() {
    let (web, clients) = (Authority::new(), Authority::new());
    let app = App::start("a").await;
    let proxy = start(app.address, app.address);
    let istio = |names: &str| {
        format!(
            "{EDGE}{}apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: own, namespace: shop}}
spec:
  selector: {{app: web}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [a.example]
    tls: {{mode: MUTUAL, credentialName: cert, subjectAltNames: [{names}]}}
",
            web.signed("a.example").secret("cert", Some(&clients))
        )
    };
    let own = clients.signed("phone.example");
    for (names, let_in) in
        [("phone.example", true), ("tablet.example", false), ("\"spiffe://cluster.local/ns/shop/sa/admin\"", true)]
    {
        proxy.activate_mesh(&istio(names));
        let stream = web.connect(at(&proxy, 443), "a.example", Some(&own)).await;
        assert_eq!(ask(stream, "a.example").await.is_some(), let_in, "{names}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_spoken_to_in_tls_as_a_policy_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let app = authority.signed("inside.example").serve("a", None).await;
    let proxy = start(app.address, app.address);
    let plain = gateway("", "  - {name: http, port: 80, protocol: HTTP}\n")
        + &route("HTTPRoute", "http", "  rules: [{backendRefs: [{name: a, port: 80}]}]\n");
    let policy = |section: &str, validation: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: a, namespace: shop}}\nspec:\n  targetRefs: [{{group: \"\", kind: Service, name: a{section}}}]\n  validation: {{{validation}}}\n---\n"
        )
    };
    let by = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: roots}]";
    let uri = "{type: URI, uri: \"spiffe://cluster.local/ns/shop/sa/admin\"}";
    for (roots, section, validation, status) in [
        (&authority, "", format!("hostname: inside.example, {by}"), 200),
        (&authority, ", sectionName: http", format!("hostname: inside.example, {by}"), 200),
        (&authority, "", format!("hostname: other.example, {by}"), 503),
        (&stranger, "", format!("hostname: inside.example, {by}"), 503),
        (&authority, "", "hostname: inside.example, wellKnownCACertificates: System".to_owned(), 503),
        (
            &authority,
            "",
            format!("hostname: other.example, subjectAltNames: [{{type: Hostname, hostname: inside.example}}], {by}"),
            200,
        ),
        (&authority, "", format!("hostname: other.example, subjectAltNames: [{uri}], {by}"), 200),
        (&stranger, "", format!("hostname: inside.example, subjectAltNames: [{uri}], {by}"), 503),
        (
            &authority,
            "",
            format!("hostname: inside.example, subjectAltNames: [{{type: URI, uri: \"spiffe://other\"}}], {by}"),
            503,
        ),
    ] {
        proxy.activate_mesh(&format!("{EDGE}{plain}{}{}", config_map("roots", roots), policy(section, &validation)));
        assert_eq!(get(at(&proxy, 80), "x.example", "/").await.status, status, "{section} {validation}");
    }
    proxy.activate_mesh(&format!(
        "{EDGE}{plain}{}{}",
        config_map("roots", &authority),
        policy(", sectionName: tcp", &format!("hostname: inside.example, {by}"))
    ));
    assert_ne!(get(at(&proxy, 80), "x.example", "/").await.status, 200, "it is for another port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_shows_services_the_certificate_that_it_was_given() {
    let authority = Authority::new();
    let app = authority.signed("inside.example").serve("a", Some(&authority)).await;
    let proxy = start(app.address, app.address);
    let policy = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: a, namespace: shop}\nspec:\n  targetRefs: [{group: \"\", kind: Service, name: a}]\n  validation: {hostname: inside.example, caCertificateRefs: [{group: \"\", kind: ConfigMap, name: roots}]}\n---\n";
    let own = authority.signed("gateway.example").secret("own", None);
    for (spec, status) in [("", 503), ("  tls: {backend: {clientCertificateRef: {name: own}}}\n", 200)] {
        let plain = gateway(spec, "  - {name: http, port: 80, protocol: HTTP}\n")
            + &route("HTTPRoute", "http", "  rules: [{backendRefs: [{name: a, port: 80}]}]\n");
        proxy.activate_mesh(&format!("{EDGE}{plain}{own}{policy}{}", config_map("roots", &authority)));
        assert_eq!(get(at(&proxy, 80), "x.example", "/").await.status, status, "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_a_service_names_a_secret_of_the_gateways_own_namespace() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let app = authority.signed("a.shop.svc.cluster.local").serve("a", Some(&authority)).await;
    let proxy = start(app.address, app.address);
    let plain = gateway("", "  - {name: http, port: 80, protocol: HTTP}\n")
        + &route("HTTPRoute", "http", "  rules: [{backendRefs: [{name: a, port: 80}]}]\n");
    let rule = |tls: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: shop}}\nspec: {{host: a, trafficPolicy: {{tls: {{{tls}, credentialName: bank}}}}}}\n---\n"
        )
    };
    let own = authority.signed("gateway.example");
    for (secret, tls, status) in [
        (own.secret("bank", Some(&authority)), "mode: MUTUAL", 200),
        (own.secret("bank", Some(&authority)), "mode: SIMPLE", 503), // it shows nothing
        (own.secret("bank", Some(&stranger)), "mode: MUTUAL", 503),
        (own.secret("bank", None), "mode: MUTUAL, insecureSkipVerify: true", 200),
        (own.secret("bank", None) + &own.secret("bank-cacert", Some(&authority)), "mode: MUTUAL", 200),
    ] {
        proxy.activate_mesh(&format!("{EDGE}{plain}{}{secret}", rule(tls)));
        assert_eq!(get(at(&proxy, 80), "x.example", "/").await.status, status, "{tls}");
    }
    let (_, with) = compiled(&format!("{EDGE}{plain}{}{}", rule("mode: MUTUAL"), own.secret("bank", Some(&authority))));
    let (_, without) = compiled(&format!("{EDGE}{plain}{}", own.secret("bank", Some(&authority))));
    let keys = |objects: &taut_snapshot::Objects| {
        let held = |digest| objects.bytes(digest).is_some_and(|bytes| bytes.windows(11).any(|it| it == b"PRIVATE KEY"));
        objects.iter().filter(|(digest, _)| held(*digest)).count()
    };
    assert_eq!((keys(&with), keys(&without)), (1, 0), "a key is in a snapshot once, where somebody uses it");
}
