//! A DestinationRule in a namespace where it governs nobody.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, name_of};
use crate::is_wildcard;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::rule::without_client",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a DestinationRule in a namespace where it governs nobody",
    why: "A rule counts for clients of its own namespace, of the service's, or of the mesh from the root namespace. In a third namespace without workloads it has no effect.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: policies}
spec:
  host: orders.shop.svc.cluster.local
  subsets:
  - {name: v1, labels: {app: orders}}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec:
  host: orders.shop.svc.cluster.local
  subsets:
  - {name: v1, labels: {app: orders}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Sources without any workload do not say where the clients are.
    if mesh.pods.all().is_empty() {
        return;
    }
    for traffic in mesh.written_traffic() {
        let namespace = traffic.of.namespace();
        if is_wildcard(&traffic.host) || *namespace == mesh.settings.root_namespace {
            continue;
        }
        let Some(id) = mesh.service_for(&traffic.host, namespace) else { continue };
        let service = mesh.service(id);
        if service.namespace == *namespace || mesh.pods.within(namespace).next().is_some() {
            continue;
        }
        let message = format!(
            "no client is in `{namespace}`, and `{}` is in `{}`",
            traffic.of.spec.host.value, service.namespace
        );
        let help = format!(
            "put it into `{}`, or into `{}` for the whole mesh",
            service.namespace, mesh.settings.root_namespace
        );
        problems.push(about(&traffic.of, &RULE, name_of(traffic.of.resource), message, help));
    }
}
