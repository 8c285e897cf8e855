//! What becomes of a request on its way: paths, hosts and headers that change, and answers that no application gives.

use serde_json::{Value, json};

use crate::compare::{Case, ask, case};
use crate::config::{all, exact, header, is, joined, prefix, regex, to, to_with, values, with};
use crate::outbound::run;

const SET: &str = "OVERWRITE_IF_EXISTS_OR_ADD";
const ADD: &str = "APPEND_IF_EXISTS_OR_ADD";

/// One rule that goes to `one`, with more in its rule and in its route.
fn sent(name: &'static str, istio: &str, envoy: Value, asks: Vec<crate::compare::Ask>) -> Case {
    case(name, format!("  - route: [{{destination: {{host: one}}}}]\n{istio}"), vec![envoy], asks)
}

/// The same for requests of one kind.
fn sent_if(name: &'static str, uri: &str, istio: &str, envoy: Value, asks: Vec<crate::compare::Ask>) -> Case {
    let rule = format!("  - match: [{{uri: {{{uri}}}}}]\n    route: [{{destination: {{host: one}}}}]\n{istio}");
    case(name, rule, vec![envoy], asks)
}

#[test]
fn rewrites() {
    let cases = [
        sent_if(
            "rewrite-prefix",
            "prefix: /foo",
            "    rewrite: {uri: /bar}",
            to_with(prefix("/foo"), "one", json!({"prefix_rewrite": "/bar"})),
            vec![
                ask("GET /foo", "200 one"),
                ask("GET /foo/x?q=1", "200 one"),
                ask("GET /foobar", "200 one"),
                ask("GET /foo?a=/foo", "200 one"),
            ],
        ),
        sent_if(
            "rewrite-to-root",
            "prefix: /foo",
            "    rewrite: {uri: /}",
            to_with(prefix("/foo"), "one", json!({"prefix_rewrite": "/"})),
            vec![ask("GET /foo/bar", "200 one"), ask("GET /foo", "200 one")],
        ),
        sent_if(
            "rewrite-exact",
            "exact: /foo",
            "    rewrite: {uri: /bar/}",
            to_with(exact("/foo"), "one", json!({"prefix_rewrite": "/bar/"})),
            vec![ask("GET /foo?q", "200 one")],
        ),
        sent_if(
            "rewrite-of-regex",
            "regex: '/f.*'",
            "    rewrite: {uri: /bar}",
            to_with(regex("/f.*"), "one", json!({"prefix_rewrite": "/bar"})),
            vec![ask("GET /foo/x?q", "200 one")],
        ),
        sent(
            "rewrite-without-match",
            "    rewrite: {uri: /bar/}",
            to_with(all(), "one", json!({"prefix_rewrite": "/bar/"})),
            vec![ask("GET /foo/x?q", "200 one"), ask("GET /", "200 one")],
        ),
        sent(
            "rewrite-regex",
            "    rewrite: {uriRegexRewrite: {match: '/v([0-9])/(a+)', rewrite: '/\\2/\\1'}}",
            to_with(
                all(),
                "one",
                json!({"regex_rewrite": {
                "pattern": {"regex": "/v([0-9])/(a+)"}, "substitution": "/\\2/\\1"}}),
            ),
            vec![
                ask("GET /v1/aa/v2/a?v=/v1/a", "200 one"),
                ask("GET /x/v1/a", "200 one"),
                ask("GET /nothing", "200 one"),
            ],
        ),
        sent(
            "rewrite-authority",
            "    rewrite: {authority: other.example}",
            to_with(all(), "one", json!({"host_rewrite_literal": "other.example"})),
            vec![ask("GET /", "200 one"), ask("GET /", "200 one").host("rewrite-authority:8080")],
        ),
        case(
            "rewrite-weighted",
            "  - route: [{destination: {host: one}, weight: 100}, {destination: {host: two}, weight: 0}]\n    headers: {request: {set: {host: set.example}}}",
            vec![to_with(all(), "one", json!({"host_rewrite_literal": "set.example"}))],
            vec![ask("GET /", "200 one")],
        ),
    ];
    run(&cases, vec![]);
}

/// A route that redirects.
fn moved(matched: Value, action: Value) -> Value {
    json!({"match": matched, "redirect": action})
}

