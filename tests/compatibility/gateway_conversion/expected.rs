//! What an outside case expects: Istio's own objects, and the statuses that it reports.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::Meaning;

/// The documents of some YAML.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    all.filter(|document| !document.is_null()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn meaning(objects: &str, statuses: &str) -> Meaning {
    let objects = documents(objects);
    let mut meaning = Meaning::new();
    let mut hosts_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for gateway in objects.iter().filter(|it| it["kind"] == "Gateway") {
        let (name, value) = server(gateway);
        let bare = list(&gateway["spec"]["servers"][0]["hosts"])
            .iter()
            .map(|host| text(host).rsplit('/').next().unwrap().to_owned());
        let bound_as = format!("{}/{}", text(&gateway["metadata"]["namespace"]), text(&gateway["metadata"]["name"]));
        hosts_of.insert(bound_as, bare.collect());
        meaning.insert(format!("server of {name}"), value);
    }
    for service in objects.iter().filter(|it| it["kind"] == "VirtualService") {
        rules(service, &hosts_of, &mut meaning);
    }
    for rule in objects.iter().filter(|it| it["kind"] == "DestinationRule") {
        let (host, policy) = (text(&rule["spec"]["host"]), &rule["spec"]["trafficPolicy"]);
        if let Some(tls) = policy.get("tls") {
            let roots = text(&tls["credentialName"]);
            let value = json!({"mode": tls["mode"], "name": tls["sni"], "roots": roots, "names": tls.get("subjectAltNames").cloned().unwrap_or(json!([]))});
            meaning.insert(format!("TLS towards {host}"), value);
        }
        if let Some(budget) = policy.get("retryBudget") {
            let value = json!({"percent": budget["percent"].as_f64(), "least": budget["minRetryConcurrency"], "interval": budget["budgetInterval"]});
            meaning.insert(format!("retries towards {host}"), value);
        }
    }
    for status in documents(statuses) {
        let meta = &status["metadata"];
        let namespace = meta["namespace"].as_str().map(|it| format!("{it}/")).unwrap_or_default();
        let name = format!("status of {} {namespace}{}", text(&status["kind"]), text(&meta["name"]));
        // That of a pool is made of the statuses of routes in a cluster, of which a case has none.
        if text(&status["kind"]) != "InferencePool" {
            meaning.insert(name, status_of(&status["status"]));
        }
    }
    meaning
}

/// The only server of a gateway, by the listener that it was made of.
fn server(gateway: &Value) -> (String, Value) {
    let annotations = &gateway["metadata"]["annotations"];
    let server = &gateway["spec"]["servers"][0];
    let mut services: Vec<&str> = text(&annotations["internal.istio.io/gateway-service"]).split(',').collect();
    services.sort_unstable();
    let mut hosts: Vec<&str> = list(&server["hosts"]).iter().map(text).collect();
    hosts.sort_unstable();
    let tls = server.get("tls").map(|tls| {
        let one = tls.get("credentialName").map(|name| vec![name.clone()]);
        json!({
            "mode": tls.get("mode").cloned().unwrap_or(json!("PASSTHROUGH")),
            "certificates": one.unwrap_or_else(|| list(&tls["credentialNames"]).to_vec()),
            "roots": tls.get("caCertCredentialName"),
            "ciphers": list(&tls["cipherSuites"]),
            "unchecked": tls["insecureSkipVerify"] == true,
        })
    });
    let value = json!({
        "services": services, "hosts": hosts, "port": server["port"]["number"], "protocol": server["port"]["protocol"], "tls": tls,
    });
    (text(&annotations["internal.istio.io/parents"]).to_owned(), value)
}

/// The narrower of two hosts.
pub(super) fn narrower(a: &str, b: &str) -> Option<String> {
    let covers = |wide: &str, narrow: &str| match wide.strip_prefix('*') {
        None => wide == narrow,
        Some(suffix) => narrow.trim_start_matches('*').ends_with(suffix),
    };
    if covers(a, b) {
        Some(b.to_owned())
    } else if covers(b, a) {
        Some(a.to_owned())
    } else {
        None
    }
}

