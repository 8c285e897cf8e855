//! What Taut makes of a case, in the same form.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use taut_model::{Condition, Converted, MadeGateway, MadeRouting, RunBy, Status};
use taut_resources::{
    Destination, HeaderChanges, HttpMatch, HttpRoute, Labels, MatchBy, Named, RedirectPort, Resource, RouteDestination,
    StringMatch,
};

use super::Meaning;
use super::expected::reference;

pub(super) fn meaning(resources: &[Arc<Resource>], converted: &Converted, input: &[Value]) -> Meaning {
    let mut meaning = Meaning::new();
    for gateway in &converted.gateways {
        let subject = &resources[gateway.resource].subject;
        let section = &gateway.spec.servers[0].port.name.value;
        let namespace = subject.namespace.as_deref().unwrap_or_default();
        let name = format!("server of {}/{}/{section}.{namespace}", subject.kind(), subject.name);
        meaning.insert(name, server(gateway));
    }
    for routing in &converted.routings {
        rules(resources, routing, &mut meaning);
    }
    for traffic in &converted.traffic {
        let policy = traffic.spec.traffic_policy.as_ref().unwrap();
        if let Some(tls) = &policy.tls {
            let names: Vec<&str> = tls.subject_alt_names.iter().map(|it| it.as_str()).collect();
            let value = json!({
                "mode": tls.mode.unwrap().word(), "name": tls.sni.as_ref().unwrap().as_str(),
                "roots": tls.credential_name.as_ref().map_or("", |it| it.as_str()), "names": names,
            });
            meaning.insert(format!("TLS towards {}", traffic.host), value);
        }
        if let Some(budget) = &policy.retry_budget {
            let value = json!({
                "percent": budget.percent.unwrap().value, "least": budget.min_retry_concurrency.unwrap().value,
                "interval": seconds(budget.budget_interval.unwrap().value.0),
            });
            meaning.insert(format!("retries towards {}", traffic.host), value);
        }
    }
    for status in &converted.statuses {
        let subject = &resources[status.resource].subject;
        let namespace = subject.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default();
        let name = format!("status of {} {namespace}{}", subject.kind(), subject.name);
        meaning.insert(name, status_of(status, written(input, &resources[status.resource])));
    }
    meaning
}

/// An object as it was written: a status says of its parents how they were named.
fn written<'i>(input: &'i [Value], resource: &Resource) -> &'i Value {
    let subject = &resource.subject;
    let namespace = subject.namespace.as_deref().unwrap_or_default();
    let same = |it: &&Value| {
        it["kind"] == subject.kind().as_str()
            && it["metadata"]["name"] == subject.name.as_str()
            && (namespace.is_empty() || it["metadata"]["namespace"].as_str().unwrap_or("default") == namespace)
    };
    input.iter().find(same).unwrap()
}

fn server(gateway: &MadeGateway) -> Value {
    let server = &gateway.spec.servers[0];
    let mut services: Vec<&str> = match &gateway.run_by {
        RunBy::Services { services, .. } => services.iter().map(|it| it.as_str()).collect(),
        RunBy::Labels => Vec::new(),
    };
    services.sort_unstable();
    let mut hosts: Vec<&str> = server.hosts.iter().map(|it| it.as_str()).collect();
    hosts.sort_unstable();
    let tls = server.tls.as_ref().map(|tls| {
        let names = tls.credential_name.iter().chain(&tls.credential_names);
        json!({
            "mode": tls.mode.unwrap().word(), "certificates": names.map(|it| it.as_str()).collect::<Vec<_>>(),
            "roots": tls.ca_cert_credential_name.as_ref().map(|it| it.as_str()),
            "ciphers": tls.cipher_suites.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
            "unchecked": tls.insecure_skip_verify.is_some_and(|it| it.value),
        })
    });
    json!({
        "services": services, "hosts": hosts, "port": server.port.number.0, "protocol": server.port.protocol.as_str(), "tls": tls,
    })
}