#[test]
fn redirects() {
    let cases = [
        case(
            "redirect-path",
            "  - redirect: {uri: /there}",
            vec![moved(all(), json!({"path_redirect": "/there"}))],
            vec![ask("GET /here?q=1", "301"), ask("GET /", "301").host("redirect-path:8080")],
        ),
        case(
            "redirect-with-query",
            "  - redirect: {uri: '/there?a=b'}",
            vec![moved(all(), json!({"path_redirect": "/there?a=b"}))],
            vec![ask("GET /here?q=1", "301"), ask("GET /", "301")],
        ),
        case(
            "redirect-host",
            "  - redirect: {authority: other.example, redirectCode: 307}",
            vec![moved(all(), json!({"host_redirect": "other.example", "response_code": "TEMPORARY_REDIRECT"}))],
            vec![ask("GET /here?q=1", "307"), ask("GET /", "307").host("redirect-host:8080")],
        ),
        case(
            "redirect-scheme",
            "  - redirect: {scheme: https, redirectCode: 308}",
            vec![moved(all(), json!({"scheme_redirect": "https", "response_code": "PERMANENT_REDIRECT"}))],
            vec![
                ask("GET /here?q=1", "308"),
                ask("GET /", "308").host("redirect-scheme:80"),
                ask("GET /", "308").host("redirect-scheme:8080"),
            ],
        ),
        case(
            "redirect-port",
            "  - redirect: {port: 8443, redirectCode: 302}",
            vec![moved(all(), json!({"port_redirect": 8443, "response_code": "FOUND"}))],
            vec![ask("GET /here", "302"), ask("GET /", "302").host("redirect-port:8080")],
        ),
        case(
            "redirect-prefix",
            "  - match: [{uri: {prefix: /old}}]\n    redirect: {prefixRewrite: /new, redirectCode: 303}",
            vec![moved(prefix("/old"), json!({"prefix_rewrite": "/new", "response_code": "SEE_OTHER"}))],
            vec![ask("GET /old/x?q=1", "303"), ask("GET /older", "303")],
        ),
        case(
            "redirect-forwarded",
            "  - redirect: {uri: /there}",
            vec![moved(all(), json!({"path_redirect": "/there"}))],
            vec![ask("GET /", "301").with("x-forwarded-proto", "https")],
        ),
        case(
            "redirect-headers",
            "  - redirect: {uri: /there}\n    headers: {response: {set: {x-a: b}, remove: [location]}}",
            vec![with(
                moved(all(), json!({"path_redirect": "/there"})),
                json!({"response_headers_to_add": values(&[("x-a", "b")], SET), "response_headers_to_remove": ["location"]}),
            )],
            vec![ask("GET /", "301")],
        ),
        case(
            "direct",
            "  - directResponse: {status: 418, body: {string: 'short and stout'}}",
            vec![
                json!({"match": all(), "direct_response": {"status": 418, "body": {"inline_string": "short and stout"}}}),
            ],
            vec![ask("GET /", "418"), ask("HEAD /", "418")],
        ),
        case(
            "direct-empty",
            "  - directResponse: {status: 204}\n    headers: {response: {add: {x-a: b}}}",
            vec![json!({"match": all(), "direct_response": {"status": 204},
                "response_headers_to_add": values(&[("x-a", "b")], ADD)})],
            vec![ask("GET /", "204")],
        ),
        case(
            "direct-typed",
            "  - directResponse: {status: 200, body: {string: '{}'}}\n    headers: {response: {set: {content-type: application/json}}}",
            vec![json!({"match": all(), "direct_response": {"status": 200, "body": {"inline_string": "{}"}},
                "response_headers_to_add": values(&[("content-type", "application/json")], SET)})],
            vec![ask("GET /", "200")],
        ),
    ];
    run(&cases, vec![]);
}