fn rules(service: &Value, hosts_of: &BTreeMap<String, Vec<String>>, meaning: &mut Meaning) {
    let (spec, namespace) = (&service["spec"], text(&service["metadata"]["namespace"]));
    for gateway in list(&spec["gateways"]).iter().map(text) {
        let place = if gateway == "mesh" { format!("mesh {namespace}") } else { gateway.to_owned() };
        for host in list(&spec["hosts"]).iter().map(text) {
            let everything = vec!["*".to_owned()];
            let admitted = hosts_of.get(gateway).unwrap_or(&everything);
            let mut effective: Vec<String> = admitted.iter().filter_map(|it| narrower(it, host)).collect();
            effective.dedup();
            for host in effective {
                let mut add = |kind: &str, values: Vec<Value>| {
                    if values.is_empty() {
                        return;
                    }
                    let known = meaning.entry(format!("{kind} of {host} at {place}")).or_insert(json!([]));
                    let known = known.as_array_mut().unwrap();
                    known.extend(
                        values.into_iter().filter(|it| kind == "rules" || !known.contains(it)).collect::<Vec<_>>(),
                    );
                };
                add("rules", list(&spec["http"]).iter().map(rule).collect());
                add("connections", list(&spec["tcp"]).iter().map(|rule| route(&rule["route"])).collect());
                let named = |rule: &Value| {
                    let names = list(&rule["match"][0]["sniHosts"]).iter().map(text);
                    // The case names all of a route's names in each of its objects; the object's host says which is meant.
                    names
                        .clone()
                        .any(|name| name == host || narrower(name, &host).is_some())
                        .then(|| route(&rule["route"]))
                };
                let by_name: Vec<Value> = list(&spec["tls"]).iter().filter_map(named).collect();
                add("connections", by_name);
            }
        }
    }
}

fn rule(rule: &Value) -> Value {
    let mut retries = rule.get("retries").cloned();
    if let Some(on) = retries.as_mut().and_then(|it| it.get_mut("retryOn")) {
        let mut words: Vec<&str> = text(on).split(',').collect();
        words.sort_unstable();
        *on = json!(words);
    }
    let rewrite = rule.get("rewrite").map(|it| {
        // A pattern that takes the whole path is a path in full.
        let full = &it["uriRegexRewrite"]["rewrite"];
        json!({"host": it.get("authority"), "prefix": it.get("uri"), "path": full})
    });
    let redirect = rule.get("redirect").map(|it| {
        let from = match text(&it["derivePort"]) {
            "FROM_PROTOCOL_DEFAULT" => json!("scheme"),
            "FROM_REQUEST_PORT" => json!("request"),
            _ => it["port"].clone(),
        };
        json!({"status": it["redirectCode"], "scheme": it.get("scheme"), "host": it.get("authority"), "port": from, "path": it.get("uri"), "prefix": it.get("prefixRewrite")})
    });
    let cors = rule.get("corsPolicy").map(|it| {
        let origin = |origin: &Value| match origin.get("regex") {
            Some(regex) => format!("~{}", text(regex).trim_start_matches('^').trim_end_matches('$')),
            None => text(&origin["exact"]).to_owned(),
        };
        json!({
            "origins": list(&it["allowOrigins"]).iter().map(origin).collect::<Vec<_>>(), "methods": list(&it["allowMethods"]),
            "headers": list(&it["allowHeaders"]), "exposed": list(&it["exposeHeaders"]), "cookies": it["allowCredentials"] == true,
            // The API server fills in five seconds.
            "age": it.get("maxAge").cloned().unwrap_or(json!("5s")), "unmatched": it["unmatchedPreflights"],
        })
    });
    let mirror = |it: &Value| json!({"to": destination(&it["destination"]), "percent": it["percentage"]["value"].as_f64().unwrap_or(100.0)});
    json!({
        "when": when(&rule["match"][0]),
        "route": route(&rule["route"]), "redirect": redirect, "status": rule["directResponse"].get("status"),
        "rewrite": rewrite, "timeout": rule.get("timeout"), "retries": retries, "cors": cors,
        "mirrors": list(&rule["mirrors"]).iter().map(mirror).collect::<Vec<_>>(), "headers": headers(&rule["headers"]),
    })
}

