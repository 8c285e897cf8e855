//! Which requests a rule matches. Among these are all questions that were put to Envoy before rules were given a meaning.

use serde_json::{Value, json};

use crate::compare::{Case, ask, case};
use crate::config::{all, begins, exact, header, is, matches, parameter, prefix, present, regex, to, with, without};
use crate::outbound::run;

/// One match that goes to `one`, before everything else goes to `two`.
fn matched(name: &'static str, istio: &str, envoy: Value, asks: Vec<crate::compare::Ask>) -> Case {
    let rules = format!(
        "  - match: [{istio}]\n    route: [{{destination: {{host: one}}}}]\n  - route: [{{destination: {{host: two}}}}]"
    );
    case(name, rules, vec![to(envoy, "one"), to(all(), "two")], asks)
}

#[test]
fn paths() {
    let cases = [
        matched(
            "exact",
            "{uri: {exact: /e}}",
            exact("/e"),
            vec![
                ask("GET /e", "200 one"),
                ask("GET /e?q=1", "200 one"),
                ask("GET /e/", "200 two"),
                ask("GET /E", "200 two"),
                ask("GET /e%20", "200 two"),
                ask("HEAD /e", "200 one"),
            ],
        ),
        matched(
            "prefix",
            "{uri: {prefix: /foo}}",
            prefix("/foo"),
            vec![
                ask("GET /foo", "200 one"),
                ask("GET /foobar", "200 one"),
                ask("GET /foo/bar?x", "200 one"),
                ask("GET /FOO", "200 two"),
                ask("GET /fo", "200 two"),
            ],
        ),
        matched("prefix-with-query", "{uri: {prefix: '/a?x'}}", prefix("/a?x"), vec![ask("GET /a?x=1", "200 two")]),
        matched(
            "regex",
            "{uri: {regex: '/r/[0-9]+'}}",
            regex("/r/[0-9]+"),
            vec![
                ask("GET /r/12", "200 one"),
                ask("GET /r/12?z", "200 one"),
                ask("GET /r/12/x", "200 two"),
                ask("GET /a/r/12", "200 two"),
            ],
        ),
        matched(
            "regex-case",
            "{uri: {regex: '/r'}, ignoreUriCase: true}",
            regex("/r"),
            vec![ask("GET /r", "200 one"), ask("GET /R", "200 two")],
        ),
        matched(
            "ignore-case",
            "{uri: {exact: /Case}, ignoreUriCase: true}",
            with(exact("/Case"), json!({"case_sensitive": false})),
            vec![ask("GET /cASE", "200 one"), ask("GET /case/", "200 two")],
        ),
        matched(
            "ignore-prefix-case",
            "{uri: {prefix: /Case}, ignoreUriCase: true}",
            with(prefix("/Case"), json!({"case_sensitive": false})),
            vec![ask("GET /cASE/x", "200 one"), ask("GET /cas", "200 two")],
        ),
        matched(
            "normalised",
            "{uri: {prefix: /a}}",
            prefix("/a"),
            vec![
                ask("GET /x/../a/b", "200 one"),
                ask("GET /./a", "200 one"),
                ask("GET /x/%2e%2e/a", "200 one"),
                ask("GET \\a", "400"),
                ask("GET /x\\..\\a", "200 one"),
                ask("GET /%61", "200 one"),
                ask("GET /%41", "200 two"),
                ask("GET //a", "200 two"),
                ask("GET /a/../..", "200 two"),
                ask("GET /a/%2F", "200 one"),
                ask("GET /a/..%2fb?%61", "200 one"),
            ],
        ),
        matched(
            "escaped-slash",
            "{uri: {prefix: /a%2Fb}}",
            prefix("/a%2Fb"),
            vec![ask("GET /a%2Fb", "200 one"), ask("GET /a%2fb", "200 two"), ask("GET /a/b", "200 two")],
        ),
        matched(
            "bad-paths",
            "{uri: {prefix: /a}}",
            prefix("/a"),
            vec![
                ask("GET /a\u{e9}", "400"),
                ask("GET /a%zz", "200 one"),
                ask("GET /a%00", "400"),
                ask("GET a", "400"),
                ask("GET http://bad-paths/a", "200 one"),
            ],
        ),
        matched("fragment", "{uri: {prefix: /a}}", prefix("/a"), vec![ask("GET /a#b", "400"), ask("GET /?a#x", "400")])
            .differs("requests are read without what follows a `#`: rules, policies and applications all see the rest"),
        matched("asterisk", "{uri: {prefix: /a}}", prefix("/a"), vec![ask("OPTIONS *", "404")])
            .differs("a rule without conditions is for every request, and to Envoy it is the prefix `/`"),
        case(
            "segments",
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: segments, namespace: shop}\n\
             spec:\n  parentRefs: [{group: '', kind: Service, name: segments}]\n  rules:\n\
             \x20 - matches: [{path: {type: PathPrefix, value: /app}}]\n    backendRefs: [{name: one, port: 8080}]\n\
             \x20 - backendRefs: [{name: two, port: 8080}]",
            vec![to(json!({"path_separated_prefix": "/app"}), "one"), to(all(), "two")],
            vec![
                ask("GET /app", "200 one"),
                ask("GET /app/", "200 one"),
                ask("GET /app?x", "200 one"),
                ask("GET /application", "200 two"),
            ],
        ),
    ];
    run(&cases, vec![]);
}

