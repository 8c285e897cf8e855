//! A policy by who somebody is, for a workload that never learns it.

use taut_resources::{AuthzRule, AuthzSource};
use taut_source::{Problem, Problems, Rule, Severity, Span, Stage};

use crate::attachment::Attached as _;
use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::Mesh;
use crate::{Mode, deciding_policy, mode_of};

static RULE: Rule = Rule {
    code: "taut::authz::needs_mtls",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "an AuthorizationPolicy with principals, service accounts or namespaces for a workload whose PeerAuthentication says DISABLE",
    why: "Who somebody is, is known by mTLS alone: an ALLOW rule lets nobody in, and a DENY rule stops nobody.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all}
spec:
  mtls: {mode: DISABLE}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - from: [{source: {namespaces: [default]}}]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all}
spec:
  mtls: {mode: STRICT}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - from: [{source: {namespaces: [default]}}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Where nobody says DISABLE, there is nothing to find; most meshes do not.
    if !mesh.peer_authentications.iter().any(|it| it.spec.says_disable()) {
        return;
    }
    for policy in &mesh.authorization_policies {
        let Some(span) = policy.spec.rules.iter().flatten().find_map(identity) else { continue };
        let root = *policy.namespace() == mesh.settings.root_namespace;
        let plain = mesh.workloads.iter().filter(|it| it.meshed && !it.gateway).find(|it| {
            let own = it.namespace == *policy.namespace();
            let mode = || mode_of(mesh, &it.namespace, &it.labels);
            (own || root) && policy.spec.is_for(own, &it.labels) && mode().workload == Mode::Disable
        });
        let Some(workload) = plain else { continue };
        let message = format!("`{}` takes no mTLS, and so nobody is known to it", full_name(workload.resource));
        let says = deciding_policy(mesh, &workload.namespace, &workload.labels, 0);
        problems.push(Problem {
            label: "who it is for".into(),
            related: says.iter().map(|(it, _)| related(place_of(it.resource), "no mTLS")).collect(),
            ..about(policy, &RULE, span, message, "accept mTLS with `mode: STRICT` or `PERMISSIVE`".into())
        });
    }
}

/// Where a rule asks who somebody is.
fn identity(rule: &AuthzRule) -> Option<Span> {
    let named = |source: &AuthzSource| {
        let lists = [&source.principals, &source.namespaces, &source.service_accounts];
        lists.into_iter().flatten().map(|it| it.span).next()
    };
    let from = rule.from.iter().flatten().filter_map(|from| from.source.as_ref()).find_map(named);
    let keys = ["source.principal", "source.namespace"];
    from.or_else(|| rule.when.iter().flatten().find(|it| keys.contains(&it.key.as_str())).map(|it| it.key.span))
}
