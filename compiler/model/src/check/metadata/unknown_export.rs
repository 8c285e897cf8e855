//! An `exportTo` that names a namespace which does not exist.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, listed, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::metadata::unknown_export",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "an `exportTo` that names a namespace which does not exist",
    why: "Nobody is in it, and whoever was meant does not see the object.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  exportTo: [shpo]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  exportTo: [shop]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let inventory = &mesh.inventory;
    let routings = inventory.virtual_services.iter().map(|it| (it.resource, &it.spec.export_to));
    let rules = inventory.destination_rules.iter().map(|it| (it.resource, &it.spec.export_to));
    let entries = inventory.service_entries.iter().map(|it| (it.resource, &it.spec.export_to));
    for (resource, export_to) in routings.chain(rules).chain(entries) {
        for name in export_to {
            if matches!(name.as_str(), "*" | "." | "~") || mesh.namespaces.contains_key(&name.value) {
                continue;
            }
            let message = format!("there is no namespace `{}`", name.value);
            let known = mesh.namespaces.keys().filter(|name| !name.is_empty());
            problems.push(on(resource, &RULE, name.span, message, format!("the namespaces are: {}", listed(known))));
        }
    }
}
