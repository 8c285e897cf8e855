//! Who may connect, who may ask, and what is not believed.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use taut_identity::LiveIdentity;
use taut_proxy::{ProxyConfig, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::*;

use crate::client::{Http1, get, mesh_tls, raw, request, send, send_http2};
use crate::fixture::*;
use crate::server::App;

/// Two sidecars: one in front of an application of `orders`, and one of `frontend`, which calls it.
async fn pair(issuer: &Issuer, tls: ClusterTls, serving: Case) -> (Running, Running, App) {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, issuer);
    server.activate(serving);
    let client = Running::calling(issuer);
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { tls, ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));
    (client, server, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_within_the_mesh_are_mtls_and_the_server_knows_who_calls() {
    let issuer = Issuer::new();
    let policies = Some(only(&["frontend"]));
    let (client, _server, app) = pair(&issuer, auto_mtls(&["orders"]), Case::serving(MtlsMode::Strict, policies)).await;
    let headers = [("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin")];
    let answer = send(client.address(), "POST", "orders:8080", "/x", &headers, "body").await;
    assert_eq!((answer.status, answer.app()), (200, "v1"));
    let cert = format!("x-forwarded-client-cert: By={};Hash=", id("orders"));
    let cert = answer.body.lines().find_map(|line| line.strip_prefix(&cert)).expect("it is told who calls");
    let (hash, rest) = cert.split_once(';').unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|it| it.is_ascii_hexdigit()), "{hash}");
    assert_eq!(rest, format!("Subject=\"\";URI={}", id("frontend")));
    assert!(!answer.body.contains("x-envoy-peer-metadata"), "{}", answer.body);
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-envoy-peer")), "{:?}", answer.headers);
    assert_eq!(app.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_another_identity_is_not_talked_to() {
    let issuer = Issuer::new();
    for tls in [auto_mtls(&["payments"]), auto_mtls(&[])] {
        let (client, _server, app) = pair(&issuer, tls, Case::serving(MtlsMode::Strict, None)).await;
        let answer = get(client.address(), "orders", "/").await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("remote connection failure"), "{}", answer.body);
        assert_eq!(app.asked(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_another_mesh_is_not_listened_to() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(MtlsMode::Strict, None));
    for identity in [stranger.identity("frontend"), issuer.identity("frontend")] {
        let Ok(stream) = mesh_tls(server.address(), &identity, &[b"http/1.1"]).await else { continue };
        let answer = Http1::over(stream).await.get("orders", "/").await;
        assert_eq!(answer.unwrap().status, 200, "only our own");
    }
    assert_eq!(app.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_taken_as_the_mode_says() {
    let issuer = Issuer::new();
    for (mode, plaintext) in [(MtlsMode::Strict, false), (MtlsMode::Permissive, true), (MtlsMode::Disable, true)] {
        let app = App::start("v1").await;
        let server = Running::serving(app.address, &issuer);
        server.activate(Case::serving(mode.clone(), None));
        let answer = raw(server.address(), "GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n").await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), plaintext, "{mode:?}: {answer}");
        assert!(plaintext || answer.is_empty(), "closed without a word: {answer}");
        if mode != MtlsMode::Disable {
            let stream = mesh_tls(server.address(), &issuer.identity("frontend"), &[b"istio-h2"]).await.unwrap();
            assert_eq!(send_http2(stream, "GET", "https://orders/", &[], "").await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_plaintext_connection_ends_when_the_port_becomes_strict() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let mut http = Http1::connect(server.address()).await;
    assert_eq!(http.get("orders", "/").await.unwrap().status, 200);
    server.activate(Case::serving(MtlsMode::Strict, None));
    assert!(http.get("orders", "/").await.is_err());
    assert_eq!(app.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask_is_denied_in_the_words_that_clients_know() {
    let issuer = Issuer::new();
    let policies = Some(only(&["payments"]));
    let (client, server, app) =
        pair(&issuer, auto_mtls(&["orders"]), Case::serving(MtlsMode::Permissive, policies)).await;
    let denied = get(client.address(), "orders", "/").await;
    assert_eq!((denied.status, denied.body.as_str()), (403, "RBAC: access denied"));
    assert_eq!(denied.header("content-type"), Some("text/plain"));
    let plaintext = get(server.address(), "orders", "/").await;
    assert_eq!(plaintext.status, 403, "who has no identity is nobody");
    let grpc = send(server.address(), "POST", "orders", "/s/m", &[("content-type", "application/grpc")], "").await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("7")));
    assert_eq!(grpc.header("grpc-message"), Some("RBAC: access denied"));
    assert_eq!(app.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_see_the_path_as_routes_do() {
    let test = Test::Path(TextTest::Prefix("/admin".into()));
    let clause = Clause { negated: false, any: vec![test] };
    let to = vec![Conjunction { clauses: vec![clause] }];
    let deny =
        Policy { name: "shop/admin".into(), rules: vec![AuthzRule { from: vec![], to, when: vec![] }], dry_run: false };
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(
        MtlsMode::Permissive,
        Some(PolicySet { deny: vec![deny], allow: vec![], custom: vec![], audit: vec![], authorizers: vec![] }),
    ));
    for path in ["/admin", "/x/../admin/1", "/%61dmin", "/./admin?x"] {
        assert_eq!(get(server.address(), "orders", path).await.status, 403, "{path}");
    }
    assert_eq!(get(server.address(), "orders", "/other").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_two_servers_could_read_differently_are_not_passed_on_so() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let head = |lines: &str, body: &str| format!("POST /echo HTTP/1.1\r\nhost: orders\r\n{lines}\r\n{body}");
    #[rustfmt::skip]
    let refused = [
        head("content-length: 5\r\ncontent-length: 6\r\n", "hello!"),
        head("content-length: 5, 6\r\n", "hello!"),
        head("content-length: +5\r\n", "hello"),
        head("content-length: -1\r\n", ""),
        head("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        head("transfer-encoding: gzip\r\n", "0\r\n\r\n"),
        head("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        head("x-folded: a\r\n b\r\ncontent-length: 0\r\n", ""),
        head("x-bare: a\rcontent-length: 5\r\n", ""),
        head("x y: a\r\n", ""),
    ];
    for request in refused {
        let answer = raw(server.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?} got {answer:?}");
    }
    assert_eq!(app.asked(), 0);
    // With both, the length is dropped, the chunks count (RFC 9112 §6.3), and nothing after them is read as a request.
    let both = head(
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: orders\r\n\r\n",
    );
    let answer = raw(server.address(), &both).await;
    assert!(answer.contains("hello"), "{answer}");
    assert_eq!((answer.matches("HTTP/1.1").count(), app.asked()), (1, 1), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let mut http = Http1::connect(server.address()).await;
    let long = "x".repeat(100 << 10);
    let answer = http.send(request("GET", "orders", "/", &[("x-long", &long)], "")).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);
    let many: Vec<(String, String)> = (0..200).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut http = Http1::connect(server.address()).await;
    let answer = http.send(request("GET", "orders", "/", &many, "")).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);
    assert_eq!(get(server.address(), "orders", "/").await.status, 200, "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_where_the_proxy_says_that_it_is() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    assert_eq!(*server.proxy.endpoint().borrow(), None, "nowhere before a snapshot");
    server.activate(Case::serving(MtlsMode::Disable, None));
    let endpoint = server.proxy.endpoint().borrow().clone().unwrap();
    assert_eq!((endpoint.id.as_str(), endpoint.identity.as_str()), ("orders-1", id("orders").as_str()));
    let port = &endpoint.ports[0];
    assert_eq!((port.number, port.dial, port.plaintext), (PORT, server.address().port(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_of_the_trust_domain_come_with_the_snapshot() {
    let (issuer, app) = (Issuer::new(), App::start("v1").await);
    let server = Running::serving(app.address, &issuer);
    let elsewhere = LiveIdentity::new(issuer.certify("spiffe://old.local/ns/shop/sa/frontend"));
    elsewhere.set_aliases(vec!["cluster.local".to_owned()]);
    for (alias, known) in [(vec![], false), (vec!["old.local".into()], true), (vec![], false)] {
        server.activate(Case { aliases: alias, ..Case::serving(MtlsMode::Strict, None) });
        let answer = match mesh_tls(server.address(), &elsewhere, &[b"http/1.1"]).await {
            Ok(stream) => Http1::over(stream).await.get("orders", "/").await.ok(),
            Err(_) => None,
        };
        assert_eq!(answer.is_some_and(|answer| answer.status == 200), known);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_its_certificates_and_no_other_is_made_with_them() {
    let issuer = Issuer::new();
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(MtlsMode::Strict, None));
    let end = SystemTime::now() + Duration::from_secs(3);
    let identity = LiveIdentity::new(issuer.certify_until(&id("frontend"), end));
    let over = async |identity: &LiveIdentity| {
        let stream = mesh_tls(server.address(), identity, &[b"http/1.1"]).await?;
        let mut http = Http1::over(stream).await;
        let answer = http.get("orders", "/").await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>((http, answer.status))
    };
    let (mut open, status) = over(&identity).await.unwrap();
    assert_eq!(status, 200);
    // A second more than the certificate has: its times have no parts of seconds.
    while SystemTime::now() < end + Duration::from_secs(1) {
        assert_eq!(open.get("orders", "/").await.unwrap().status, 200);
    }
    assert_eq!(open.get("orders", "/").await.unwrap().status, 200, "what is open stays open");
    assert!(over(&identity).await.is_err(), "nobody is believed by a certificate that has expired");
    identity.swap(issuer.credentials("frontend"));
    assert_eq!(over(&identity).await.unwrap().1, 200, "with another one he is");

    // The same from the other end: a server that failed to renew its own.
    let end = SystemTime::now() + Duration::from_secs(3);
    let expiring = LiveIdentity::new(issuer.certify_until(&id("orders"), end));
    let server = Running::start("orders", &[Role::Inbound { port: PORT, application: app.address }], expiring.clone());
    server.activate(Case::serving(MtlsMode::Strict, None));
    let config = ProxyConfig { workers: NonZeroUsize::MIN, ..config("frontend", &[Role::Outbound { port: PORT }]) };
    let client = Running::start_with(config, issuer.identity("frontend"));
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { tls: auto_mtls(&["orders"]), ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));
    while SystemTime::now() < end + Duration::from_secs(1) {
        assert_eq!(get(client.address(), "orders", "/").await.status, 200);
    }
    assert_eq!(get(client.address(), "orders", "/").await.status, 200, "the connection between them is open");
    // While that one is taken, another would have to be made.
    let (held, address) = (get(client.address(), "orders", "/wait"), client.address());
    let held = tokio::spawn(held);
    app.until_waiting(1).await;
    let refused = get(address, "orders", "/").await;
    assert!(
        refused.status == 503 && refused.body.ends_with("remote connection failure"),
        "{}: {}",
        refused.status,
        refused.body
    );
    expiring.swap(issuer.credentials("orders"));
    assert_eq!(get(address, "orders", "/").await.status, 200);
    app.gate.notify_one();
    assert_eq!(held.await.unwrap().status, 200);
}
