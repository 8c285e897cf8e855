//! Questions as programs ask them, and answers for programs and for people.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use taut_compile::explain::{Answer, Because, Bytes, Claims, Direction, Made, ProxyOf, Question, Tls, labels};
use taut_snapshot::Text;

/// Reads one question. What is missing has the value that asks least of the mesh.
pub(crate) fn question(line: &str) -> Result<Question, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Value::Object(object) = &value else { return Err("it is no JSON object".into()) };
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let word = |key: &str, words: &[&str]| match text(key) {
        None => Ok(0),
        Some(found) => words
            .iter()
            .position(|word| *word == found)
            .ok_or_else(|| format!("`{key}` is `{found}`; write one of: {}", words.join(", "))),
    };
    let proxy = proxy(object.get("proxy"))?;
    let direction = match word("direction", &["", "outbound", "inbound", "gateway"])? {
        0 if proxy.gateway => Direction::Gateway,
        0 | 1 => Direction::Outbound,
        2 => Direction::Inbound,
        _ => Direction::Gateway,
    };
    let address =
        |key: &str| text(key).map(|text| text.parse().map_err(|_| format!("`{key}` is no IP address: {text}")));
    let port = object.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let headers = object.get("headers").and_then(Value::as_object).into_iter().flatten();
    let header = |(name, value): (&String, &Value)| match value {
        Value::Array(values) => values.iter().map(|value| (name.to_ascii_lowercase(), plain(value))).collect(),
        value => vec![(name.to_ascii_lowercase(), plain(value))],
    };
    Ok(Question {
        direction,
        address: address("address").transpose()?.unwrap_or_else(|| [0, 0, 0, 0].into()),
        source: address("source").transpose()?,
        port: port.ok_or("`port` must be a number from 0 to 65535")?,
        bytes: match word("protocol", &["http", "http2", "grpc", "tcp"])? {
            0 => Bytes::Http,
            1 | 2 => Bytes::Http2,
            _ => Bytes::Tcp,
        },
        tls: match word("tls", &["plaintext", "tls", "mtls"])? {
            0 => Tls::Plaintext,
            1 => Tls::Tls,
            _ => Tls::Mesh,
        },
        server_name: text("sni").map(Text::new),
        alpn: text("alpn").map(Text::new),
        peer: text("peer").map(Text::new),
        method: text("method").unwrap_or("GET").into(),
        host: text("host").unwrap_or_default().into(),
        path: text("path").unwrap_or("/").into(),
        headers: headers.flat_map(header).collect(),
        jwt: object.get("jwt").and_then(Value::as_object).map(claims),
        proxy,
    })
}

