//! Who may ask what of a workload.

use serde_json::{Value, json};

use crate::compare::{Ask, Case, ask, case};
use crate::config::{filter, is};
use crate::inbound::run;

/// A policy of Istio.
pub(crate) fn policy(name: &str, action: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  action: {action}\n  rules: {rules}\n---\n"
    )
}

/// A filter of Envoy that has these rules: what is asked, and by whom.
pub(crate) fn rbac(action: &str, rules: &[(Value, Value)]) -> Value {
    let policies: serde_json::Map<String, Value> = rules
        .iter()
        .enumerate()
        .map(|(at, (asked, by))| (format!("rule[{at}]"), json!({"permissions": [asked], "principals": [by]})))
        .collect();
    filter("rbac", "rbac.v3.RBAC", json!({"rules": {"action": action, "policies": policies}}))
}

fn any() -> Value {
    json!({"any": true})
}

/// Any of these conditions on what is asked.
fn asked(any_of: &[Value]) -> Value {
    json!({"or_rules": {"rules": any_of}})
}

fn asked_all(all_of: &[Value]) -> Value {
    json!({"and_rules": {"rules": all_of}})
}

fn not_asked(condition: Value) -> Value {
    json!({"not_rule": condition})
}

fn path(condition: Value) -> Value {
    json!({"url_path": {"path": condition}})
}

fn method(name: &str) -> Value {
    of(json!({"name": ":method"}), is(name))
}

fn of(name: Value, condition: Value) -> Value {
    json!({"header": crate::config::with(name, condition)})
}

fn host(condition: Value) -> Value {
    let condition = crate::config::with(condition, json!({"ignore_case": true}));
    json!({"header": {"name": ":authority", "string_match": condition}})
}

/// A condition on a header of a request, as Istio writes it: among those on who asks.
fn said(name: &str, condition: Value) -> Value {
    of(json!({"name": name}), condition)
}

fn address(range: &str, length: u8) -> Value {
    json!({"direct_remote_ip": {"address_prefix": range, "prefix_len": length}})
}

/// One policy of one rule.
fn one(name: &'static str, action: &str, rule: &str, asked: Value, by: Value, asks: Vec<Ask>) -> Case {
    case(name, policy("only", action, &format!("[{rule}]")), vec![rbac(action, &[(asked, by)])], asks)
}

