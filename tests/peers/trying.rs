//! What is tried again, for how long, what is broken on purpose, and who is no longer asked.

use serde_json::{Value, json};

use crate::compare::{Ask, Case, ask, case};
use crate::config::{all, filter, retries, to, to_with, typed, with};
use crate::outbound::{Service, run, service};

/// Requests to a service, with more in their rule.
fn rule(name: &'static str, host: &str, istio: &str, envoy: Value, asks: Vec<Ask>) -> Case {
    case(name, format!("  - route: [{{destination: {{host: {host}}}}}]\n    {istio}"), vec![envoy], asks)
}

/// The same with retries.
fn again(name: &'static str, istio: &str, on: &str, count: u32, more: Value, asks: Vec<Ask>) -> Case {
    let policy = with(retries(on, count), more);
    rule(name, "one", &format!("retries: {istio}"), to_with(all(), "one", json!({"retry_policy": policy})), asks)
}

fn doing(line: &'static str, want: &'static str, orders: &str) -> Ask {
    ask(line, want).with("x-do", orders)
}

#[test]
fn retries_of_requests() {
    let none = || json!({});
    let cases = [
        rule("default", "one", "", to(all(), "one"), vec![doing("GET /", "503 one", "503, 200")]),
        rule("default-reset", "fresh", "", to(all(), "fresh"), vec![doing("GET /", "503 four", "reset, 200")]),
        rule(
            "kept-connections",
            "kept",
            "",
            to(all(), "kept"),
            vec![ask("GET /", "200 three"), doing("GET /", "503 three", "reset, 200")],
        )
        .differs(
            "a server may close a connection that was idle while a request is on its way: one that changes nothing if \
            it is repeated, and has no body, is sent again over a fresh connection (RFC 9110 §9.2.2)",
        ),
        rule("default-dead", "dead", "", to(all(), "dead"), vec![ask("GET /", "503")]),
        again(
            "on-5xx",
            "{attempts: 2, retryOn: 5xx}",
            "5xx",
            2,
            none(),
            vec![
                doing("GET /", "200 one one", "500, 200"),
                doing("GET /", "200 one one one", "503, 599, 200"),
                doing("GET /", "504 one one one", "500, 502, 504, 200"),
                doing("GET /", "404 one", "404, 200"),
            ],
        ),
        again(
            "on-gateway-error",
            "{attempts: 2, retryOn: gateway-error}",
            "gateway-error",
            2,
            none(),
            vec![
                doing("GET /", "200 one one", "502, 200"),
                doing("GET /", "200 one one one", "503, 504, 200"),
                doing("GET /", "500 one", "500, 200"),
            ],
        ),
        again(
            "on-reset",
            "{attempts: 2, retryOn: reset}",
            "reset",
            2,
            none(),
            vec![doing("GET /", "503 one", "503, 200")],
        ),
        again(
            "on-4xx",
            "{attempts: 2, retryOn: retriable-4xx}",
            "retriable-4xx",
            2,
            none(),
            vec![doing("GET /", "200 one one", "409, 200"), doing("GET /", "404 one", "404, 200")],
        ),
        again(
            "on-status",
            "{attempts: 2, retryOn: '418,503'}",
            "retriable-status-codes",
            2,
            json!({"retriable_status_codes": [418, 503]}),
            vec![doing("GET /", "200 one one one", "418, 503, 200"), doing("GET /", "500 one", "500, 200")],
        ),
        again(
            "on-status-word",
            "{attempts: 2, retryOn: retriable-status-codes}",
            "retriable-status-codes",
            2,
            none(),
            vec![doing("GET /", "503 one", "503, 200")],
        ),
        again(
            "on-two",
            "{attempts: 1, retryOn: 'reset,503'}",
            "reset,retriable-status-codes",
            1,
            json!({"retriable_status_codes": [503]}),
            vec![doing("GET /", "200 one one", "503, 200")],
        ),
        rule(
            "fresh-5xx",
            "fresh",
            "retries: {attempts: 2, retryOn: 5xx}",
            to_with(all(), "fresh", json!({"retry_policy": retries("5xx", 2)})),
            vec![doing("GET /", "200 four four", "reset, 200"), doing("GET /", "503 four four four", "reset")],
        ),
        rule(
            "fresh-gateway-error",
            "fresh",
            "retries: {attempts: 2, retryOn: gateway-error}",
            to_with(all(), "fresh", json!({"retry_policy": retries("gateway-error", 2)})),
            vec![doing("GET /", "200 four four", "reset, 200")],
        ),
        rule(
            "fresh-reset",
            "fresh",
            "retries: {attempts: 1, retryOn: 'reset,503'}",
            to_with(
                all(),
                "fresh",
                json!({"retry_policy": with(retries("reset,retriable-status-codes", 1),
                json!({"retriable_status_codes": [503]}))}),
            ),
            vec![doing("GET /", "200 four four", "reset, 200"), doing("GET /", "503 four four", "reset, 503, 200")],
        ),
        again("never", "{attempts: 0}", "5xx", 0, none(), vec![doing("GET /", "503 one", "503, 200")]),
        again(
            "attempts-alone",
            "{attempts: 5}",
            "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            5,
            none(),
            vec![doing("GET /", "503 one", "503, 200")],
        ),
        again(
            "per-try",
            "{attempts: 1, perTryTimeout: 400ms, retryOn: '5xx'}",
            "5xx",
            1,
            json!({"per_try_timeout": "0.400s"}),
            vec![doing("GET /", "200 one one", "hang, 200"), doing("GET /", "504 one one", "hang")],
        ),
        again(
            "per-try-alone",
            "{attempts: 1, perTryTimeout: 400ms, retryOn: 'connect-failure'}",
            "connect-failure",
            1,
            json!({"per_try_timeout": "0.400s"}),
            vec![doing("GET /", "504 one", "hang, 200")],
        ),
        rule(
            "half-dead",
            "half",
            "retries: {attempts: 2, retryOn: connect-failure}",
            to_with(all(), "half", json!({"retry_policy": retries("connect-failure", 2)})),
            vec![ask("GET /", "10 x 200 one").times(10)],
        ),
        again(
            "with-a-body",
            "{attempts: 1, retryOn: 5xx}",
            "5xx",
            1,
            none(),
            vec![doing("POST /", "200 one one", "503, 200").with("content-length", "0")],
        ),
    ];
    // Over a connection of its own, so that a reset is no end of an idle one.
    let fresh = Service {
        policy: "{connectionPool: {http: {maxRequestsPerConnection: 1}}}",
        envoy: json!({"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
            typed("upstreams.http.v3.HttpProtocolOptions", json!({
                "common_http_protocol_options": {"max_requests_per_connection": 1}, "explicit_http_config": {"http_protocol_options": {}}}))}}),
        ..service("fresh", &["four"])
    };
    run(&cases, vec![service("half", &["dead", "one"]), service("kept", &["three"]), fresh]);
}

