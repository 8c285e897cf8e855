//! A subset that no workload of the service is in.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed, place_of, related, shown_labels};
use crate::mesh::Mesh;
use crate::{EndpointKind, Pod};

static RULE: Rule = Rule {
    code: "taut::rule::empty_subset",
    istio: Some("IST0173"),
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a subset whose labels no workload of the service has",
    why: "Requests that are routed to it get a 503 until such a workload is there.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-v1}
spec:
  template:
    metadata: {labels: {app: orders, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v2, labels: {version: v2}}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-v1}
spec:
  template:
    metadata: {labels: {app: orders, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic() {
        let Some(id) = mesh.service_for(&traffic.host, traffic.of.namespace()) else { continue };
        let service = mesh.service(id);
        let EndpointKind::Selector(selector) = service.endpoints else { continue };
        // A namespace without any workload does not say what runs in it.
        if !service.kubernetes || mesh.pods.within(&service.namespace).next().is_none() {
            continue;
        }
        let behind: Vec<&Pod<'_>> = mesh.pods.selected(Some(&service.namespace), selector).collect();
        for subset in &traffic.of.spec.subsets {
            // Where a pod runs is known of pods in clusters alone.
            let placed = |name: &str| name.starts_with("topology.") || name == "istio-locality";
            let own = || subset.labels.iter().filter(|(name, _)| !placed(name));
            if behind.iter().any(|pod| own().all(|(name, value)| pod.labels.get(name) == Some(value))) {
                continue;
            }
            let message =
                format!("no workload of `{}` is in the subset `{}`", traffic.of.spec.host.value, subset.name.value);
            let help = match behind.is_empty() {
                true => format!("no workload has the labels {}", shown_labels(selector)),
                false => format!("the workloads behind it are: {}", listed(behind.iter().map(|pod| pod.name()))),
            };
            let places =
                behind.iter().map(|pod| related(place_of(pod.resource), format!("`{}` has other labels", pod.name())));
            problems.push(Problem {
                label: "this subset".into(),
                related: places.take(3).collect(),
                ..about(&traffic.of, &RULE, subset.name.span, message, help)
            });
        }
    }
}