#[test]
fn headers() {
    let cases = [
        sent(
            "headers-of-rule",
            "    headers:\n      request: {remove: [x-gone, x-both], set: {x-set: new, x-both: set}, add: {x-add: more}}",
            with(
                to(all(), "one"),
                json!({
                    "request_headers_to_remove": ["x-gone", "x-both"],
                    "request_headers_to_add": joined(&[values(&[("x-both", "set"), ("x-set", "new")], SET), values(&[("x-add", "more")], ADD)]),
                }),
            ),
            vec![
                ask("GET /", "200 one"),
                ask("GET /", "200 one")
                    .with("x-gone", "a")
                    .with("x-both", "b")
                    .with("x-set", "old")
                    .with("x-set", "older")
                    .with("x-add", "first"),
            ],
        ),
        case(
            "headers-of-both",
            "  - route:\n    - destination: {host: one}\n      headers: {request: {set: {x-a: destination}, add: {x-b: destination}}, response: {set: {x-c: destination}}}\n    headers: {request: {set: {x-a: rule}, add: {x-b: rule}}, response: {set: {x-c: rule}}}",
            vec![with(
                to(all(), "one"),
                json!({
                    "request_headers_to_add": joined(&[values(&[("x-a", "rule")], SET), values(&[("x-b", "rule")], ADD),
                        values(&[("x-a", "destination")], SET), values(&[("x-b", "destination")], ADD)]),
                    "response_headers_to_add": joined(&[values(&[("x-c", "rule")], SET), values(&[("x-c", "destination")], SET)]),
                }),
            )],
            vec![ask("GET /", "200 one").with("x-a", "client")],
        ),
        case(
            "headers-weighted",
            "  - route:\n    - destination: {host: one}\n      weight: 1\n      headers: {request: {set: {x-a: destination}, add: {x-b: destination}}}\n    - destination: {host: one}\n      weight: 1\n      headers: {request: {set: {x-a: destination}, add: {x-b: destination}}}\n    headers: {request: {set: {x-a: rule}, add: {x-b: rule}}}",
            vec![{
                let cluster = json!({"name": "one", "weight": 1, "request_headers_to_add":
                    joined(&[values(&[("x-a", "destination")], SET), values(&[("x-b", "destination")], ADD)])});
                json!({"match": all(), "route": {"weighted_clusters": {"clusters": [cluster, cluster]}, "timeout": "0s"},
                    "request_headers_to_add": joined(&[values(&[("x-a", "rule")], SET), values(&[("x-b", "rule")], ADD)])})
            }],
            vec![ask("GET /", "200 one").with("x-a", "client")],
        ),
        sent(
            "headers-of-answer",
            "    headers: {response: {remove: [x-backend], set: {x-set: a, x-said: new}, add: {x-add: b}}}",
            with(
                to(all(), "one"),
                json!({
                    "response_headers_to_remove": ["x-backend"],
                    "response_headers_to_add": joined(&[values(&[("x-said", "new"), ("x-set", "a")], SET), values(&[("x-add", "b")], ADD)]),
                }),
            ),
            vec![
                ask("GET /", "200 one").with("x-answer", "x-said=old"),
                ask("GET /", "200 one").with("x-answer", "x-add=first"),
            ],
        ),
        sent(
            "headers-of-the-hop",
            "",
            to(all(), "one"),
            vec![
                ask("GET /", "200 one")
                    .with("keep-alive", "5")
                    .with("te", "trailers")
                    .with("proxy-connection", "close"),
                ask("GET /", "200 one").with("x-forwarded-for", "10.0.0.1").with("x-forwarded-proto", "https"),
                ask("GET /", "200 one").with("x-forwarded-host", "a").with("forwarded", "for=a").with("via", "1.1 a"),
                ask("GET /", "200 one")
                    .with("x-request-id", "mine")
                    .with("x-empty", "")
                    .with("accept-encoding", "gzip"),
                ask("GET /", "200 one")
                    .with("x-two", "a")
                    .with("x-two", "b")
                    .with("cookie", "a=1")
                    .with("cookie", "b=2"),
                ask("GET /?x=%20&y=a+b&&", "200 one"),
                ask("GET /a;b=c/%7Ed", "200 one"),
            ],
        ),
        sent(
            "sharing",
            "    corsPolicy: {allowOrigins: [{exact: 'https://a.example'}], allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 60s, allowCredentials: true}",
            with(
                to(all(), "one"),
                json!({"typed_per_filter_config": {"envoy.filters.http.cors": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
                    "allow_origin_string_match": [{"exact": "https://a.example"}], "allow_methods": "GET,PUT",
                    "allow_headers": "x-a", "expose_headers": "x-b", "max_age": "60", "allow_credentials": true,
                    "filter_enabled": {"default_value": {"numerator": 100}}, "forward_not_matching_preflights": true}}}),
            ),
            vec![
                ask("OPTIONS /", "200")
                    .with("origin", "https://a.example")
                    .with("access-control-request-method", "PUT"),
                ask("OPTIONS /", "200 one")
                    .with("origin", "https://b.example")
                    .with("access-control-request-method", "PUT"),
                ask("GET /", "200 one").with("origin", "https://a.example"),
                ask("GET /", "200 one").with("origin", "https://b.example"),
                ask("OPTIONS /", "200 one").with("origin", "https://a.example"),
            ],
        ),
        case(
            "in-order",
            "  - match: [{headers: {x-a: {exact: b}}}]\n    route: [{destination: {host: two}}]\n  - match: [{uri: {prefix: /}}]\n    route: [{destination: {host: one}}]",
            vec![to(header(all(), "x-a", is("b")), "two"), to(all(), "one")],
            vec![ask("GET /", "200 two").with("x-a", "b"), ask("GET /", "200 one")],
        ),
    ];
    run(&cases, vec![]);
}