#[test]
fn timeouts() {
    let cases = [
        rule(
            "timeout",
            "one",
            "timeout: 400ms",
            to_with(all(), "one", json!({"timeout": "0.400s"})),
            vec![doing("GET /", "504 one", "hang"), ask("GET /", "200 one")],
        ),
        rule(
            "timeout-of-all-tries",
            "one",
            "timeout: 1s\n    retries: {attempts: 10, perTryTimeout: 400ms, retryOn: 5xx, backoff: 1ms}",
            to_with(
                all(),
                "one",
                json!({"timeout": "1s", "retry_policy": with(retries("5xx", 10),
                json!({"per_try_timeout": "0.400s", "retry_back_off": {"base_interval": "0.001s"}}))}),
            ),
            vec![doing("GET /", "504 one one one", "hang")],
        ),
        rule(
            "longer-try",
            "one",
            "timeout: 400ms\n    retries: {attempts: 3, perTryTimeout: 10s, retryOn: 5xx}",
            to_with(
                all(),
                "one",
                json!({"timeout": "0.400s", "retry_policy": with(retries("5xx", 3), json!({"per_try_timeout": "10s"}))}),
            ),
            vec![doing("GET /", "504 one", "hang")],
        ),
    ];
    run(&cases, vec![]);
}

/// A route with a fault.
fn broken(fault: Value) -> Value {
    let config = filter("fault", "fault.v3.HTTPFault", fault)["typed_config"].take();
    with(to(all(), "one"), json!({"typed_per_filter_config": {"envoy.filters.http.fault": config}}))
}

