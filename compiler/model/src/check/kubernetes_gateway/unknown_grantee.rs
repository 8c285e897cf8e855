//! A ReferenceGrant for a namespace that does not exist.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::unknown_grantee",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a ReferenceGrant from a namespace that does not exist",
    why: "It permits nothing, and whoever was meant gets RefNotPermitted. Whoever makes a namespace of that name is let in.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: shop, namespace: bank}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shpo}]
  to: [{group: "", kind: Service}]"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: shop, namespace: bank}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: "", kind: Service}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for grant in &mesh.inventory.reference_grants {
        for from in grant.spec.from.iter().filter(|from| !mesh.namespaces.contains_key(from.namespace.value.as_str())) {
            let message = format!("there is no namespace `{}`", from.namespace.value);
            let help =
                format!("the namespaces are: {}", listed(mesh.namespaces.keys().filter(|name| !name.is_empty())));
            problems.push(about(grant, &RULE, from.namespace.span, message, help));
        }
    }
}
