//! A Sidecar that imports a host which no service has.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;
use crate::{is_wildcard, overlap};
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::sidecar::unknown_egress_host",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a Sidecar that imports a host which no service has",
    why: "It imports nothing, and the service that was meant is not known to the workload.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders}
spec:
  egress:
  - hosts: ["./odrers.default.svc.cluster.local"]"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders}
spec:
  egress:
  - hosts: ["./orders.default.svc.cluster.local"]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let hosts: BTreeSet<&str> = mesh.services.iter().map(|service| service.host.as_str()).collect();
    for sidecar in &mesh.inventory.sidecars {
        for written in sidecar.spec.egress.iter().flat_map(|egress| &egress.hosts) {
            let Some((namespace, host)) = written.split_once('/') else { continue };
            if host == "*" || namespace == "~" || hosts.contains(host) {
                continue;
            }
            let namespace = if namespace == "." { sidecar.namespace().as_str() } else { namespace };
            let wild = is_wildcard(host) || mesh.services.iter().any(|service| is_wildcard(&service.host));
            let here = |service: &crate::Service<'_>| namespace == "*" || service.namespace == namespace;
            if wild && mesh.services.iter().any(|service| here(service) && overlap(host, &service.host)) {
                continue;
            }
            let message = format!("no service has the host `{host}`");
            let help = "write the full name, such as `./orders.shop.svc.cluster.local`".into();
            problems.push(about(sidecar, &RULE, written.span, message, help));
        }
    }
}
