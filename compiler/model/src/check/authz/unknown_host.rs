//! An AuthorizationPolicy that names a host which no service has.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::authorization::meant_hosts;
use crate::check::{Check, about};
use crate::mesh::Mesh;
use crate::{covers, is_wildcard};

static RULE: Rule = Rule {
    code: "taut::authz::unknown_host",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "an AuthorizationPolicy for requests to a host of the mesh which no service has",
    why: "Hosts are compared with what clients ask for. Nobody asks for this one, so that an ALLOW rule lets nobody in, and a DENY rule keeps nobody out.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  action: DENY
  rules:
  - to:
    - operation: {hosts: [odrers.shop.svc.cluster.local], paths: [/admin]}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  action: DENY
  rules:
  - to:
    - operation: {hosts: [orders.shop.svc.cluster.local], paths: [/admin]}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let has = |host: &str| !mesh.services_of(host).is_empty() || !mesh.routings_of(host).is_empty();
    for policy in &mesh.inventory.authorization_policies {
        for meant in meant_hosts(policy.spec, policy.namespace(), &mesh.settings) {
            // Sources without any service of the namespace do not say which there are.
            let says = mesh.namespaces.contains_key(&meant.namespace) && !mesh.services_in(&meant.namespace).is_empty();
            if !says || has(&meant.host) || has(&meant.written) {
                continue;
            }
            let mut wide = mesh.services.iter().map(|service| &service.host).filter(|host| is_wildcard(host));
            let mut routed = mesh.wildcard_routings().iter().map(|(host, _)| host);
            if wide.any(|host| covers(host, &meant.host)) || routed.any(|host| covers(host, &meant.host)) {
                continue;
            }
            let message = format!("there is no service `{}`", meant.host);
            let help = "correct the name, or take it away".into();
            let problem = about(policy, &RULE, meant.at.span, message, help);
            problems.push(Problem { reftype: Some("host"), label: "this host".into(), ..problem });
        }
    }
}
