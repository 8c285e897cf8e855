//! Where requests go, and what they look like when they get there.

use std::collections::BTreeMap;

use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::net::TcpStream;

use crate::client::{Http1, get, get_with, raw, request, send, send_http2};
use crate::fixture::*;
use crate::server::App;

/// A sidecar whose application calls `orders`, of which there are v1 and v2.
struct Shop {
    sidecar: Running,
    v1: App,
    v2: App,
}

impl Shop {
    async fn start() -> Shop {
        let shop =
            Shop { sidecar: Running::calling(&Issuer::new()), v1: App::start("v1").await, v2: App::start("v2").await };
        shop.sidecar
            .endpoints(vec![endpoint("orders-1", "v1", shop.v1.address), endpoint("orders-2", "v2", shop.v2.address)]);
        shop
    }

    fn activate(&self, rules: impl FnOnce(&mut Objects) -> Vec<Rule>) {
        let mut objects = Objects::default();
        let rules = rules(&mut objects);
        self.sidecar.activate(Case::orders(&cluster(""), rules, objects));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_chosen_by_header_and_path() {
    let shop = Shop::start().await;
    shop.activate(|objects| {
        vec![
            Rule { alternatives: vec![header_is("x-canary", "true")], ..rule(&[(&cluster("v2"), 1)], objects) },
            Rule { alternatives: vec![path_prefix("/old")], ..rule(&[(&cluster("v1"), 1)], objects) },
            Rule { alternatives: vec![path_prefix("/new")], ..rule(&[(&cluster("v2"), 1)], objects) },
        ]
    });
    let at = shop.sidecar.address();
    assert_eq!(get_with(at, "orders:8080", "/", &[("x-canary", "true")]).await.app(), "v2");
    assert_eq!(get(at, "orders", "/old/1").await.app(), "v1");
    assert_eq!(get(at, "orders.shop", "/x/../new").await.app(), "v2", "paths are normalised before they are matched");
    let none = get(at, ORDERS, "/other").await;
    assert_eq!((none.status, none.body.as_str()), (404, ""));
    assert_eq!(get_with(at, "orders", "/other", &[("x-canary", "false")]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_split_by_weight() {
    let shop = Shop::start().await;
    shop.activate(|objects| vec![rule(&[(&cluster("v1"), 95), (&cluster("v2"), 5)], objects)]);
    let mut http = Http1::connect(shop.sidecar.address()).await;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2_000 {
        *counts.entry(http.get("orders", "/").await.unwrap().app().to_owned()).or_default() += 1;
    }
    // 5 % of 2,000 is 100, with a standard deviation of 10: six of them are a chance of one in a billion.
    assert!((40..160).contains(&counts["v2"]), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_with_what_the_mesh_adds_and_without_what_was_for_one_connection() {
    let shop = Shop::start().await;
    shop.activate(|objects| vec![rule(&[(&cluster("v1"), 1)], objects)]);
    let headers = [("connection", "x-mine, keep-alive"), ("x-mine", "1"), ("x-yours", "2"), ("keep-alive", "5")];
    let answer = get_with(shop.sidecar.address(), "orders:8080", "/a%41?q=1", &headers).await;
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines[..2], ["v1", "GET /aA?q=1 HTTP/1.1"]);
    let id = lines.iter().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!((id.len(), id.matches('-').count()), (36, 4));
    assert_eq!(
        lines[2..].iter().filter(|line| !line.starts_with("x-request-id")).collect::<Vec<_>>(),
        [&"host: orders:8080", &"x-envoy-attempt-count: 1", &"x-forwarded-proto: http", &"x-yours: 2"]
    );
    assert!(answer.header("x-envoy-upstream-service-time").unwrap().parse::<u64>().is_ok());
    assert_eq!(answer.header("server"), None, "that is the application's to say");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_headers_path_and_host() {
    let shop = Shop::start().await;
    shop.activate(|objects| {
        let mut rewriting = rule(&[(&cluster("v1"), 1)], objects);
        rewriting.alternatives = vec![path_prefix("/api/")];
        let to = forward(&mut rewriting);
        to.path = Some(PathRewrite::Matched("/".into()));
        to.host = "inner.example".into();
        rewriting.request_headers = Some(HeaderOps {
            remove: vec!["x-secret".into()],
            set: vec![("x-set".into(), "1".into())],
            add: vec![("x-add".into(), "2".into())],
            made: vec![],
        });
        rewriting.response_headers = Some(HeaderOps {
            remove: vec!["x-app".into()],
            set: vec![("x-done".into(), "yes".into())],
            add: vec![],
            made: vec![],
        });
        vec![rewriting]
    });
    let headers = [("x-secret", "s"), ("x-set", "0"), ("x-add", "1")];
    let answer = get_with(shop.sidecar.address(), "orders", "/api/items?x=1", &headers).await;
    assert_eq!((answer.header("x-app"), answer.header("x-done")), (None, Some("yes")));
    assert!(answer.body.starts_with("v1\nGET /items?x=1 HTTP/1.1\n"), "{}", answer.body);
    for line in ["host: inner.example", "x-set: 1", "x-add: 1", "x-add: 2"] {
        assert!(answer.body.lines().any(|one| one == line), "{line} in {}", answer.body);
    }
    assert!(!answer.body.contains("x-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_answer_and_redirect_by_themselves() {
    let shop = Shop::start().await;
    shop.activate(|objects| {
        let plain = rule(&[(&cluster("v1"), 1)], objects);
        let redirect = Redirect {
            status: 307,
            scheme: "".into(),
            host: "elsewhere.example".into(),
            port: RedirectPort::Keep,
            path: RedirectPath::Full("/there".into()),
        };
        let respond =
            DirectResponse { status: 418, body: taut_snapshot::format::codec::Blob((*b"short and stout").into()) };
        let done = HeaderOps { remove: vec![], set: vec![("x-done".into(), "yes".into())], add: vec![], made: vec![] };
        vec![
            Rule {
                alternatives: vec![path_prefix("/moved")],
                action: Action::Redirect(redirect),
                response_headers: Some(done),
                ..plain.clone()
            },
            Rule { action: Action::Respond(respond), ..plain },
        ]
    });
    let at = shop.sidecar.address();
    let moved = get(at, "orders", "/moved?q").await;
    assert_eq!((moved.status, moved.header("location")), (307, Some("http://elsewhere.example/there?q")));
    assert_eq!(moved.header("x-done"), Some("yes"));
    let teapot = get(at, "orders", "/").await;
    assert_eq!((teapot.status, teapot.body.as_str()), (418, "short and stout"));
    assert_eq!(shop.v1.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_routed_says_why() {
    let shop = Shop::start().await;
    shop.activate(|objects| {
        let mut missing = rule(&[(&cluster("v1"), 1)], objects);
        forward(&mut missing).destinations[0].target = Target::Missing("outbound|8080|v3|orders".into());
        vec![missing]
    });
    let at = shop.sidecar.address();
    assert_eq!(get(at, "orders", "/").await.status, 503, "the rule's cluster does not exist");
    shop.activate(|objects| {
        let mut missing = rule(&[(&cluster("v1"), 1)], objects);
        forward(&mut missing).destinations[0].target = Target::Missing("outbound|8080|v3|orders".into());
        forward(&mut missing).missing_status = 500;
        vec![missing]
    });
    assert_eq!(get(at, "orders", "/").await.status, 500, "the rule says with which status");
    let unknown = get(at, "api.example.com", "/").await;
    assert_eq!(unknown.status, 502);
    assert!(unknown.body.contains("`api.example.com` on port 8080: add a ServiceEntry"), "{}", unknown.body);
    assert_eq!(get(at, "orders", "/caf\u{e9}").await.status, 400);
    assert_eq!(send(at, "CONNECT", "orders", "orders:8080", &[], "").await.status, 501);
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
    ] {
        let answer = raw(at, &bad.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?} got {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bind_can_stand_for_every_port() {
    let issuer = Issuer::new();
    let (app, sidecar) = (
        App::start("v1").await,
        Running::start("frontend", &[taut_proxy::Role::OutboundAny], issuer.identity("frontend")),
    );
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    assert_eq!(get(sidecar.address(), "orders:8080", "/").await.app(), "v1");
    let other_port = get(sidecar.address(), "orders", "/").await;
    assert_eq!(other_port.status, 502);
    assert!(other_port.body.contains("`orders` on port 80"), "{}", other_port.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_and_http2_are_translated_both_ways() {
    for (protocol, version) in
        [(Protocol::Http, "HTTP/1.1"), (Protocol::Http2, "HTTP/2.0"), (Protocol::Grpc, "HTTP/2.0")]
    {
        let (sidecar, app) = (Running::calling(&Issuer::new()), App::start("v1").await);
        sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
        let cluster = Cluster { protocol, ..cluster("") };
        sidecar.activate(Case::orders(&cluster, vec![], Objects::default()));
        let from_http1 = send(sidecar.address(), "POST", "orders:8080", "/p?q=1", &[], "body").await;
        let stream = TcpStream::connect(sidecar.address()).await.unwrap();
        let from_http2 = send_http2(stream, "POST", "http://orders:8080/p?q=1", &[], "body").await;
        for answer in [from_http1, from_http2] {
            let line = answer.body.lines().nth(1).unwrap();
            let target = if version == "HTTP/2.0" { "http://orders:8080/p?q=1" } else { "/p?q=1" };
            assert_eq!(line, format!("POST {target} {version}"), "{}", answer.body);
            let has_host = answer.body.contains("host: orders:8080");
            assert_eq!(has_host, version == "HTTP/1.1", "{}", answer.body);
        }
        let stream = TcpStream::connect(sidecar.address()).await.unwrap();
        let echoed = send_http2(stream, "POST", "http://orders:8080/echo", &[], "back and forth").await;
        assert_eq!(echoed.body, "back and forth");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_follows_the_client_where_nobody_says_what_is_spoken() {
    let (sidecar, app) = (Running::calling(&Issuer::new()), App::start("v1").await);
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    let cluster = Cluster { protocol: Protocol::Auto, ..cluster("") };
    sidecar.activate(Case::orders(&cluster, vec![], Objects::default()));
    assert!(get(sidecar.address(), "orders", "/").await.body.contains("HTTP/1.1"));
    let stream = TcpStream::connect(sidecar.address()).await.unwrap();
    assert!(send_http2(stream, "GET", "http://orders/", &[], "").await.body.contains("HTTP/2.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let shop = Shop::start().await;
    shop.activate(|objects| vec![rule(&[(&cluster("v1"), 1)], objects)]);
    let mut http = Http1::connect(shop.sidecar.address()).await;
    for _ in 0..50 {
        assert_eq!(http.get("orders", "/").await.unwrap().status, 200);
        let post = http.send(request("POST", "orders", "/echo", &[], "x")).await.unwrap();
        assert_eq!(crate::client::read(post).await.unwrap().body, "x");
    }
    let connections = shop.v1.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!(connections <= 2, "{connections} connections for one request at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_may_be_written_by_others_in_parts() {
    let shop = crate::mesh::Shop::with(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {prefix: /two}}]
    delegate: {name: part, namespace: shop}
  - route: [{destination: {host: orders, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: shop}
spec:
  http:
  - match: [{uri: {prefix: /two/gone}}]
    directResponse: {status: 410}
  - route: [{destination: {host: orders, subset: v2}}]
",
    )
    .await;
    assert_eq!(shop.get("/one", &[]).await.app(), "v1");
    assert_eq!(shop.get("/two", &[]).await.app(), "v2");
    assert_eq!(shop.get("/two/gone", &[]).await.status, 410);
}
