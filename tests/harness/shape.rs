//! Resources made up from a JSON Schema: mostly right, here and there wrong.

use serde_json::{Map, Value, json};

use crate::Draws;

/// Strings that many fields take, and some that none does.
const TEXTS: &[&str] = &[
    "orders",
    "v1",
    "shop",
    "*",
    "*.example.com",
    "orders.shop.svc.cluster.local",
    "10.0.0.1",
    "10.0.0.0/8",
    "8080",
    "0",
    "/api",
    "/",
    "GET",
    "HTTP",
    "HTTPS",
    "TLS",
    "TCP",
    "true",
    "http://a.b/c",
    "unix:///x",
    "./*",
    "mesh",
    ".",
    "~",
    "1s",
    "5ms",
    "0s",
    "1h30m",
    "100ms",
    "x-env",
    "istio.io/x",
    "a/b",
    "",
    " ",
    "-a",
    "A_b",
    "é",
    "%",
    "%X%",
    "(a",
    "a+",
    "[a-z]*",
    "5xx,reset",
    "{*}",
    "/{**}",
    "a b",
    "spiffe://a/b",
    "System",
    "region/zone",
    "Secret",
    "Service",
    "gateway.networking.k8s.io",
    "YQ==",
    "@request.auth.claims.x",
    ":authority",
    "host",
    "request.headers[x]",
    "source.ip",
];

const NUMBERS: &[i64] =
    &[0, 1, 2, 10, 80, 100, 101, 301, 302, 404, 503, 8080, 65535, 65536, -1, 1_000_001, 4_294_967_296];

/// A value for a schema. One in fifty is of a wrong kind.
#[must_use]
pub fn shaped(schema: &Value, draws: &mut Draws) -> Value {
    if draws.below(50) == 0 {
        return wrong(draws);
    }
    if let Some(word) = schema.get("const") {
        return word.clone();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return draws.pick(words).clone();
    }
    if let Some(ways) = schema.get("anyOf").and_then(Value::as_array) {
        return shaped(draws.pick(ways), draws);
    }
    match schema.get("type").and_then(Value::as_str).unwrap_or_default() {
        "object" => object(schema, draws),
        "array" => {
            let items = schema.get("items").cloned().unwrap_or_default();
            (0..draws.below(4)).map(|_| shaped(&items, draws)).collect()
        }
        "string" => (*draws.pick(TEXTS)).into(),
        "integer" => {
            let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(0);
            if draws.below(2) == 0 { least.into() } else { (*draws.pick(NUMBERS)).into() }
        }
        "number" => (*draws.pick(&[0.0, 0.5, 50.0, 100.0, 100.5, 1e-7])).into(),
        "boolean" => (draws.below(2) == 0).into(),
        _ => wrong(draws),
    }
}

fn object(schema: &Value, draws: &mut Draws) -> Value {
    let mut map = Map::new();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (key, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let needed = required.iter().any(|name| name == key);
        // Deep trees would grow without end if every field were there.
        if draws.below(if needed { 40 } else { 4 }) > 0 && needed || !needed && draws.below(3) == 0 {
            map.insert(key.clone(), shaped(below, draws));
        }
    }
    if let Some(below) = schema.get("additionalProperties").filter(|below| below.is_object()) {
        for _ in 0..draws.below(3) {
            map.insert((*draws.pick(TEXTS)).into(), shaped(below, draws));
        }
    }
    if draws.below(60) == 0 {
        map.insert("surplus".into(), wrong(draws));
    }
    map.into()
}

fn wrong(draws: &mut Draws) -> Value {
    draws
        .pick(&[
            json!(null),
            json!(true),
            json!(7),
            json!(1.5),
            json!("no"),
            json!([]),
            json!({}),
            json!([{}]),
            json!({"a": {}}),
        ])
        .clone()
}