fn rules(resources: &[Arc<Resource>], routing: &MadeRouting, meaning: &mut Meaning) {
    let namespace = resources[routing.resource].subject.namespace.as_deref().unwrap_or_default();
    let gateway = routing.gateway.as_str();
    let place = if gateway == "mesh" { format!("mesh {namespace}") } else { gateway.to_owned() };
    let owned = routing.spec.http.iter().zip(&routing.rules);
    let http: Vec<Value> = owned.map(|(it, (_, path))| rule(it, path.as_ref().map(|path| path.as_str()))).collect();
    let tcp = routing.spec.tcp.iter().map(|it| connections(&it.route));
    let tls = routing.spec.tls.iter().map(|it| connections(&it.route));
    let streams: Vec<Value> = tcp.chain(tls).collect();
    for host in &routing.hosts {
        for (kind, values) in [("rules", &http), ("connections", &streams)] {
            if values.is_empty() {
                continue;
            }
            let known = meaning.entry(format!("{kind} of {host} at {place}")).or_insert(json!([]));
            let known = known.as_array_mut().unwrap();
            known
                .extend(values.iter().filter(|it| kind == "rules" || !known.contains(it)).cloned().collect::<Vec<_>>());
        }
    }
}

/// Seconds, as Istio's objects write them.
fn seconds(duration: taut_resources::Duration) -> String {
    format!("{}s", duration.0.as_secs_f64())
}

fn rule(rule: &HttpRoute, full_path: Option<&str>) -> Value {
    let retries = rule.retries.as_ref().map(|it| {
        let mut value = json!({"attempts": it.attempts.unwrap().value});
        if let Some(on) = &it.retry_on {
            let mut words: Vec<&str> = on.split(',').collect();
            words.sort_unstable();
            value["retryOn"] = json!(words);
        }
        if let Some(each) = it.per_try_timeout {
            value["perTryTimeout"] = json!(seconds(each.value));
        }
        if let Some(backoff) = it.backoff {
            value["backoff"] = json!(seconds(backoff.value));
        }
        value
    });
    let rewritten = rule.rewrite.is_some() || full_path.is_some();
    let rewrite = rewritten.then(|| {
        let rewrite = rule.rewrite.as_ref();
        json!({
            "host": rewrite.and_then(|it| it.authority.as_ref()).map(|it| it.as_str()),
            "prefix": rewrite.and_then(|it| it.uri.as_ref()).map(|it| it.as_str()), "path": full_path,
        })
    });
    let redirect = rule.redirect.as_ref().map(|it| {
        let port = match it.derive_port.map(|from| from.value) {
            Some(RedirectPort::ProtocolDefault) => json!("scheme"),
            Some(RedirectPort::RequestPort) => json!("request"),
            None => json!(it.port.unwrap().0),
        };
        json!({
            "status": it.redirect_code.unwrap().value, "scheme": it.scheme.as_ref().map(|it| it.as_str()),
            "host": it.authority.as_ref().map(|it| it.as_str()), "port": port, "path": it.uri.as_ref().map(|it| it.as_str()),
            "prefix": it.prefix_rewrite.as_ref().map(|it| it.as_str()),
        })
    });
    let texts = |list: &[taut_resources::At<taut_source::Text>]| -> Vec<String> {
        list.iter().map(|it| it.to_string()).collect()
    };
    let cors = rule.cors_policy.as_ref().map(|it| {
        let origin = |origin: &StringMatch| match &origin.by {
            MatchBy::Regex(text) => format!("~{text}"),
            MatchBy::Exact(text) => text.to_string(),
            other => panic!("{other:?} is no origin"),
        };
        json!({
            "origins": it.allow_origins.iter().map(origin).collect::<Vec<_>>(), "methods": texts(&it.allow_methods),
            "headers": texts(&it.allow_headers), "exposed": texts(&it.expose_headers),
            "cookies": it.allow_credentials.is_some_and(|it| it.value), "age": seconds(it.max_age.unwrap().value),
            "unmatched": it.unmatched_preflights.unwrap().word(),
        })
    });
    let mirrors: Vec<Value> = rule
        .mirrors
        .iter()
        .map(|it| json!({"to": destination(&it.destination), "percent": it.percentage.as_ref().unwrap().value.unwrap().value}))
        .collect();
    let one = rule.route.len() == 1;
    let share = |it: &taut_resources::HttpDestination| {
        let weight = if one { 1 } else { it.weight.unwrap().value };
        json!({"to": destination(&it.destination), "weight": weight, "headers": headers(it.headers.as_deref())})
    };
    json!({
        "when": when(&rule.matches[0]), "route": rule.route.iter().map(share).collect::<Vec<_>>(), "redirect": redirect,
        "status": rule.direct_response.as_ref().map(|it| it.status.value), "rewrite": rewrite,
        "timeout": rule.timeout.map(|it| seconds(it.value)), "retries": retries, "cors": cors, "mirrors": mirrors,
        "headers": headers(rule.headers.as_deref()),
    })
}

