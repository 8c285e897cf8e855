//! Cases of what others ask of a workload: each is a snapshot of its own to Taut, and a listener of its own to Envoy.

use serde_json::{Value, json};
use taut_proxy::Role;

use crate::backend::Backends;
use crate::compare::{Case, Door, compare, conclude};
use crate::config::{all, captured, cluster, listener, start};
use crate::sealed::permissive;
use crate::taut::{PORT, Taut};

const WORKLOAD: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Service\n\
    metadata: {name: app, namespace: shop}\nspec: {selector: {app: app}, ports: [{name: http, port: 8080}]}\n---\n\
    apiVersion: v1\nkind: Namespace\nmetadata: {name: shopping}\n---\n\
    apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n---\n\
    apiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: shop, labels: {app: app}}\n\
    spec: {serviceAccountName: app, containers: [{name: app}]}\n---\n";

/// Says to Envoy which port was dialled, as the kernel would; the port is [`PORT`].
const DIALLED: &str = "PROXY TCP4 127.0.0.1 127.0.0.1 40000 8080\r\n";

/// Runs cases: what is of Envoy in them are filters.
pub(crate) fn run(cases: &[Case]) {
    run_with(cases, |listener| listener);
}

/// Runs cases in which somebody shows a certificate of the mesh.
pub(crate) fn run_sealed(cases: &[Case]) {
    run_with(cases, permissive);
}

fn run_with(cases: &[Case], port: fn(Value) -> Value) {
    let backends = Backends::start(&["app"]);
    let application = backends.address("app");
    let taut = Taut::start("app", Role::Inbound { port: PORT, application });
    let route = json!({"match": all(), "route": {"cluster": "app", "timeout": "0s",
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2}}});
    let hosts = [json!({"name": "inbound|http|8080", "domains": ["*"], "routes": [route]})];
    let listeners: Vec<Value> =
        cases.iter().map(|case| port(captured(listener(case.name, case.envoy.clone(), &hosts)))).collect();
    let envoy = start(&listeners, &[cluster("app", &[application])]);
    let ours = Door { address: taut.address(), preamble: "", client: "127.0.0.1", settles: None };
    let mut wrong = Vec::new();
    for case in cases {
        taut.activate(&format!("{WORKLOAD}{}", case.istio));
        let theirs =
            Door { address: envoy.listeners[case.name], preamble: DIALLED, client: "127.0.0.1", settles: None };
        wrong.extend(compare(case, "app.shop:8080", [&ours, &theirs], &backends));
    }
    conclude(cases.len(), &wrong);
}
