//! Envoy's RBAC, as far as Istio writes it: an independent reading of the rules, from Envoy's documentation of
//! `envoy.config.rbac.v3`.

use std::net::IpAddr;

use regex::Regex;
use serde_json::Value;
use taut_compile::explain::{Bytes, Question, Tls};

/// Whether a chain of filters lets a request in.
pub(super) fn admits(filters: &[Value], question: &Question) -> bool {
    filters.iter().all(|filter| {
        let Some(rules) = filter["typedConfig"].get("rules") else { return true };
        let hit = rules.get("policies").and_then(Value::as_object).is_some_and(|policies| {
            policies.values().any(|policy| {
                any(&policy["permissions"], |it| permission(it, question))
                    && any(&policy["principals"], |it| principal(it, question))
            })
        });
        match rules["action"].as_str().unwrap_or("ALLOW") {
            "ALLOW" => hit,
            "DENY" => !hit,
            "LOG" => true,
            other => panic!("an action {other}"),
        }
    })
}

fn any(list: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    list.as_array().unwrap().iter().any(holds)
}

fn all(list: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    list.as_array().unwrap().iter().all(holds)
}

fn only(rule: &Value) -> (&str, &Value) {
    let mut entries = rule.as_object().unwrap().iter();
    let (name, value) = entries.next().unwrap();
    assert!(entries.next().is_none(), "{rule}");
    (name, value)
}

fn permission(rule: &Value, question: &Question) -> bool {
    let (name, rule) = only(rule);
    match name {
        "any" => true,
        "andRules" => all(&rule["rules"], |it| permission(it, question)),
        "orRules" => any(&rule["rules"], |it| permission(it, question)),
        "notRule" => !permission(rule, question),
        "header" => header(rule, question),
        "urlPath" => question.bytes != Bytes::Tcp && text(&rule["path"], &question.path),
        "uriTemplate" => template(rule["typedConfig"]["pathTemplate"].as_str().unwrap(), &question.path),
        "destinationPort" => rule.as_u64() == Some(question.port.into()),
        "destinationIp" => within(rule, question.address),
        "requestedServerName" => text(rule, question.server_name.as_deref().unwrap_or_default()),
        "metadata" => metadata(rule, question),
        other => panic!("a permission {other}"),
    }
}

fn principal(rule: &Value, question: &Question) -> bool {
    let (name, rule) = only(rule);
    let source = question.source.expect("every question has one");
    match name {
        "any" => true,
        "andIds" => all(&rule["ids"], |it| principal(it, question)),
        "orIds" => any(&rule["ids"], |it| principal(it, question)),
        "notId" => !principal(rule, question),
        "authenticated" => match (&question.peer, question.tls) {
            (Some(peer), Tls::Mesh) => rule.get("principalName").is_none_or(|name| text(name, peer)),
            _ => false,
        },
        "directRemoteIp" | "remoteIp" => within(rule, source),
        "header" => header(rule, question),
        "metadata" => metadata(rule, question),
        other => panic!("a principal {other}"),
    }
}

fn header(rule: &Value, question: &Question) -> bool {
    let value = match rule["name"].as_str().unwrap() {
        ":authority" => Some(question.host.as_str()),
        ":method" => Some(question.method.as_str()),
        name => {
            question.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        }
    };
    let Some(value) = value.filter(|_| question.bytes != Bytes::Tcp) else { return false };
    rule.get("presentMatch").is_some() || text(&rule["stringMatch"], value)
}

fn metadata(rule: &Value, question: &Question) -> bool {
    if rule["filter"] != "envoy.filters.http.jwt_authn" {
        return false;
    }
    let path: Vec<&str> = rule["path"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    let claims = question.jwt.iter().flatten();
    let found = claims.filter(|(names, _)| names.iter().map(|it| it.as_str()).eq(path[1..].iter().copied()));
    found.flat_map(|(_, texts)| texts).any(|claim| value(&rule["value"], claim))
}

fn value(rule: &Value, claim: &str) -> bool {
    let (name, rule) = only(rule);
    match name {
        "stringMatch" => text(rule, claim),
        "listMatch" => value(&rule["oneOf"], claim),
        "orMatch" => any(&rule["valueMatchers"], |it| value(it, claim)),
        other => panic!("a value {other}"),
    }
}

fn text(rule: &Value, value: &str) -> bool {
    let small = rule["ignoreCase"] == true;
    let fold = |text: &str| if small { text.to_ascii_lowercase() } else { text.to_owned() };
    let value = fold(value);
    let of = |key: &str| rule.get(key).map(|text| fold(text.as_str().unwrap()));
    if let Some(regex) = rule.get("safeRegex") {
        return Regex::new(&format!("^(?:{})$", regex["regex"].as_str().unwrap())).unwrap().is_match(&value);
    }
    match (of("exact"), of("prefix"), of("suffix")) {
        (Some(exact), ..) => value == exact,
        (_, Some(prefix), _) => value.starts_with(&prefix),
        (_, _, Some(suffix)) => value.ends_with(&suffix),
        _ => panic!("{rule}"),
    }
}

/// Envoy's templates: `*` is one part of a path, `**` any number of them.
fn template(template: &str, path: &str) -> bool {
    let parts = template.split('/').map(|part| match part {
        "*" => "[^/]+".to_owned(),
        "**" => ".*".to_owned(),
        part => regex::escape(part),
    });
    Regex::new(&format!("^{}$", parts.collect::<Vec<_>>().join("/"))).unwrap().is_match(path)
}

fn within(range: &Value, address: IpAddr) -> bool {
    let (IpAddr::V4(base), IpAddr::V4(address)) = (range["addressPrefix"].as_str().unwrap().parse().unwrap(), address)
    else {
        panic!("{range}")
    };
    let bits = u32::try_from(range["prefixLen"].as_u64().unwrap()).unwrap();
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    base.to_bits() & mask == address.to_bits() & mask
}