fn when(matched: &Value) -> Value {
    // Without a condition on the path every one is below `/`.
    let path = matched.get("uri").cloned().unwrap_or(json!({"prefix": "/"}));
    json!({
        "path": path, "method": matched.get("method"), "port": matched.get("port"),
        "headers": matched.get("headers").cloned().unwrap_or(json!({})), "query": matched.get("queryParams").cloned().unwrap_or(json!({})),
    })
}

fn headers(changes: &Value) -> Value {
    let of = |part: &Value| {
        let map = |key: &str| part.get(key).cloned().unwrap_or(Value::Object(Map::new()));
        json!({"set": map("set"), "add": map("add"), "remove": list(&part["remove"])})
    };
    json!({"request": of(&changes["request"]), "response": of(&changes["response"])})
}

fn destination(to: &Value) -> Value {
    match to.get("host").map(text) {
        // A name that Istio gives to connections that are closed.
        None | Some("internal.cluster.local") => json!("nowhere"),
        Some(host) => json!(format!("{host}:{}", to["port"]["number"])),
    }
}

fn route(to: &Value) -> Value {
    let one = list(to).len() == 1;
    let share = |it: &Value| {
        let weight = if one { json!(1) } else { it["weight"].clone() };
        json!({"to": destination(&it["destination"]), "weight": weight, "headers": headers(&it["headers"])})
    };
    Value::Array(list(to).iter().map(share).collect())
}

fn conditions(of: &Value) -> Value {
    // What others wrote, and what is said of waypoints, is no part of it.
    const KINDS: &[&str] = &["Accepted", "Programmed", "ResolvedRefs", "Conflicted"];
    let known = list(of).iter().filter(|it| KINDS.contains(&text(&it["type"])));
    let all: BTreeMap<&str, String> =
        known.map(|it| (text(&it["type"]), format!("{} {}", text(&it["status"]), text(&it["reason"])))).collect();
    json!(all)
}

fn status_of(status: &Value) -> Value {
    let listeners: BTreeMap<&str, Value> = list(&status["listeners"])
        .iter()
        .map(|it| {
            let kinds: Vec<&str> = list(&it["supportedKinds"]).iter().map(|kind| text(&kind["kind"])).collect();
            let value =
                json!({"conditions": conditions(&it["conditions"]), "routes": it["attachedRoutes"], "kinds": kinds});
            (text(&it["name"]), value)
        })
        .collect();
    let own = |it: &&Value| text(&it["controllerName"]).starts_with("istio.io/");
    let parents = list(&status["parents"]).iter().map(|it| (it, &it["parentRef"]));
    let parents = parents.chain(list(&status["ancestors"]).iter().map(|it| (it, &it["ancestorRef"])));
    let parents: BTreeMap<String, Value> =
        parents.filter(|(it, _)| own(it)).map(|(it, to)| (reference(to), conditions(&it["conditions"]))).collect();
    json!({"conditions": conditions(&status["conditions"]), "listeners": listeners, "parents": parents})
}

/// A parent or target, in one word.
pub(super) fn reference(to: &Value) -> String {
    format!(
        "{} {} {} {} {}",
        to.get("kind").map_or("Gateway", text),
        to.get("namespace").map_or("", text),
        text(&to["name"]),
        to.get("sectionName").map_or("", text),
        to.get("port").map_or(String::new(), Value::to_string)
    )
}