#[test]
fn what_is_asked() {
    let cases = [
        one(
            "path-exact",
            "ALLOW",
            "{to: [{operation: {paths: [/a, /b]}}]}",
            asked(&[path(json!({"exact": "/a"})), path(json!({"exact": "/b"}))]),
            any(),
            vec![
                ask("GET /a", "200 app"),
                ask("GET /b?q", "200 app"),
                ask("GET /a/", "403"),
                ask("GET /A", "403"),
                ask("GET /x/../a", "200 app"),
                ask("GET /%61", "200 app"),
                ask("HEAD /c", "403"),
            ],
        ),
        one(
            "path-prefix",
            "ALLOW",
            "{to: [{operation: {paths: [/a/*]}}]}",
            path(json!({"prefix": "/a/"})),
            any(),
            vec![
                ask("GET /a/b", "200 app"),
                ask("GET /a/", "200 app"),
                ask("GET /a", "403"),
                ask("GET /a/../b", "403"),
            ],
        ),
        one(
            "path-suffix",
            "ALLOW",
            "{to: [{operation: {paths: ['*.txt']}}]}",
            path(json!({"suffix": ".txt"})),
            any(),
            vec![ask("GET /a.txt", "200 app"), ask("GET /a.txt?b=c", "200 app"), ask("GET /a.text", "403")],
        ),
        one(
            "path-any",
            "ALLOW",
            "{to: [{operation: {paths: ['*']}}]}",
            path(json!({"safe_regex": {"regex": ".+"}})),
            any(),
            vec![ask("GET /", "200 app")],
        ),
        one(
            "path-template",
            "ALLOW",
            "{to: [{operation: {paths: ['/a/{*}/b', '/c/{**}']}}]}",
            asked(&[template("/a/*/b"), template("/c/**")]),
            any(),
            vec![
                ask("GET /a/x/b", "200 app"),
                ask("GET /a/x/y/b", "403"),
                ask("GET /a//b", "403"),
                ask("GET /c/", "200 app"),
                ask("GET /c/x/y", "200 app"),
                ask("GET /c", "403"),
                ask("GET /a/x/b?q", "200 app"),
            ],
        ),
        one(
            "deny-path",
            "DENY",
            "{to: [{operation: {paths: [/adm*]}}]}",
            path(json!({"prefix": "/adm"})),
            any(),
            vec![
                ask("GET /admin", "403"),
                ask("GET //adm", "200 app"),
                ask("GET /ADM", "200 app"),
                ask("GET /x/..//adm", "200 app"),
                ask("GET /./adm", "403"),
                ask("GET /%61dm", "403"),
                ask("GET /a%64m%2f", "403"),
            ],
        ),
        one(
            "not-path",
            "ALLOW",
            "{to: [{operation: {paths: [/a*], notPaths: [/ab]}}]}",
            asked_all(&[path(json!({"prefix": "/a"})), not_asked(path(json!({"exact": "/ab"})))]),
            any(),
            vec![ask("GET /a", "200 app"), ask("GET /ab", "403"), ask("GET /abc", "200 app")],
        ),
        one(
            "method",
            "ALLOW",
            "{to: [{operation: {methods: [GET, HEAD]}}]}",
            asked(&[method("GET"), method("HEAD")]),
            any(),
            vec![ask("GET /", "200 app"), ask("HEAD /", "200 app"), ask("POST /", "403"), ask("PURGE /", "403")],
        ),
        one(
            "not-method",
            "DENY",
            "{to: [{operation: {notMethods: [GET]}}]}",
            not_asked(method("GET")),
            any(),
            vec![ask("GET /", "200 app"), ask("POST /", "403")],
        ),
        one(
            "host",
            "ALLOW",
            "{to: [{operation: {hosts: [app.example, 'app.example:*', '*.other']}}]}",
            asked(&[
                host(json!({"exact": "app.example"})),
                host(json!({"prefix": "app.example:"})),
                host(json!({"suffix": ".other"})),
            ]),
            any(),
            vec![
                ask("GET /", "200 app").host("app.example"),
                ask("GET /", "200 app").host("APP.example"),
                ask("GET /", "200 app").host("app.example:8080"),
                ask("GET /", "403").host("app.example.com"),
                ask("GET /", "200 app").host("a.OTHER"),
                ask("GET /", "403").host("a.other:80"),
            ],
        ),
        one(
            "not-host",
            "DENY",
            "{to: [{operation: {notHosts: [app.example]}}]}",
            not_asked(host(json!({"exact": "app.example"}))),
            any(),
            vec![ask("GET /", "200 app").host("app.example"), ask("GET /", "403").host("app.example:80")],
        ),
        one(
            "port",
            "ALLOW",
            "{to: [{operation: {ports: ['8080']}}]}",
            json!({"destination_port": 8080}),
            any(),
            vec![ask("GET /", "200 app")],
        ),
        one(
            "not-port",
            "ALLOW",
            "{to: [{operation: {notPorts: ['8080']}}]}",
            not_asked(json!({"destination_port": 8080})),
            any(),
            vec![ask("GET /", "403")],
        ),
        one(
            "other-port",
            "DENY",
            "{to: [{operation: {ports: ['9090'], paths: [/a]}}]}",
            asked_all(&[json!({"destination_port": 9090}), path(json!({"exact": "/a"}))]),
            any(),
            vec![ask("GET /a", "200 app")],
        ),
        one(
            "all-of-an-operation",
            "ALLOW",
            "{to: [{operation: {methods: [GET], paths: [/a]}}, {operation: {methods: [POST]}}]}",
            asked(&[asked_all(&[method("GET"), path(json!({"exact": "/a"}))]), method("POST")]),
            any(),
            vec![ask("GET /a", "200 app"), ask("GET /b", "403"), ask("POST /b", "200 app")],
        ),
    ];
    run(&cases);
}

