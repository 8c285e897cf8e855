//! HTTPRoute and GRPCRoute at a gateway and within the mesh: every condition, filter and limit, from the YAML to the wire.

use std::collections::BTreeSet;

use taut_proxy::Role;
use taut_snapshot::{Endpoint, Owner};

use crate::client::{Answer, http2, read, send};
use crate::edge::{EDGE, at, gateway, route, start};
use crate::fixture::{Issuer, Running, endpoint};
use crate::server::{App, nobody};

/// A gateway with a listener for everything, and applications behind `a` and `b`.
struct Edge {
    proxy: Running,
    a: App,
    b: App,
}

impl Edge {
    async fn start() -> Edge {
        let (a, b) = (App::start("a").await, App::start("b").await);
        Edge { proxy: start(a.address, b.address), a, b }
    }

    /// With a route of a kind that says this, and other resources beside it.
    fn with(&self, kind: &str, rest: &str, beside: &str) {
        let listener = gateway("", "  - {name: http, port: 80, protocol: HTTP}\n");
        self.proxy.activate_mesh(&format!("{EDGE}{listener}{}{beside}", route(kind, "http", rest)));
    }

    fn http(&self, rules: &str) {
        self.with("HTTPRoute", &format!("  rules:\n{rules}"), "");
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(at(&self.proxy, 80), method, "shop.example", path, headers, "").await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }
}

