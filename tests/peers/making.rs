//! Values of headers that are made for each request.

use serde_json::{Value, json};

use crate::compare::{Case, ask, case};
use crate::config::{all, prefix, to, to_with, values, with};
use crate::outbound::run;

const SET: &str = "OVERWRITE_IF_EXISTS_OR_ADD";
const ADD: &str = "APPEND_IF_EXISTS_OR_ADD";

/// One rule that goes to `one` and changes headers, of requests or of answers; of what both proxies write alike.
fn changed(name: &'static str, of: &str, remove: &[&str], changes: &[(&str, &str)], adds: bool) -> Case {
    let word = if adds { "add" } else { "set" };
    let pairs: Vec<String> = changes.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
    let istio = format!(
        "  - route: [{{destination: {{host: one}}}}]\n    headers: {{{of}: {{{word}: {{{}}}, remove: [{}]}}}}",
        pairs.join(", "),
        remove.join(", ")
    );
    let mut envoy = with(to(all(), "one"), json!({}));
    envoy[format!("{of}_headers_to_add")] = values(changes, if adds { ADD } else { SET });
    envoy[format!("{of}_headers_to_remove")] = json!(remove);
    let asks = vec![
        ask("GET /a/b?c=d", "200 one").with("x-in", "in").with("x-answer", "x-out=out"),
        ask("POST /", "200 one").with("x-in", "1").with("x-in", "2").with("x-new", "old").with("x-answer", "x-new=old"),
        ask("GET /", "200 one"),
    ];
    case(name, istio, vec![envoy], asks)
}

#[test]
fn values_are_made_of_requests() {
    let cases = [
        changed("made-header", "request", &[], &[("x-new", "%REQ(x-in)%")], false),
        changed("made-header-added", "request", &[], &[("x-new", "%REQ(X-In)%")], true),
        changed("made-text", "request", &[], &[("x-new", "a %REQ(x-in)% b 100%% %PROTOCOL%")], false),
        changed("made-percent", "request", &[], &[("x-new", "100%%")], false),
        changed("made-otherwise", "request", &[], &[("x-new", "%REQ(x-none?x-in)%")], true),
        changed("made-of-line", "request", &[], &[("x-new", "%REQ(:method)% %REQ(:path)% %REQ(:authority)%")], false),
        changed(
            "made-client",
            "request",
            &[],
            &[("x-new", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%")],
            false,
        ),
        changed(
            "made-of-removed",
            "request",
            &["x-in"],
            &[("x-new", "[%REQ(x-in)%]"), ("x-other", "%REQ(x-in)%")],
            false,
        ),
        changed("made-in-a-row", "request", &[], &[("x-in", "%REQ(x-new)%"), ("x-new", "%REQ(x-in)%")], false),
        changed("made-name", "request", &[], &[("x-new", "%REQUESTED_SERVER_NAME%|%ROUTE_NAME%")], false),
        case(
            "made-before-rewrites",
            "  - match: [{uri: {prefix: /a}}]\n    route: [{destination: {host: one}}]\n    rewrite: {uri: /z, authority: other}\n    headers: {request: {set: {x-new: '%REQ(:path)% %REQ(:authority)%'}}}",
            vec![with(
                to_with(prefix("/a"), "one", json!({"prefix_rewrite": "/z", "host_rewrite_literal": "other"})),
                json!({"request_headers_to_add": values(&[("x-new", "%REQ(:path)% %REQ(:authority)%")], SET)}),
            )],
            vec![ask("GET /a/b?c=d", "200 one")],
        ),
        case(
            "made-by-shares",
            "  - route:\n    - {destination: {host: one}, weight: 100, headers: {request: {set: {x-in: '%REQ(x-in)%+'}, add: {x-new: '%REQ(x-in)%'}}}}\n    - {destination: {host: two}, weight: 0}\n    headers: {request: {set: {x-in: '%REQ(x-in)%-'}}}",
            vec![weighted()],
            vec![ask("GET /", "200 one").with("x-in", "in"), ask("GET /", "200 one")],
        ),
    ];
    run(&cases, vec![]);
}

/// What Istio makes of a lone share: its changes come after those of the rule, in one list.
fn weighted() -> Value {
    let set = values(&[("x-in", "%REQ(x-in)%+")], SET);
    let add = values(&[("x-new", "%REQ(x-in)%")], ADD);
    with(to(all(), "one"), json!({"request_headers_to_add": crate::config::joined(&[set, add])}))
}

#[test]
fn values_are_made_of_answers() {
    let direct = |changes: &[(&str, &str)]| {
        json!({"match": all(), "direct_response": {"status": 418, "body": {"inline_string": "tea"}},
            "response_headers_to_add": values(changes, SET)})
    };
    let cases = [
        changed("made-answer", "response", &[], &[("x-new", "%RESP(x-out)%")], false),
        changed("made-answer-added", "response", &[], &[("x-new", "%RESP(x-none?x-out)% %PROTOCOL%")], true),
        changed("made-answer-asked", "response", &[], &[("x-new", "%REQ(x-in)% %REQ(:method)%")], false),
        changed("made-answer-status", "response", &[], &[("x-new", "%RESPONSE_CODE% %UPSTREAM_HOST%")], false),
        changed("made-answer-removed", "response", &["x-out"], &[("x-new", "%RESP(x-out)%")], false),
        case(
            "made-direct",
            "  - directResponse: {status: 418, body: {string: tea}}\n    headers: {response: {set: {x-new: '%REQ(x-in)% %PROTOCOL%', x-old: '%REQ(x-none)%'}}}",
            vec![direct(&[("x-new", "%REQ(x-in)% %PROTOCOL%"), ("x-old", "%REQ(x-none)%")])],
            vec![ask("GET /", "418").with("x-in", "in"), ask("GET /", "418")],
        ),
    ];
    run(&cases, vec![]);
}