/// Paths of Istio's templates.
fn template(pattern: &str) -> Value {
    let kind = "path.match.uri_template.v3.UriTemplateMatchConfig";
    json!({"uri_template": {"name": "uri-template", "typed_config":
        crate::config::typed(kind, json!({"path_template": pattern}))}})
}

#[test]
fn who_asks_and_with_what() {
    let cases = [
        one(
            "block",
            "ALLOW",
            "{from: [{source: {ipBlocks: [127.0.0.0/8]}}]}",
            any(),
            address("127.0.0.0", 8),
            vec![ask("GET /", "200 app"), ask("GET /", "200 app").with("x-forwarded-for", "10.0.0.1")],
        ),
        one(
            "other-block",
            "ALLOW",
            "{from: [{source: {ipBlocks: [10.0.0.0/8, 127.0.0.2]}}]}",
            any(),
            json!({"or_ids": {"ids": [address("10.0.0.0", 8), address("127.0.0.2", 32)]}}),
            vec![ask("GET /", "403"), ask("GET /", "403").with("x-forwarded-for", "10.0.0.1")],
        ),
        one(
            "not-block",
            "DENY",
            "{from: [{source: {notIpBlocks: [127.0.0.1]}}]}",
            any(),
            json!({"not_id": address("127.0.0.1", 32)}),
            vec![ask("GET /", "200 app")],
        ),
        one(
            "principal",
            "ALLOW",
            "{from: [{source: {principals: ['*']}}]}",
            any(),
            json!({"authenticated": {"principal_name": {"safe_regex": {"regex": ".+"}}}}),
            vec![ask("GET /", "403")],
        ),
        one(
            "not-principal",
            "DENY",
            "{from: [{source: {notPrincipals: [cluster.local/ns/a/sa/b]}}]}",
            any(),
            json!({"not_id": {"authenticated": {"principal_name": {"exact": "spiffe://cluster.local/ns/a/sa/b"}}}}),
            vec![ask("GET /", "403")],
        ),
        one(
            "not-namespace",
            "ALLOW",
            "{from: [{source: {notNamespaces: [shop]}}]}",
            any(),
            json!({"not_id": {"authenticated": {"principal_name": {"safe_regex": {"regex": ".*/ns/shop/.*"}}}}}),
            vec![ask("GET /", "200 app")],
        ),
        one(
            "header",
            "ALLOW",
            "{when: [{key: 'request.headers[X-Env]', values: [prod, 'dev*']}]}",
            any(),
            json!({"or_ids": {"ids": [said("x-env", is("prod")), said("x-env", json!({"string_match": {"prefix": "dev"}}))]}}),
            vec![
                ask("GET /", "200 app").with("x-env", "prod"),
                ask("GET /", "200 app").with("X-ENV", "dev-2"),
                ask("GET /", "403").with("x-env", "Prod"),
                ask("GET /", "403"),
                ask("GET /", "200 app").with("x-env", "q").with("x-env", "prod"),
            ],
        ),
        one(
            "not-header",
            "DENY",
            "{when: [{key: 'request.headers[x-env]', notValues: [ok]}]}",
            any(),
            json!({"not_id": said("x-env", is("ok"))}),
            vec![
                ask("GET /", "403"),
                ask("GET /", "200 app").with("x-env", "ok"),
                ask("GET /", "200 app").with("x-env", "ok").with("x-env", "no"),
                ask("GET /", "403").with("x-env", "no"),
                ask("GET /", "403").with("x-env", ""),
            ],
        ),
        one(
            "header-there",
            "ALLOW",
            "{when: [{key: 'request.headers[x-env]', values: ['*']}]}",
            any(),
            said("x-env", json!({"string_match": {"safe_regex": {"regex": ".+"}}})),
            vec![
                ask("GET /", "200 app").with("x-env", "a"),
                ask("GET /", "403").with("x-env", ""),
                ask("GET /", "403"),
            ],
        ),
        one(
            "header-joined",
            "DENY",
            "{when: [{key: 'request.headers[user-agent]', values: [bad]}]}",
            any(),
            said("user-agent", is("bad")),
            vec![
                ask("GET /", "403").with("user-agent", "bad"),
                ask("GET /", "200 app").with("user-agent", "bad").with("user-agent", "b"),
            ],
        ),
        one(
            "both",
            "ALLOW",
            "{from: [{source: {ipBlocks: [127.0.0.1]}}], to: [{operation: {methods: [GET]}}], when: [{key: 'request.headers[x-env]', values: [a]}, {key: destination.port, values: ['8080']}]}",
            asked_all(&[method("GET"), json!({"destination_port": 8080})]),
            json!({"and_ids": {"ids": [address("127.0.0.1", 32), said("x-env", is("a"))]}}),
            vec![
                ask("GET /", "200 app").with("x-env", "a"),
                ask("POST /", "403").with("x-env", "a"),
                ask("GET /", "403"),
            ],
        ),
    ];
    run(&cases);
}