#[test]
fn faults() {
    let whole = json!({"numerator": 1_000_000, "denominator": "MILLION"});
    let cases = [
        rule(
            "abort",
            "one",
            "fault: {abort: {httpStatus: 418, percentage: {value: 100}}}",
            broken(json!({"abort": {"http_status": 418, "percentage": whole}})),
            vec![ask("GET /", "418"), ask("HEAD /", "418")],
        ),
        rule(
            "abort-without-percentage",
            "one",
            "fault: {abort: {httpStatus: 418}}",
            broken(json!({"abort": {"http_status": 418, "percentage": {"numerator": 0, "denominator": "MILLION"}}})),
            vec![ask("GET /", "200 one")],
        ),
        rule(
            "abort-grpc",
            "one",
            "fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}",
            broken(json!({"abort": {"grpc_status": 14, "percentage": whole}})),
            vec![
                ask("GET /", "200"),
                ask("POST /a.B/C", "200").with("content-type", "application/grpc").with("content-length", "0"),
            ],
        ),
        rule(
            "delay",
            "one",
            "fault: {delay: {fixedDelay: 50ms, percentage: {value: 100}}}",
            broken(json!({"delay": {"fixed_delay": "0.050s", "percentage": whole}})),
            vec![ask("GET /", "200 one")],
        ),
        rule(
            "delay-and-abort",
            "one",
            "fault: {delay: {fixedDelay: 20ms, percentage: {value: 100}}, abort: {httpStatus: 500, percentage: {value: 100}}}",
            broken(
                json!({"delay": {"fixed_delay": "0.020s", "percentage": whole}, "abort": {"http_status": 500, "percentage": whole}}),
            ),
            vec![ask("GET /", "500")],
        ),
        rule(
            "abort-and-retry",
            "one",
            "retries: {attempts: 3, retryOn: 5xx}\n    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}",
            with(
                broken(json!({"abort": {"http_status": 503, "percentage": whole}})),
                json!({"route": {"retry_policy": retries("5xx", 3)}}),
            ),
            vec![ask("GET /", "503")],
        ),
    ];
    run(&cases, vec![]);
}

/// A service of two applications, of which one is taken out when it fails.
fn detecting(name: &'static str, policy: &'static str, envoy: Value) -> Service {
    let general = json!({
        "lb_policy": "ROUND_ROBIN",
        "outlier_detection": with(json!({"interval": "600s", "base_ejection_time": "600s", "max_ejection_percent": 100,
            "enforcing_success_rate": 0}), envoy),
    });
    Service { name, backends: &["one", "two"], policy, envoy: general }
}

#[test]
fn ejections() {
    let to_rule = |name: &'static str, host: &'static str, asks: Vec<Ask>| {
        rule(
            name,
            host,
            "retries: {attempts: 0}",
            to_with(all(), host, json!({"retry_policy": retries("5xx", 0)})),
            asks,
        )
    };
    // Application `two` fails, `one` does not: what they are told depends on who is asked.
    let failing = |want: &'static str| ask("GET /", want).with("x-do-two", "503").times(20);
    let cases = [
        to_rule("five-in-a-row", "five-in-a-row-service", vec![failing("15 x 200 one, 5 x 503 two")]),
        to_rule("three-in-a-row", "three-in-a-row-service", vec![failing("17 x 200 one, 3 x 503 two")]),
        to_rule(
            "gateway-errors",
            "gateway-errors-service",
            vec![
                ask("GET /", "10 x 200 one, 10 x 500 two").with("x-do-two", "500").times(20),
                ask("GET /", "18 x 200 one, 2 x 502 two").with("x-do-two", "502").times(20),
            ],
        ),
        to_rule(
            "both-out",
            "both-out-service",
            vec![ask("GET /", "4 x 503, 2 x 503 one, 2 x 503 two").with("x-do", "503").times(8)],
        ),
        to_rule(
            "interrupted",
            "interrupted-service",
            vec![
                ask("GET /", "2 x 200 one, 2 x 503 two").with("x-do-two", "503").times(4),
                ask("GET /", "1 x 200 one, 1 x 200 two").times(2),
                ask("GET /", "2 x 200 one, 2 x 503 two").with("x-do-two", "503").times(4),
                ask("GET /", "1 x 200 one, 1 x 200 two").times(2),
            ],
        ),
        to_rule(
            "resets",
            "resets-service",
            vec![ask("GET /", "17 x 200 one, 3 x 503 two").with("x-do-two", "reset").times(20)],
        ),
        to_rule("not-enforced", "not-enforced-service", vec![failing("10 x 200 one, 10 x 503 two")]),
    ];
    let three = || json!({"consecutive_5xx": 3});
    let policies = [
        detecting(
            "five-in-a-row-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            json!({}),
        ),
        detecting(
            "three-in-a-row-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            three(),
        ),
        detecting(
            "gateway-errors-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            json!({"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0, "consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}),
        ),
        detecting(
            "both-out-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 2, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            json!({"consecutive_5xx": 2}),
        ),
        detecting(
            "interrupted-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            three(),
        ),
        detecting(
            "resets-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            three(),
        ),
        detecting(
            "not-enforced-service",
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 0, interval: 600s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
            json!({"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}),
        ),
    ];
    run(&cases, policies.into());
}