#[test]
fn headers() {
    let latin = |pattern: &str| header(all(), "x-foo", matches(pattern));
    let cases = [
        matched(
            "header",
            "{headers: {x-foo: {exact: bar}}}",
            header(all(), "x-foo", is("bar")),
            vec![
                ask("GET /", "200 one").with("X-Foo", "bar"),
                ask("GET /", "200 one").with("x-foo", "  bar\t"),
                ask("GET /", "200 two").with("x-foo", "Bar"),
                ask("GET /", "200 two"),
                ask("GET /", "200 one").with("x-foo", "bar").with("x-foo", "baz"),
                ask("GET /", "200 one").with("x-foo", "baz").with("x-foo", "bar"),
                ask("GET /", "200 two").with("x-foo", "bar,baz"),
            ],
        ),
        matched(
            "header-joined",
            "{headers: {x-foo: {exact: 'bar,baz'}}}",
            header(all(), "x-foo", is("bar,baz")),
            vec![
                ask("GET /", "200 two").with("x-foo", "bar").with("x-foo", "baz"),
                ask("GET /", "200 one").with("x-foo", "bar,baz"),
            ],
        ),
        matched(
            "header-prefix",
            "{headers: {x-foo: {prefix: ba}}}",
            header(all(), "x-foo", begins("ba")),
            vec![
                ask("GET /", "200 one").with("x-foo", "q").with("x-foo", "baz"),
                ask("GET /", "200 two").with("x-foo", "q, ba"),
            ],
        ),
        matched(
            "header-regex",
            "{headers: {x-foo: {regex: '.*z'}}}",
            header(all(), "x-foo", matches(".*z")),
            vec![
                ask("GET /", "200 one").with("x-foo", "bar").with("x-foo", "baz"),
                ask("GET /", "200 two").with("x-foo", "bar").with("x-foo", "bazq"),
            ],
        ),
        matched(
            "header-present",
            "{headers: {x-foo: {}}}",
            header(all(), "x-foo", present()),
            vec![ask("GET /", "200 one").with("x-foo", ""), ask("GET /", "200 two")],
        ),
        matched(
            "header-inline",
            "{headers: {accept: {exact: a}}}",
            header(all(), "accept", is("a")),
            vec![
                ask("GET /", "200 one").with("accept", "a"),
                ask("GET /", "200 two").with("accept", "a").with("accept", "b"),
            ],
        ),
        matched(
            "header-inline-joined",
            "{headers: {accept: {exact: 'a,b'}}}",
            header(all(), "accept", is("a,b")),
            vec![ask("GET /", "200 one").with("accept", "a").with("accept", "b")],
        ),
        matched(
            "agent",
            "{headers: {user-agent: {exact: a}}}",
            header(all(), "user-agent", is("a")),
            vec![
                ask("GET /", "200 one").with("user-agent", "a"),
                ask("GET /", "200 two").with("user-agent", "a").with("user-agent", "b"),
            ],
        ),
        matched(
            "forwarded-for",
            "{headers: {x-forwarded-for: {exact: 10.0.0.1}}}",
            header(all(), "x-forwarded-for", is("10.0.0.1")),
            vec![
                ask("GET /", "200 one").with("x-forwarded-for", "10.0.0.1"),
                ask("GET /", "200 two").with("x-forwarded-for", "10.0.0.1").with("x-forwarded-for", "10.0.0.2"),
            ],
        ),
        matched(
            "cookie",
            "{headers: {cookie: {exact: a=1}}}",
            header(all(), "cookie", is("a=1")),
            vec![
                ask("GET /", "200 one").with("cookie", "a=1").with("cookie", "b=2"),
                ask("GET /", "200 two").with("cookie", "a=1; b=2"),
            ],
        ),
        matched(
            "cookie-joined",
            "{headers: {cookie: {exact: 'a=1; b=2'}}}",
            header(all(), "cookie", is("a=1; b=2")),
            vec![
                ask("GET /", "200 two").with("cookie", "a=1").with("cookie", "b=2"),
                ask("GET /", "200 one").with("cookie", "a=1; b=2"),
            ],
        ),
        matched(
            "without",
            "{withoutHeaders: {x-foo: {exact: bar}}}",
            header(all(), "x-foo", without(is("bar"))),
            vec![
                ask("GET /", "200 one"),
                ask("GET /", "200 one").with("x-foo", "q").with("x-foo", "r"),
                ask("GET /", "200 two").with("x-foo", "q").with("x-foo", "bar"),
                ask("GET /", "200 two").with("x-foo", "bar"),
            ],
        ),
        matched(
            "without-any",
            "{withoutHeaders: {x-foo: {}}}",
            header(all(), "x-foo", json!({"present_match": true, "invert_match": true})),
            vec![ask("GET /", "200 one"), ask("GET /", "200 two").with("x-foo", "")],
        ),
        matched(
            "without-all-values",
            "{withoutHeaders: {x-foo: {regex: '.*'}}}",
            header(all(), "x-foo", without(matches(".*"))),
            vec![ask("GET /", "200 two"), ask("GET /", "200 two").with("x-foo", "a")],
        ),
        matched(
            "one-byte",
            "{headers: {x-foo: {regex: '.'}}}",
            latin("."),
            vec![
                ask("GET /", "200 one").with("x-foo", "\u{ff}"),
                ask("GET /", "200 two").with("x-foo", "\u{c3}\u{a9}"),
            ],
        ),
        matched(
            "two-bytes",
            "{headers: {x-foo: {regex: '..'}}}",
            latin(".."),
            vec![ask("GET /", "200 one").with("x-foo", "\u{c3}\u{a9}")],
        ),
        matched(
            "accent",
            "{headers: {x-foo: {regex: '(?i)é'}}}",
            latin("(?i)é"),
            vec![
                ask("GET /", "200 one").with("x-foo", "\u{c3}\u{a9}"),
                ask("GET /", "200 two").with("x-foo", "\u{e9}"),
            ],
        ),
        matched(
            "letter",
            "{headers: {x-foo: {regex: '\\pL'}}}",
            latin("\\pL"),
            vec![ask("GET /", "200 one").with("x-foo", "\u{e9}"), ask("GET /", "200 two").with("x-foo", "1")],
        ),
        matched(
            "word",
            "{headers: {x-foo: {regex: '\\w'}}}",
            latin("\\w"),
            vec![ask("GET /", "200 two").with("x-foo", "\u{e9}"), ask("GET /", "200 one").with("x-foo", "e")],
        ),
    ];
    run(&cases, vec![]);
}