fn proxy(value: Option<&Value>) -> Result<ProxyOf, String> {
    let Some(Value::Object(object)) = value else { return Err("`proxy` must say whose proxy is asked".into()) };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let pairs = object.get("labels").and_then(Value::as_object).into_iter().flatten();
    let addresses = match object.get("ip") {
        Some(Value::Array(addresses)) => addresses.iter().map(|it| plain(it).into()).collect(),
        Some(Value::String(address)) => vec![Text::new(address)],
        _ => Vec::new(),
    };
    Ok(ProxyOf {
        gateway: text("type") == "gateway",
        namespace: text("namespace").into(),
        labels: labels(pairs.map(|(name, value)| (name.into(), plain(value).into()))),
        addresses,
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The texts of a token: those in lists, and those below other names. Numbers are no texts (semantics.md §11.4).
fn claims(object: &Map<String, Value>) -> Claims {
    /// Deeper than this no rule leads.
    const DEPTH_MAX: usize = 16;
    let mut claims = Claims::new();
    let mut waiting = vec![(Vec::new(), object)];
    while let Some((path, object)) = waiting.pop() {
        for (name, value) in object {
            let mut path: Vec<Text> = path.clone();
            path.push(name.into());
            match value {
                Value::String(text) => claims.push((path, vec![text.into()])),
                Value::Array(list) => {
                    let texts: Vec<Text> = list.iter().filter_map(|it| it.as_str().map(Text::new)).collect();
                    claims.push((path, texts));
                }
                Value::Object(below) if path.len() < DEPTH_MAX => waiting.push((path, below)),
                _ => {}
            }
        }
    }
    claims.sort();
    claims
}

/// An answer for programs.
pub(crate) fn json(answer: &Answer) -> Value {
    let mut value = json!({
        "error": answer.fault.map(|fault| fault.word()),
        "virtual_host": answer.virtual_host,
        "route": answer.route,
        "cluster": answer.cluster,
        "clusters": answer.clusters,
        "split": answer.split.iter().map(|it| json!({"cluster": it.cluster, "weight": it.weight})).collect::<Vec<_>>(),
        "authz": {
            "verdict": answer.authz.verdict,
            "policy": answer.authz.policy.as_deref(),
            "notes": answer.authz.notes,
        },
        "tls": answer.tls.map(|tls| tls.word()),
        "timeout_ms": answer.timeout_ms,
        "retries": answer.retries.map(|attempts| json!({"attempts": attempts})),
        "status": answer.status,
        "because": answer.because.iter().map(place).collect::<Vec<_>>(),
        "passed": answer.passed.iter().map(|passed| {
            json!({"rule": passed.rule.as_ref().map(place), "unmet": passed.unmet})
        }).collect::<Vec<_>>(),
    });
    if !answer.made.is_empty() {
        let made = |it: &Made| {
            json!({
                "name": it.name.as_str(),
                "value": it.value,
                "of": if it.of_answer { "response" } else { "request" },
                "change": if it.adds { "add" } else { "set" },
                "cluster": it.only_for,
            })
        };
        value["headers"] = answer.made.iter().map(made).collect();
    }
    if let Some(why) = &answer.impossible {
        value["impossible"] = why.as_str().into();
    }
    value
}

fn place(because: &Because) -> Value {
    json!({
        "kind": because.kind.as_str(),
        "namespace": because.namespace.as_str(),
        "name": because.name.as_str(),
        "file": because.file.as_str(),
        "line": because.line,
    })
}

/// An answer for people.
pub(crate) fn human(answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |head: &str, rest: &str| {
        let _ = writeln!(text, "{head:<9}{rest}");
    };
    if let Some(why) = &answer.impossible {
        line("error", why);
        return text;
    }
    for passed in &answer.passed {
        let rule = passed.rule.as_ref().map_or_else(|| "a rule".to_owned(), written);
        let unmet = if passed.unmet.is_empty() { "it takes nothing".to_owned() } else { passed.unmet.join("; or ") };
        line("no match", &format!("{rule}: {unmet}"));
    }
    if let Some(host) = &answer.virtual_host {
        line("host", host);
    }
    if let Some(route) = answer.route.as_ref().filter(|route| !route.is_empty()) {
        line("rule", route);
    }
    match (answer.split.as_slice(), &answer.cluster, answer.status) {
        ([], Some(cluster), _) => line("goes to", cluster),
        ([], None, Some(status)) => line("answered", &format!("here, with status {status}")),
        ([], None, None) => {}
        (shares, ..) => {
            let sum: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
            for share in shares {
                line("goes to", &format!("{} ({} of {sum})", share.cluster, share.weight));
            }
        }
    }
    if let Some(tls) = answer.tls {
        line("secured", tls.word());
    }
    if let Some(timeout) = answer.timeout_ms {
        line("timeout", &format!("{timeout} ms"));
    }
    if let Some(attempts) = answer.retries.filter(|attempts| 0 < *attempts) {
        line("retries", &format!("up to {attempts}"));
    }
    for made in &answer.made {
        let of = if made.of_answer { "answer" } else { "request" };
        let word = if made.adds { "added to" } else { "of" };
        let only = made.only_for.as_ref().map(|cluster| format!(", towards {cluster}")).unwrap_or_default();
        line("header", &format!("{}: {} ({word} the {of}{only})", made.name, made.value));
    }
    match (answer.authz.verdict, &answer.authz.policy) {
        ("not_applicable", _) => {}
        (verdict, Some(policy)) => line("policies", &format!("{verdict}, by {policy}")),
        ("deny", None) => line("policies", "deny, since no ALLOW policy matches"),
        (verdict, None) => line("policies", verdict),
    }
    for note in &answer.authz.notes {
        line("", note);
    }
    if let Some(fault) = answer.fault {
        line("fails", fault.word());
    }
    for because in &answer.because {
        line("because", &written(because));
    }
    text
}

fn written(because: &Because) -> String {
    let Because { kind, namespace, name, file, line } = because;
    format!("{kind} {namespace}/{name} ({file}:{line})")
}
