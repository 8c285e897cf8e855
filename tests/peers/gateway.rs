//! What becomes of requests that come to a gateway: which host they are for, and what is believed of them.

use serde_json::{Value, json};
use taut_proxy::Role;

use crate::backend::Backends;
use crate::compare::{Case, Door, ask, case, compare, conclude};
use crate::config::{all, at_edge, captured, cluster, exact, host, listener, prefix, start, to, with};
use crate::taut::Taut;

/// Says to Envoy who asks: of clients on its own machine it writes down the machine's address instead.
const FROM: &str = "PROXY TCP4 192.168.7.7 127.0.0.1 40000 80\r\n";

/// A gateway for HTTP on port 80, and services `one`, `two` and `three`.
fn resources() -> String {
    let mut yaml = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Pod\n\
         metadata: {name: edge, namespace: shop, labels: {app: edge}}\n\
         spec: {serviceAccountName: edge, containers: [{name: app}]}\n---\n",
    );
    for name in ["one", "two", "three"] {
        yaml += &format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8080}}]}}\n---\n"
        );
    }
    yaml
}

/// The gateway itself, with more in its server.
fn gateway(hosts: &str, more: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: shop}}\nspec:\n\
         \x20 selector: {{app: edge}}\n  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: {hosts}{more}}}]\n---\n"
    )
}

fn rules(name: &str, hosts: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n\
         \x20 hosts: {hosts}\n  gateways: [edge]\n  http: {http}\n---\n"
    )
}

fn sends(to: &str) -> String {
    format!("[{{route: [{{destination: {{host: {to}, port: {{number: 8080}}}}}}]}}]")
}

fn sends_to(path: &str, to: &str) -> String {
    format!(
        "[{{match: [{{uri: {{prefix: {path}}}}}], route: [{{destination: {{host: {to}, port: {{number: 8080}}}}}}]}}]"
    )
}

/// Runs cases: what is of Envoy in them are virtual hosts.
fn run(cases: &[Case]) {
    let backends = Backends::start(&["one", "two", "three"]);
    let names = ["one", "two", "three"];
    let taut = Taut::start("edge", Role::Gateway { port: 80 });
    taut.endpoints(&names.map(|name| (name, vec![backends.address(name)])));
    let listeners: Vec<Value> =
        cases.iter().map(|case| captured(at_edge(listener(case.name, vec![], &case.envoy)))).collect();
    let envoy = start(&listeners, &names.map(|name| cluster(name, &[backends.address(name)])));
    let ours = Door { address: taut.address(), preamble: "", client: "127.0.0.1", settles: None };
    let mut wrong = Vec::new();
    for case in cases {
        taut.activate(&format!("{}{}", resources(), case.istio));
        let theirs = Door { address: envoy.listeners[case.name], preamble: FROM, client: "192.168.7.7", settles: None };
        wrong.extend(compare(case, "shop.example", [&ours, &theirs], &backends));
    }
    conclude(cases.len(), &wrong);
}

