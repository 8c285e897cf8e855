//! A Deployment of which one port is reached under different numbers of several Services.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::behind::deployments_behind_several;
use crate::check::{Check, RELATED_MAX, full_name, listed, name_of, on, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::{IntOrText, Service, ServicePort};

static RULE: Rule = Rule {
    code: "taut::workload::shared_target_port",
    istio: Some("IST0137"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a Deployment of which one port is reached under different numbers of several Services",
    why: "Rules for one of the numbers would hold for requests under the other as well: the proxy sees the target port alone.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080, targetPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: orders-2}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 9090, targetPort: 80}]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080, targetPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: orders-2}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080, targetPort: 80}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// A port of a service, with its number.
type Claim<'m, 'r> = (u16, &'m Of<'r, Service>, &'m ServicePort);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (pod, services) in deployments_behind_several(mesh) {
        let mut targets: BTreeMap<String, Vec<Claim<'_, '_>>> = BTreeMap::new();
        for service in services {
            for port in &service.spec.ports {
                let target = match port.target_port.as_ref().map(|target| &target.value) {
                    Some(IntOrText::Text(name)) => name.to_string(),
                    Some(IntOrText::Int(number)) if *number != 0 => number.to_string(),
                    _ => port.port.0.to_string(),
                };
                targets.entry(target).or_default().push((port.port.0, service, port));
            }
        }
        for (target, claims) in targets {
            let elsewhere = |first: &&Claim<'_, '_>| {
                claims.iter().any(|it| it.0 != first.0 && !std::ptr::eq(it.1.resource, first.1.resource))
            };
            if claims.iter().find(elsewhere).is_none() {
                continue;
            }
            let names = claims.iter().map(|(number, service, _)| format!("{}:{number}", full_name(service.resource)));
            let message = format!("target port {target} is reached under several numbers: {}", listed(names));
            let places =
                claims.iter().map(|(number, service, port)| related(service.at(port.span), format!("as {number}")));
            problems.push(Problem {
                label: "this Deployment".into(),
                related: places.take(RELATED_MAX).collect(),
                ..on(pod.resource, &RULE, name_of(pod.resource), message, "use one number for it in all Services")
            });
        }
    }
}