#[test]
fn several_policies() {
    let get = || (method("GET"), any());
    let admin = || (path(json!({"prefix": "/admin"})), any());
    let never = || (not_asked(any()), json!({"not_id": any()}));
    let deny_admin = policy("closed", "DENY", "[{to: [{operation: {paths: [/admin*]}}]}]");
    let allow_get = policy("open", "ALLOW", "[{to: [{operation: {methods: [GET]}}]}]");
    let cases = [
        case("no-policy", "", vec![], vec![ask("GET /", "200 app"), ask("POST /", "200 app")]),
        case(
            "allow-nothing",
            policy("none", "ALLOW", "[]"),
            vec![rbac("ALLOW", &[never()])],
            vec![
                ask("GET /", "403"),
                ask("HEAD /", "403"),
                ask("POST /a.B/C", "200").with("content-type", "application/grpc"),
            ],
        ),
        case(
            "allow-all",
            policy("all", "ALLOW", "[{}]"),
            vec![rbac("ALLOW", &[(any(), any())])],
            vec![ask("GET /", "200 app")],
        ),
        case(
            "deny-all",
            policy("all", "DENY", "[{}]"),
            vec![rbac("DENY", &[(any(), any())])],
            vec![ask("GET /", "403")],
        ),
        case(
            "deny-before-allow",
            format!("{deny_admin}{allow_get}"),
            vec![rbac("DENY", &[admin()]), rbac("ALLOW", &[get()])],
            vec![ask("GET /", "200 app"), ask("GET /admin", "403"), ask("POST /", "403")],
        ),
        case(
            "any-allow",
            format!(
                "{allow_get}{}",
                policy("more", "ALLOW", "[{to: [{operation: {paths: [/a]}}]}, {to: [{operation: {paths: [/b]}}]}]")
            ),
            vec![rbac("ALLOW", &[get(), (path(json!({"exact": "/a"})), any()), (path(json!({"exact": "/b"})), any())])],
            vec![ask("GET /", "200 app"), ask("POST /a", "200 app"), ask("POST /b", "200 app"), ask("POST /c", "403")],
        ),
        case(
            "deny-all-allow-all",
            format!("{}{}", policy("a", "DENY", "[{}]"), policy("b", "ALLOW", "[{}]")),
            vec![rbac("DENY", &[(any(), any())]), rbac("ALLOW", &[(any(), any())])],
            vec![ask("GET /", "403")],
        ),
        case(
            "dry-run",
            policy("dry", "DENY", "[{}]")
                .replace("namespace: shop}", "namespace: shop, annotations: {istio.io/dry-run: 'true'}}"),
            vec![],
            vec![ask("GET /", "200 app")],
        ),
        case(
            "preflight",
            policy("none", "ALLOW", "[]"),
            vec![rbac("ALLOW", &[never()])],
            vec![ask("OPTIONS /", "403").with("origin", "https://a").with("access-control-request-method", "GET")],
        ),
    ];
    run(&cases);
}
