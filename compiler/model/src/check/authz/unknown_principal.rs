//! An AuthorizationPolicy that names an identity which nobody has.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about, listed};
use crate::mesh::Mesh;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashSet};

static RULE: Rule = Rule {
    code: "taut::authz::unknown_principal",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "an AuthorizationPolicy that names an identity which nobody has",
    why: "An ALLOW rule for it lets nobody in, and a DENY rule for it keeps nobody out.",
    bad: r#"apiVersion: v1
kind: ServiceAccount
metadata: {name: frontend}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - from:
    - source: {principals: [cluster.local/ns/default/sa/fronted]}"#,
    good: r#"apiVersion: v1
kind: ServiceAccount
metadata: {name: frontend}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  rules:
  - from:
    - source: {principals: [cluster.local/ns/default/sa/frontend]}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut known: HashSet<(&str, &str), RandomState> = HashSet::default();
    known.extend(mesh.service_accounts.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str())));
    known.extend(mesh.workloads.iter().map(|it| (it.namespace.as_str(), it.service_account.as_str())));
    // Namespaces whose accounts are not declared here have them elsewhere.
    let declaring: HashSet<&str, RandomState> = known.iter().map(|(namespace, _)| *namespace).collect();
    for policy in &mesh.authorization_policies {
        let rules = policy.spec.rules.iter().flatten().flat_map(|rule| rule.from.iter().flatten());
        for source in rules.filter_map(|from| from.source.as_ref()) {
            for principal in source.principals.iter().chain(&source.not_principals) {
                let Some((domain, rest)) = principal.split_once("/ns/") else { continue };
                let Some((namespace, account)) = rest.split_once("/sa/") else { continue };
                let ours = *domain == *mesh.settings.trust_domain
                    || mesh.settings.trust_domain_aliases.iter().any(|it| it == domain);
                if !ours || principal.contains('*') || account == "default" || !declaring.contains(namespace) {
                    continue;
                }
                if known.contains(&(namespace, account)) {
                    continue;
                }
                let accounts = known.iter().filter(|(place, _)| *place == namespace).map(|(_, name)| *name);
                let accounts: BTreeSet<&str> = accounts.collect();
                let message = format!("`{namespace}` has no service account `{account}`");
                let help = format!("its service accounts are: {}", listed(accounts));
                problems.push(about(policy, &RULE, principal.span, message, help));
            }
        }
    }
}
