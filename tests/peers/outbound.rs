//! Cases of what a workload asks of others: one host each, all of them in one Envoy and in one snapshot.

use serde_json::Value;
use taut_proxy::Role;

use crate::backend::Backends;
use crate::compare::{Case, Door, compare, conclude};
use crate::config::{cluster, listener, service_host, start, with};
use crate::taut::{PORT, Taut};

/// A service with applications behind it: what its traffic policy says, and what Istio makes of that.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) backends: &'static [&'static str],
    /// `trafficPolicy` of its DestinationRule.
    pub(crate) policy: &'static str,
    /// What Envoy's cluster has beside what all have.
    pub(crate) envoy: Value,
}

pub(crate) fn service(name: &'static str, backends: &'static [&'static str]) -> Service {
    Service { name, backends, policy: "", envoy: Value::Object(serde_json::Map::new()) }
}

/// The services that every case can use.
fn usual() -> Vec<Service> {
    vec![service("one", &["one"]), service("two", &["two"]), service("dead", &["dead"]), service("nobody", &[])]
}

const APPLICATIONS: [&str; 4] = ["one", "two", "three", "four"];

fn resources(cases: &[Case], services: &[Service]) -> String {
    let mut yaml = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Pod\n\
         metadata: {name: frontend, namespace: shop, labels: {app: frontend}}\n\
         spec: {serviceAccountName: frontend, containers: [{name: app}]}\n",
    );
    let names = services.iter().map(|service| service.name).chain(cases.iter().map(|case| case.name));
    for name in names {
        yaml += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: {PORT}}}]}}\n"
        );
    }
    for Service { name, policy, .. } in services.iter().filter(|service| !service.policy.is_empty()) {
        yaml += &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec:\n  host: {name}\n  trafficPolicy: {policy}\n"
        );
    }
    for Case { name, istio, .. } in cases {
        // Rules of a VirtualService, or other resources altogether.
        yaml += &if istio.contains("apiVersion:") {
            format!("---\n{istio}\n")
        } else {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                 metadata: {{name: {name}, namespace: shop}}\nspec:\n  hosts: [{name}]\n  http:\n{istio}\n"
            )
        };
    }
    yaml
}

/// Runs cases, whose names are hosts.
pub(crate) fn run(cases: &[Case], more: Vec<Service>) {
    let mut services = usual();
    services.extend(more);
    let backends = Backends::start(&APPLICATIONS);
    let addresses = |service: &Service| service.backends.iter().map(|name| backends.address(name)).collect::<Vec<_>>();
    let taut = Taut::start("frontend", Role::Outbound { port: PORT });
    taut.endpoints(&services.iter().map(|service| (service.name, addresses(service))).collect::<Vec<_>>());
    taut.activate(&resources(cases, &services));
    let hosts: Vec<Value> = cases.iter().map(|case| service_host(case.name, &case.envoy)).collect();
    let clusters: Vec<Value> = services
        .iter()
        .map(|service| with(cluster(service.name, &addresses(service)), service.envoy.clone()))
        .collect();
    let envoy = start(&[listener("outbound", vec![], &hosts)], &clusters);
    let ours = Door { address: taut.address(), preamble: "", client: "127.0.0.1", settles: None };
    let theirs =
        Door { address: envoy.listeners["outbound"], preamble: "", client: "127.0.0.1", settles: Some(envoy.admin) };
    let wrong: Vec<String> =
        cases.iter().flat_map(|case| compare(case, case.name, [&ours, &theirs], &backends)).collect();
    conclude(cases.len(), &wrong);
}