fn when(it: &HttpMatch) -> Value {
    let path = it.uri.as_deref().map_or(json!({"prefix": "/"}), matching);
    json!({
        "path": path, "method": it.method.as_deref().map(matching), "port": it.port.map(|it| it.value),
        "headers": by_name(&it.headers), "query": by_name(&it.query_params),
    })
}

fn matching(it: &StringMatch) -> Value {
    match &it.by {
        MatchBy::Present => json!({}),
        MatchBy::Exact(text) => json!({"exact": text.as_str()}),
        MatchBy::Prefix(text) | MatchBy::Below(text) => json!({"prefix": text.as_str()}),
        MatchBy::Regex(text) => json!({"regex": text.as_str()}),
    }
}

fn by_name(list: &Named<StringMatch>) -> Value {
    Value::Object(list.0.iter().map(|(name, it)| (name.to_string(), matching(it))).collect())
}

fn headers(changes: Option<&HeaderChanges>) -> Value {
    let of = |part: Option<&taut_resources::HeaderOperations>| {
        let map = |labels: Option<&Labels>| -> Map<String, Value> {
            labels
                .into_iter()
                .flat_map(Labels::iter)
                .map(|(name, value)| (name.to_string(), json!(value.as_str())))
                .collect()
        };
        let remove: Vec<&str> = part.map(|it| it.remove.iter().map(|it| it.as_str()).collect()).unwrap_or_default();
        json!({"set": map(part.map(|it| &it.set)), "add": map(part.map(|it| &it.add)), "remove": remove})
    };
    json!({
        "request": of(changes.and_then(|it| it.request.as_ref())), "response": of(changes.and_then(|it| it.response.as_ref())),
    })
}

fn destination(to: &Destination) -> Value {
    if to.host.is_empty() {
        return json!("nowhere");
    }
    json!(format!("{}:{}", to.host.value, to.port.as_ref().unwrap().number.0))
}

fn connections(route: &[RouteDestination]) -> Value {
    let one = route.len() == 1;
    let share = |it: &RouteDestination| {
        let weight = if one { 1 } else { it.weight.unwrap().value };
        json!({"to": destination(&it.destination), "weight": weight, "headers": headers(None)})
    };
    Value::Array(route.iter().map(share).collect())
}

fn conditions(of: &[Condition]) -> Value {
    let word = |holds: bool| if holds { "True" } else { "False" };
    let all: BTreeMap<&str, String> =
        of.iter().map(|it| (it.kind, format!("{} {}", word(it.holds), it.reason))).collect();
    json!(all)
}

fn status_of(status: &Status, written: &Value) -> Value {
    let listeners: BTreeMap<&str, Value> = status
        .listeners
        .iter()
        .map(|it| {
            let value = json!({"conditions": conditions(&it.conditions), "routes": it.attached, "kinds": it.kinds});
            (it.name.as_str(), value)
        })
        .collect();
    let spec = &written["spec"];
    let named = spec.get("parentRefs").unwrap_or(&spec["targetRefs"]);
    let parents: BTreeMap<String, Value> =
        status.parents.iter().map(|it| (reference(&named[it.number]), conditions(&it.conditions))).collect();
    json!({"conditions": conditions(&status.conditions), "listeners": listeners, "parents": parents})
}