const TO_A: &str = "backendRefs: [{name: a, port: 80}]";
const TO_B: &str = "backendRefs: [{name: b, port: 80}]";

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn every_condition_counts_and_the_narrower_rule_before_the_wider() {
    let edge = Edge::start().await;
    let table = [
        ("{path: {type: Exact, value: /x}}", "GET", "/x", "/x/y", None),
        ("{path: {type: PathPrefix, value: /x}}", "GET", "/x/y", "/xy", None),
        ("{path: {value: /x/}}", "GET", "/x", "/y", None),
        ("{path: {type: RegularExpression, value: \"/v[0-9]+/.*\"}}", "GET", "/v12/z", "/v/z", None),
        ("{method: POST}", "POST", "/", "GET /", None),
        ("{headers: [{name: Tier, value: gold}]}", "GET", "/", "/", Some(("tier", "gold"))),
        ("{headers: [{name: tier, type: RegularExpression, value: \"g.*\"}, {name: TIER, value: lead}]}", "GET", "/", "/", Some(("tier", "gold"))),
        ("{queryParams: [{name: q, value: \"1\"}]}", "GET", "/?q=1", "/?q=2", None),
        ("{queryParams: [{name: q, type: RegularExpression, value: \"[0-9]+\"}]}", "GET", "/?a=b&q=12", "/?q=x", None),
        ("{path: {value: /x}, method: GET, headers: [{name: tier, value: gold}], queryParams: [{name: q, value: \"1\"}]}", "GET", "/x?q=1", "/x?q=1", Some(("tier", "gold"))),
    ];
    for (condition, method, hit, miss, header) in table {
        // The wider rule stands first, and is tried last; but a pattern is tried after every path (semantics.md §18.4).
        let wider = if condition.contains("/v[0-9]") { "{path: {type: RegularExpression, value: \"/.*\"}}" } else { "{}" };
        edge.http(&format!("  - {{matches: [{wider}], {TO_B}}}\n  - {{matches: [{condition}], {TO_A}}}\n"));
        let headers: Vec<(&str, &str)> = header.into_iter().collect();
        assert_eq!(edge.ask(method, hit, &headers).await.app(), "a", "{condition}");
        let (method, miss) = miss.split_once(' ').unwrap_or((method, miss));
        assert_eq!(edge.ask(method, miss, &[]).await.app(), "b", "{condition}");
    }
    edge.http(&format!("  - {{matches: [{{path: {{value: /x}}}}, {{method: PUT}}], {TO_A}}}\n"));
    assert_eq!((edge.get("/x").await.app(), edge.ask("PUT", "/y", &[]).await.app()), ("a", "a"), "either will do");
    assert_eq!(edge.get("/y").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn redirects_say_where_to_go() {
    let edge = Edge::start().await;
    let table = [
        ("scheme: https", 302, "https://shop.example/x/y"),
        ("hostname: other.example, statusCode: 301", 301, "http://other.example/x/y"),
        ("port: 8443", 302, "http://shop.example:8443/x/y"),
        ("scheme: https, port: 443", 302, "https://shop.example/x/y"),
        ("path: {type: ReplaceFullPath, replaceFullPath: /z}", 302, "http://shop.example/z"),
        ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /z}", 302, "http://shop.example/z/y"),
    ];
    for (says, status, location) in table {
        edge.http(&format!("  - matches: [{{path: {{value: /x}}}}]\n    filters: [{{type: RequestRedirect, requestRedirect: {{{says}}}}}]\n"));
        let answer = edge.get("/x/y").await;
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{says}");
    }
    assert_eq!(edge.a.asked() + edge.b.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn paths_and_hosts_are_rewritten() {
    let edge = Edge::start().await;
    let table = [
        ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /z}", "GET /z/y?q=1"),
        ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}", "GET /y?q=1"),
        ("path: {type: ReplaceFullPath, replaceFullPath: /z}", "GET /z?q=1"),
        ("hostname: other.example", "host: other.example"),
    ];
    for (says, want) in table {
        edge.http(&format!("  - matches: [{{path: {{value: /x}}}}]\n    {TO_A}\n    filters: [{{type: URLRewrite, urlRewrite: {{{says}}}}}]\n"));
        let answer = edge.get("/x/y?q=1").await;
        assert!(answer.body.lines().any(|line| line.starts_with(want)), "{says}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_changed_for_a_rule_and_for_one_backend() {
    let edge = Edge::start().await;
    let changes = "{set: [{name: x-set, value: new}, {name: X-Set, value: second}], add: [{name: x-add, value: more}], remove: [x-gone]}";
    edge.http(&format!(
        "  - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {changes}}}, {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-app, value: changed}}]}}}}]\n    backendRefs: [{{name: a, port: 80, filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{add: [{{name: x-one, value: a}}]}}}}]}}]\n"
    ));
    let answer = edge.ask("GET", "/", &[("x-set", "old"), ("x-add", "first"), ("x-gone", "1")]).await;
    for line in ["x-set: new", "x-add: first", "x-add: more", "x-one: a"] {
        assert!(answer.body.lines().any(|one| one == line), "{line}: {}", answer.body);
    }
    assert!(!answer.body.contains("x-gone") && !answer.body.contains("second"), "{}", answer.body);
    assert_eq!(answer.app(), "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_to_others_and_answers_do_not_come_from_them() {
    let edge = Edge::start().await;
    for (share, copied) in [("", true), ("percent: 100, ", true), ("fraction: {numerator: 0}, ", false)] {
        edge.http(&format!(
            "  - filters: [{{type: RequestMirror, requestMirror: {{{share}backendRef: {{name: b, port: 80}}}}}}]\n    {TO_A}\n"
        ));
        let before = edge.b.asked();
        assert_eq!(edge.get("/").await.app(), "a");
        if copied {
            edge.b.seen_within(std::time::Duration::from_secs(10)).await;
            while edge.b.asked() == before {
                tokio::task::yield_now().await;
            }
        } else {
            assert_eq!(edge.b.asked(), before, "{share}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_who_may_ask() {
    let edge = Edge::start().await;
    edge.http(&format!(
        "  - filters: [{{type: CORS, cors: {{allowOrigins: [\"https://shop.example\"], allowMethods: [PUT], allowCredentials: true, maxAge: 60}}}}]\n    {TO_A}\n"
    ));
    let asks = [("origin", "https://shop.example"), ("access-control-request-method", "PUT")];
    let answer = edge.ask("OPTIONS", "/", &asks).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-max-age"), Some("60"));
    assert_eq!(edge.a.asked(), 0, "the gateway answers itself");
    let other = edge.ask("GET", "/", &[("origin", "https://other.example")]).await;
    assert_eq!((other.app(), other.header("access-control-allow-origin")), ("a", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_take_no_longer_than_a_rule_says_and_are_tried_again_as_it_says() {
    let edge = Edge::start().await;
    edge.http(&format!("  - timeouts: {{request: 50ms}}\n    {TO_A}\n"));
    assert_eq!(edge.get("/never").await.status, 504);
    edge.http(&format!("  - timeouts: {{backendRequest: 50ms}}\n    {TO_A}\n"));
    assert_eq!(edge.get("/never").await.status, 504);
    // As with Envoy, codes are those of answers: a try that takes too long is not tried again for them.
    edge.http(&format!(
        "  - timeouts: {{request: 30s, backendRequest: 50ms}}\n    retry: {{attempts: 1, codes: [503, 504], backoff: 1ms}}\n    {TO_A}\n"
    ));
    assert_eq!(edge.get("/never").await.status, 504, "each try has a limit of its own");
    for (retry, tries) in [("{attempts: 2, codes: [500]}", 3), ("{attempts: 2, codes: [502]}", 1)] {
        edge.http(&format!("  - retry: {retry}\n    {TO_A}\n"));
        let before = edge.a.asked();
        assert_eq!(edge.get("/status/500").await.status, 500);
        assert_eq!(edge.a.asked() - before, tries, "{retry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_get_their_shares_and_those_that_are_none_answer_500() {
    let edge = Edge::start().await;
    let statuses = async || {
        let mut found = BTreeSet::new();
        for _ in 0..60 {
            let answer = edge.get("/").await;
            found.insert((answer.status, answer.app().to_owned()));
        }
        found
    };
    let of =
        |list: &[(u16, &str)]| list.iter().map(|(status, app)| (*status, (*app).to_owned())).collect::<BTreeSet<_>>();
    for (backends, want) in [
        ("{name: a, port: 80, weight: 0}, {name: b, port: 80}", of(&[(200, "b")])),
        ("{name: a, port: 80}, {name: b, port: 80}", of(&[(200, "a"), (200, "b")])),
        ("{name: a, port: 80, weight: 0}", of(&[(500, "none")])),
    ] {
        edge.http(&format!("  - backendRefs: [{backends}]\n"));
        assert_eq!(statuses().await, want, "{backends}");
    }
    edge.http("  - {}\n");
    assert_eq!(edge.get("/").await.status, 500, "there is nobody to ask");
    edge.proxy.endpoints(vec![endpoint("a-1", "a", nobody().await)]);
    edge.http(&format!("  - {TO_B}\n"));
    assert_eq!(edge.get("/").await.status, 503, "nobody is there now");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_other_namespaces_are_for_those_they_are_granted_to() {
    let edge = Edge::start().await;
    let bank = "apiVersion: v1\nkind: Service\nmetadata: {name: vault, namespace: bank}\nspec: {selector: {app: orders, version: a}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n";
    let vault = Endpoint { owner: Owner::Workload("bank".into()), ..endpoint("vault-1", "a", edge.a.address) };
    edge.proxy.endpoints(vec![vault]);
    let grant = |from: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: bank}}\nspec: {{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], to: [{{group: \"\", kind: Service}}]}}\n---\n"
        )
    };
    let rest = "  rules: [{backendRefs: [{name: vault, namespace: bank, port: 80}]}]\n";
    for (grant, status) in [(grant("shop"), 200), (grant("other"), 500), (String::new(), 500)] {
        edge.with("HTTPRoute", rest, &format!("{bank}{grant}"));
        assert_eq!(edge.get("/").await.status, status, "{grant}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn calls_of_grpc_are_told_apart_by_service_and_method() {
    let edge = Edge::start().await;
    let table = [
        ("{method: {service: shop.Orders, method: Get}}", "/shop.Orders/Get", "/shop.Orders/Put", None),
        ("{method: {service: shop.Orders}}", "/shop.Orders/Put", "/shop.Other/Put", None),
        ("{method: {method: Get}}", "/shop.Other/Get", "/shop.Other/Put", None),
        ("{method: {type: RegularExpression, service: \"shop.*\", method: \"G.*\"}}", "/shop.X/Got", "/bank.X/Got", None),
        ("{headers: [{name: tier, value: gold}]}", "/x.Y/Z", "/x.Y/Z", Some(("tier", "gold"))),
    ];
    for (condition, hit, miss, header) in table {
        let rules = format!("  rules:\n  - backendRefs: [{{name: b, port: 80}}]\n  - matches: [{condition}]\n    backendRefs: [{{name: a, port: 91}}]\n    filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-by, value: rule}}]}}}}]\n");
        edge.with("GRPCRoute", &rules, "");
        let call = async |path: &str, header: Option<(&str, &str)>| {
            let io = tokio::net::TcpStream::connect(at(&edge.proxy, 80)).await.unwrap();
            let mut request = http::Request::post(format!("http://shop.example{path}")).header("content-type", "application/grpc");
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap();
            read(http2(io).await.send_request(request).await.unwrap()).await.unwrap()
        };
        let answer = call(hit, header).await;
        assert!(answer.app() == "a" && answer.body.contains("x-by: rule"), "{condition}: {}", answer.body);
        assert_eq!(call(miss, None).await.app(), "b", "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_mesh_a_route_of_a_service_is_for_its_clients() {
    let (a, b) = (App::start("a").await, App::start("b").await);
    let sidecar = Running::start("frontend", &[Role::Outbound { port: 80 }], Issuer::new().identity("frontend"));
    sidecar.endpoints(vec![endpoint("a-1", "a", a.address), endpoint("b-1", "b", b.address)]);
    let client = "apiVersion: v1\nkind: Pod\nmetadata: {name: frontend, namespace: shop, labels: {app: frontend}}\nspec: {serviceAccountName: frontend, containers: [{name: app}]}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: plain, namespace: shop}\nspec: {host: \"*.shop.svc.cluster.local\", trafficPolicy: {tls: {mode: DISABLE}}}\n---\n";
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: shop}\nspec:\n  parentRefs: [{group: \"\", kind: Service, name: a, port: 80}]\n  rules:\n  - {matches: [{path: {value: /new}}], backendRefs: [{name: b, port: 80}]}\n  - {matches: [{path: {value: /old}}], backendRefs: [{name: a, port: 80}]}\n";
    sidecar.activate_mesh(&format!("{EDGE}{client}{route}"));
    let ask = async |host: &str, path: &str| crate::client::get(sidecar.address(), host, path).await;
    assert_eq!((ask("a", "/new").await.app(), ask("a", "/old").await.app()), ("b", "a"));
    assert_eq!(ask("a", "/other").await.status, 404, "no rule takes it, and nothing else does");
    assert_eq!(ask("b", "/new").await.app(), "b", "it is for no other service");
}