#[test]
fn the_rest_of_a_request() {
    let cases = [
        matched(
            "query",
            "{queryParams: {a: {exact: '1'}}}",
            parameter(all(), "a", is("1")),
            vec![
                ask("GET /?a=1", "200 one"),
                ask("GET /?a=1&a=2", "200 one"),
                ask("GET /?a=2&a=1", "200 two"),
                ask("GET /?a=%31", "200 two"),
                ask("GET /?A=1", "200 two"),
                ask("GET /", "200 two"),
            ],
        ),
        matched(
            "query-escaped",
            "{queryParams: {a: {exact: '%31'}}}",
            parameter(all(), "a", is("%31")),
            vec![ask("GET /?a=%31", "200 one"), ask("GET /?a=1", "200 two")],
        ),
        matched(
            "query-prefix",
            "{queryParams: {a: {prefix: '1'}}}",
            parameter(all(), "a", begins("1")),
            vec![ask("GET /?a=12", "200 one"), ask("GET /?a=", "200 two"), ask("GET /?a", "200 two")],
        ),
        matched(
            "query-regex",
            "{queryParams: {a: {regex: '[0-9]+'}}}",
            parameter(all(), "a", matches("[0-9]+")),
            vec![ask("GET /?a=12", "200 one"), ask("GET /?a=12x", "200 two"), ask("GET /?x=1;a=12", "200 two")],
        ),
        matched(
            "query-present",
            "{queryParams: {a: {}}}",
            parameter(all(), "a", present()),
            vec![ask("GET /?a", "200 one"), ask("GET /?a=", "200 one"), ask("GET /?b=a", "200 two")],
        ),
        matched(
            "method",
            "{method: {exact: POST}}",
            header(all(), ":method", is("POST")),
            vec![
                ask("POST /", "200 one").with("content-length", "0"),
                ask("GET /", "200 two"),
                ask("PURGE /", "200 two"),
                ask("DELETE /", "200 two"),
                ask("TRACE /", "200 two"),
                ask("OPTIONS /", "200 two"),
                ask("PUT /", "200 two"),
                ask("POST /", "200 one"),
            ],
        ),
        matched(
            "scheme",
            "{scheme: {exact: http}}",
            header(all(), ":scheme", is("http")),
            vec![ask("GET /", "200 one"), ask("GET /", "200 two").with("x-forwarded-proto", "https")],
        ),
        matched(
            "authority",
            "{authority: {exact: authority}}",
            header(all(), ":authority", is("authority")),
            vec![
                ask("GET /", "200 one"),
                ask("GET /", "200 two").host("authority:8080"),
                ask("GET /", "200 two").host("Authority"),
                ask("GET /", "200 two").host("authority.shop"),
            ],
        ),
        matched(
            "port",
            "{port: 8080}",
            all(),
            vec![ask("GET /", "200 one"), ask("GET /", "200 one").host("port:9090")],
        ),
        matched(
            "other-port",
            "{port: 9090}",
            with(all(), json!({"headers": [{"name": "x", "present_match": true}]})),
            vec![ask("GET /", "200 two")],
        ),
        matched(
            "both",
            "{uri: {prefix: /a}, method: {exact: GET}, headers: {x-foo: {exact: bar}}, queryParams: {b: {}}}",
            parameter(header(header(prefix("/a"), ":method", is("GET")), "x-foo", is("bar")), "b", present()),
            vec![
                ask("GET /a?b", "200 one").with("x-foo", "bar"),
                ask("GET /a", "200 two").with("x-foo", "bar"),
                ask("GET /a?b", "200 two"),
                ask("POST /a?b", "200 two").with("x-foo", "bar").with("content-length", "0"),
            ],
        ),
        matched(
            "either",
            "{uri: {exact: /a}}, {headers: {x-foo: {exact: bar}}}",
            json!({"safe_regex": {"regex": "/a"}}),
            vec![ask("GET /a", "200 one"), ask("GET /b", "200 two")],
        ),
        case(
            "hosts",
            "  - route: [{destination: {host: one}}]",
            vec![to(all(), "one")],
            vec![
                ask("GET /", "200 one").host("HOSTS"),
                ask("GET /", "200 one").host("hosts:80"),
                ask("GET /", "200 one").host("hosts.shop"),
                ask("GET /", "200 one").host("hosts.shop.svc:8080"),
                ask("GET /", "200 one").host("Hosts.shop.svc.cluster.local"),
            ],
        ),
        case(
            "nothing-matches",
            "  - match: [{uri: {exact: /a}}]\n    route: [{destination: {host: one}}]",
            vec![to(exact("/a"), "one")],
            vec![ask("GET /a", "200 one"), ask("GET /b", "404")],
        ),
        case(
            "nobody-there",
            "  - route: [{destination: {host: nobody}}]",
            vec![to(all(), "nobody")],
            vec![ask("GET /", "503"), ask("HEAD /", "503")],
        ),
    ];
    run(&cases, vec![]);
}
