//! A subset that no workload of the service is in.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::{Check, about, listed, related};
use crate::mesh::Mesh;
use crate::{EndpointKind, selects};

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

pub(super) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in &mesh.traffic {
        let Some(id) = mesh.service_for(&traffic.host, traffic.of.namespace()) else { continue };
        let service = mesh.service(id);
        let EndpointKind::Selector(_) = service.endpoints else { continue };
        for subset in &traffic.of.spec.subsets {
            let mut behind = mesh.workloads_behind(service).peekable();
            if behind.peek().is_none() || behind.any(|workload| selects(&subset.labels, &workload.labels)) {
                continue;
            }
            let message =
                format!("no workload of `{}` is in the subset `{}`", traffic.of.spec.host.value, subset.name.value);
            let names: Vec<String> = mesh.workloads_behind(service).map(|workload| workload.name.to_string()).collect();
            let help = format!("the workloads behind it are: {}", listed(&names));
            let places = mesh.workloads_behind(service).map(|workload| {
                let at = taut_source::Place { file: workload.resource.file, span: workload.resource.meta.span };
                related(at, format!("`{}` has other labels", workload.name))
            });
            problems.push(Problem {
                label: "this subset".into(),
                related: places.take(3).collect(),
                ..about(&traffic.of, &RULE, subset.name.span, message, help)
            });
        }
    }
}