#[test]
fn hosts_and_edges() {
    let hosts_of_three = [
        rules("exact", "[a.b.example]", &sends("one")),
        rules("near", "['*.b.example']", &sends("two")),
        rules("far", "['*.example']", &sends("three")),
    ];
    let cases = [
        case(
            "by-name",
            format!("{}{}", gateway("['*']", ""), hosts_of_three.concat()),
            vec![
                host("far", &["*.example"], &[to(all(), "three")]),
                host("near", &["*.b.example"], &[to(all(), "two")]),
                host("exact", &["a.b.example"], &[to(all(), "one")]),
            ],
            vec![
                ask("GET /", "200 one").host("a.b.example"),
                ask("GET /", "200 one").host("A.b.Example:8080"),
                ask("GET /", "200 two").host("c.b.example"),
                ask("GET /", "200 two").host("d.c.b.example"),
                ask("GET /", "200 three").host("b.example"),
                ask("GET /", "200 three").host("c.a.example"),
                ask("GET /", "404").host("example"),
                ask("GET /", "404").host("other"),
            ],
        ),
        case(
            "dot",
            format!("{}{}", gateway("['*']", ""), rules("exact", "[a.b.example]", &sends("one"))),
            vec![host("exact", &["a.b.example"], &[to(all(), "one")])],
            vec![ask("GET /", "404").host("a.b.example.")],
        )
        .differs("a name with the dot at its end is the same name"),
        case(
            "everybody",
            format!(
                "{}{}{}",
                gateway("['*']", ""),
                rules("all", "['*']", &sends("one")),
                rules("some", "[shop.example]", &sends_to("/a", "two"))
            ),
            vec![host("some", &["shop.example"], &[to(prefix("/a"), "two")]), host("all", &["*"], &[to(all(), "one")])],
            vec![ask("GET /a", "200 two"), ask("GET /", "404"), ask("GET /", "200 one").host("other")],
        ),
        case(
            "merged",
            format!(
                "{}{}{}",
                gateway("['*']", ""),
                rules("a", "[shop.example]", &sends("one")),
                rules("b", "[shop.example]", &sends_to("/b", "two"))
            ),
            vec![host("both", &["shop.example"], &[to(prefix("/b"), "two"), to(all(), "one")])],
            vec![ask("GET /b", "200 two"), ask("GET /", "200 one")],
        ),
        case("no-rules", gateway("['*']", ""), vec![], vec![ask("GET /", "404")]),
        case(
            "only-secure",
            format!(
                "{}{}",
                gateway("[shop.example]", ", tls: {httpsRedirect: true}"),
                rules("a", "[shop.example]", &sends("one"))
            ),
            vec![with(host("a", &["shop.example"], &[to(all(), "one")]), json!({"require_tls": "ALL"}))],
            vec![ask("GET /a?b=c", "301"), ask("POST /", "301"), ask("GET /", "404").host("other")],
        ),
        case(
            "only-secure-port",
            format!(
                "{}{}",
                gateway("[shop.example]", ", tls: {httpsRedirect: true}"),
                rules("a", "[shop.example]", &sends("one"))
            ),
            vec![with(host("a", &["shop.example"], &[to(all(), "one")]), json!({"require_tls": "ALL"}))],
            vec![ask("GET /", "301").host("shop.example:80"), ask("GET /", "301").host("shop.example:8080")],
        )
        .differs("at the port of plain HTTP nobody speaks TLS, so the port is left out"),
        case(
            "believed",
            format!("{}{}", gateway("['*']", ""), rules("a", "[shop.example]", &sends("one"))),
            vec![host("a", &["shop.example"], &[to(all(), "one")])],
            vec![
                ask("GET /", "200 one"),
                ask("GET /", "200 one").with("x-forwarded-for", "10.0.0.1").with("x-forwarded-proto", "https"),
                ask("GET /", "200 one")
                    .with("x-forwarded-for", "10.0.0.1, 10.0.0.2")
                    .with("x-forwarded-for", "10.0.0.3"),
                ask("GET /", "200 one").with("x-forwarded-client-cert", "By=a;Hash=b"),
                ask("GET /", "200 one").with("x-forwarded-host", "a").with("x-forwarded-port", "1"),
                ask("GET /", "503 one")
                    .with("x-do", "503")
                    .with("x-envoy-retry-on", "5xx")
                    .with("x-envoy-max-retries", "1"),
            ],
        ),
        case(
            "redirected",
            format!(
                "{}{}",
                gateway("['*']", ""),
                rules(
                    "a",
                    "[shop.example]",
                    "[{match: [{uri: {exact: /a}}], redirect: {scheme: https}}, {redirect: {derivePort: FROM_REQUEST_PORT, uri: /b}}]"
                )
            ),
            vec![host(
                "a",
                &["shop.example"],
                &[
                    json!({"match": exact("/a"), "redirect": {"scheme_redirect": "https"}}),
                    json!({"match": all(), "redirect": {"path_redirect": "/b"}}),
                ],
            )],
            vec![ask("GET /a", "301"), ask("GET /c", "301")],
        ),
    ];
    run(&cases);
}
