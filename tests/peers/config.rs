//! Envoy's configuration as Istio would write it, in short.

use std::net::SocketAddr;

use harness::Envoy;
use serde_json::{Value, json};

/// Everything of the first, with what the second says instead; objects are merged.
pub(crate) fn with(mut base: Value, other: Value) -> Value {
    merge(&mut base, other);
    base
}

fn merge(base: &mut Value, other: Value) {
    match (base, other) {
        (Value::Object(base), Value::Object(other)) => {
            for (key, value) in other {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, other) => *base = other,
    }
}

/// Starts it with some listeners and clusters.
pub(crate) fn start(listeners: &[Value], clusters: &[Value]) -> Envoy {
    let admin = json!({"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))});
    Envoy::start(&json!({"admin": admin, "static_resources": {"listeners": listeners, "clusters": clusters}}))
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A message of a type of its own.
pub(crate) fn typed(kind: &str, value: Value) -> Value {
    with(json!({"@type": format!("type.googleapis.com/envoy.extensions.{kind}")}), value)
}

/// A filter of HTTP.
pub(crate) fn filter(name: &str, kind: &str, value: Value) -> Value {
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": typed(&format!("filters.http.{kind}"), value)})
}

/// A listener of HTTP, with the filters of Istio's sidecars for what goes out and those that are given before them.
pub(crate) fn listener(name: &str, mut filters: Vec<Value>, hosts: &[Value]) -> Value {
    filters.push(filter("fault", "fault.v3.HTTPFault", json!({})));
    filters.push(filter("cors", "cors.v3.Cors", json!({})));
    filters.push(filter("router", "router.v3.Router", json!({})));
    let http = json!({
        "stat_prefix": name, "http_filters": filters, "normalize_path": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED", "server_header_transformation": "PASS_THROUGH",
        "route_config": {"name": name, "virtual_hosts": hosts, "ignore_port_in_host_matching": true,
            "max_direct_response_body_size_bytes": 1_048_576, "validate_clusters": false},
    });
    let kind = "filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": name, "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": typed(kind, http),
        }]}],
    })
}

/// The same as gateways have it: what comes from outside is not believed.
pub(crate) fn at_edge(mut listener: Value) -> Value {
    let http = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    merge(
        http,
        json!({"use_remote_address": true, "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": true, "uri": true}}),
    );
    listener
}

/// The same, which believes the address in the first line of a connection to be the one that was dialled.
pub(crate) fn captured(listener: Value) -> Value {
    let kind = "filters.listener.proxy_protocol.v3.ProxyProtocol";
    let proxied = json!([{"name": "envoy.filters.listener.proxy_protocol", "typed_config": typed(kind, json!({}))}]);
    with(listener, json!({"listener_filters": proxied}))
}

pub(crate) fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> =
        endpoints.iter().map(|address| json!({"endpoint": {"address": socket(*address)}})).collect();
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "10s", "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "circuit_breakers": {"thresholds": [{
            "max_connections": u32::MAX, "max_pending_requests": u32::MAX, "max_requests": u32::MAX, "max_retries": u32::MAX,
        }]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// A host of the namespace `shop`, under all of its names.
pub(crate) fn service_host(name: &str, routes: &[Value]) -> Value {
    let names = ["", ".shop", ".shop.svc", ".shop.svc.cluster.local"].map(|rest| format!("{name}{rest}"));
    host(name, &names.each_ref().map(String::as_str), routes)
}

pub(crate) fn host(name: &str, domains: &[&str], routes: &[Value]) -> Value {
    json!({"name": name, "domains": domains, "routes": routes, "include_request_attempt_count": true})
}

pub(crate) fn exact(path: &str) -> Value {
    json!({"path": path})
}

pub(crate) fn prefix(path: &str) -> Value {
    json!({"prefix": path})
}

pub(crate) fn regex(pattern: &str) -> Value {
    json!({"safe_regex": {"regex": pattern}})
}

/// Everything.
pub(crate) fn all() -> Value {
    prefix("/")
}

/// A match with a condition on a header more.
pub(crate) fn header(matched: Value, name: &str, condition: Value) -> Value {
    one_more(matched, "headers", with(json!({"name": name}), condition))
}

/// A match with a condition on a parameter more.
pub(crate) fn parameter(matched: Value, name: &str, condition: Value) -> Value {
    one_more(matched, "query_parameters", with(json!({"name": name}), condition))
}

fn one_more(mut matched: Value, list: &str, item: Value) -> Value {
    match matched[list].as_array_mut() {
        Some(items) => items.push(item),
        None => matched[list] = json!([item]),
    }
    matched
}

pub(crate) fn is(value: &str) -> Value {
    json!({"string_match": {"exact": value}})
}

pub(crate) fn begins(value: &str) -> Value {
    json!({"string_match": {"prefix": value}})
}

pub(crate) fn matches(pattern: &str) -> Value {
    json!({"string_match": {"safe_regex": {"regex": pattern}}})
}

pub(crate) fn present() -> Value {
    json!({"present_match": true})
}

/// As Istio writes what must not be.
pub(crate) fn without(condition: Value) -> Value {
    with(condition, json!({"invert_match": true, "treat_missing_header_as_empty": true}))
}

/// A route to a cluster, with Istio's retries and without a timeout.
pub(crate) fn to(matched: Value, cluster: &str) -> Value {
    json!({"match": matched, "route": {"cluster": cluster, "timeout": "0s", "retry_policy": retries(
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", 2)}})
}

/// The same with something more in its action.
pub(crate) fn to_with(matched: Value, cluster: &str, action: Value) -> Value {
    with(to(matched, cluster), json!({"route": action}))
}

pub(crate) fn retries(on: &str, count: u32) -> Value {
    let previous = typed("retry.host.previous_hosts.v3.PreviousHostsPredicate", json!({}));
    json!({"retry_on": on, "num_retries": count, "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous}]})
}

/// Values for headers, set or added.
pub(crate) fn values(pairs: &[(&str, &str)], action: &str) -> Value {
    let one = |(key, value): &(&str, &str)| json!({"header": {"key": key, "value": value}, "append_action": action});
    pairs.iter().map(one).collect()
}

/// Several lists as one.
pub(crate) fn joined(lists: &[Value]) -> Value {
    lists.iter().flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect()
}
