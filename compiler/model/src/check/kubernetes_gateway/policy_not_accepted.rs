//! A BackendTLSPolicy or XBackendTrafficPolicy that is not followed.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::policy_not_accepted",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a BackendTLSPolicy or XBackendTrafficPolicy that is not followed: its service, or what certificates are checked by, does not exist, or an older one counts",
    why: "Connections would be made without the checks that it asks for, and retries without its limit.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: payments}
spec:
  selector: {app: payments}
  ports: [{name: https, port: 443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: payments}
spec:
  targetRefs: [{group: "", kind: Service, name: paymnets}]
  validation: {hostname: payments.example.com, wellKnownCACertificates: System}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: payments}
spec:
  selector: {app: payments}
  ports: [{name: https, port: 443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: payments}
spec:
  targetRefs: [{group: "", kind: Service, name: payments}]
  validation: {hostname: payments.example.com, wellKnownCACertificates: System}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (resource, status) in &mesh.statuses {
        let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        for bad in conditions.filter(|it| it.kind == "Accepted" && !it.is_good()) {
            let help = match bad.reason {
                "TargetNotFound" => "correct the name of the service, or of its port",
                "NoValidCACertificate" => "name a ConfigMap of the same namespace with `ca.crt`",
                "Conflicted" => "keep one policy for each service",
                _ => continue,
            };
            problems.push(on(resource, &RULE, bad.at, bad.message.clone(), help));
        }
    }
    for (resource, span, why) in &mesh.unused {
        problems.push(on(resource, &RULE, *span, (*why).to_owned(), "keep one"));
    }
}
