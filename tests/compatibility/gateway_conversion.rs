//! Outside cases of the Gateway API: what Istio makes of a mesh, and what Taut makes of it, compared by meaning.
//!
//! Owns: the two translations into one form. What is compared: servers with their hosts and TLS; for each host the rules
//! in order, with conditions, destinations and weights; TLS and retries towards services; and every condition of every status.
//! The cases stand beside the repository, and are none of its own: without them there is nothing to compare.

mod expected;
mod found;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use harness::root;
use serde_json::{Value, json};
use taut_model::{Settings, convert};
use taut_resources::{Outcome, Resource, Spec, read_resource};
use taut_source::{FileId, SourceFile, YamlReader, read_documents};

/// What a mesh means: names of things, and what they are.
pub(super) type Meaning = BTreeMap<String, Value>;

fn folder() -> Option<PathBuf> {
    let folder = root().parent()?.join("shared/conformance/gateway-api");
    folder.join("cases.jsonl").is_file().then_some(folder)
}

/// The objects of a case: its own, and those that every case has.
fn resources(input: &str, fixtures: &Value) -> Vec<Arc<Resource>> {
    let mut text = input.to_owned();
    let mut add = |object: Value| {
        text.push_str("\n---\n");
        text.push_str(&object.to_string());
    };
    let documents: Vec<Value> = expected::documents(input);
    let named = documents.iter().filter_map(|it| it["metadata"]["namespace"].as_str().map(str::to_owned));
    let mut namespaces: Vec<String> = named.collect();
    namespaces.sort();
    namespaces.dedup();
    for name in namespaces {
        let part = name.split('-').next().unwrap().to_owned();
        add(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"istio.io/test-name-part": part}}}),
        );
    }
    for service in fixtures["services"].as_array().unwrap() {
        let (host, namespace) = (&service["hostname"], &service["namespace"]);
        if service["kube_service"] == true {
            let port = |port: &Value| json!({"name": port["name"], "port": port["port"], "targetPort": 8080});
            let ports: Vec<Value> = service["ports"].as_array().unwrap().iter().map(port).collect();
            add(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service["name"], "namespace": namespace},
                "spec": {"selector": {"app": service["name"]}, "ports": ports}}),
            );
        } else if !documents
            .iter()
            .any(|it| it["kind"] == "ServiceEntry" && it["spec"]["hosts"].to_string().contains(&host.to_string()))
        {
            let port =
                |port: &Value| json!({"name": port["name"], "number": port["port"], "protocol": port["protocol"]});
            let ports: Vec<Value> = service["ports"].as_array().unwrap().iter().map(port).collect();
            let name = host.as_str().unwrap().replace('.', "-");
            add(
                json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name, "namespace": namespace},
                "spec": {"hosts": [host], "ports": ports, "resolution": "NONE"}}),
            );
        }
    }
    for object in fixtures["objects"].as_array().unwrap() {
        let data = if object["kind"] == "Secret" { "stringData" } else { "data" };
        add(
            json!({"apiVersion": "v1", "kind": object["kind"], "metadata": {"name": object["name"], "namespace": object["namespace"]},
            data: object["data"]}),
        );
    }
    let file = SourceFile::new("case.yaml", text.as_bytes());
    let (documents, _) = read_documents(&file, FileId(0), YamlReader::default());
    let (mut problems, mut outcomes) = (Vec::new(), Vec::new());
    for document in &documents {
        read_resource(document.tree.root(), FileId(0), "default", &mut problems, &mut outcomes);
    }
    let read = |outcome| match outcome {
        Outcome::Read(resource) => Some(resource),
        _ => None,
    };
    outcomes.into_iter().filter_map(read).filter(|it| is_served(it, fixtures)).collect()
}

/// Whether a pool has a service. Of a case, the fixtures say which services there are: a controller that makes those of
/// pools is no part of it, and a pool without one is nothing that requests can be sent to.
fn is_served(resource: &Resource, fixtures: &Value) -> bool {
    let (name, namespace) = (&resource.subject.name, resource.subject.namespace.as_deref());
    let start = format!("{name}-ip-");
    let is_its = |service: &Value| {
        service["namespace"].as_str() == namespace && service["name"].as_str().is_some_and(|it| it.starts_with(&start))
    };
    !matches!(resource.spec, Spec::InferencePool(_)) || fixtures["services"].as_array().unwrap().iter().any(is_its)
}

/// What differs between two meanings.
fn differences(case: &str, want: &Meaning, found: &Meaning) -> Vec<String> {
    let names = want.keys().chain(found.keys().filter(|name| !want.contains_key(*name)));
    let differs = names.filter(|name| want.get(*name) != found.get(*name));
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    differs
        .map(|name| format!("{case}: {name}\n   want {}\n  found {}", shown(want.get(name)), shown(found.get(name))))
        .collect()
}

#[test]
fn the_gateway_api_means_what_it_means_to_istio() {
    let Some(folder) = folder() else { return crate::skipped("../shared/conformance/gateway-api") };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let fixtures: Value = serde_json::from_str(&read("fixtures.json")).unwrap();
    let settings =
        Settings { domain_suffix: fixtures["domain_suffix"].as_str().unwrap().into(), ..Settings::default() };
    let mut differing = Vec::new();
    let mut cases = 0;
    for line in read("cases.jsonl").lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let file = |key: &str| read(case[key].as_str().unwrap());
        let name = case["name"].as_str().unwrap().rsplit('/').next().unwrap();
        let input = file("input");
        let resources = resources(&input, &fixtures);
        let converted = convert(&resources, &settings);
        let want = expected::meaning(&file("expected"), &file("expected_status"));
        let found = found::meaning(&resources, &converted, &expected::documents(&input));
        differing.extend(differences(name, &want, &found));
        cases += 1;
    }
    assert!(differing.is_empty(), "{} differences in {cases} cases:\n{}", differing.len(), differing.join("\n"));
    assert!(0 < cases, "there are no cases in {}", folder.display());
}
