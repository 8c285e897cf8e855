//! A control plane that fetches keys from any address that a RequestAuthentication names.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::Pod;
use crate::check::{Check, name_of, on};
use crate::mesh::Mesh;
use taut_resources::ContainerVariable;

static RULE: Rule = Rule {
    code: "taut::security::unrestricted_jwks",
    istio: Some("IST0175"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a control plane that fetches keys from any address that a RequestAuthentication names",
    why: "Whoever may write a RequestAuthentication can make it send requests to addresses inside the cluster.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  template:
    metadata: {labels: {app: istiod}}
    spec:
      containers: [{name: discovery, image: pilot}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  jwtRules:
  - issuer: https://issuer.example.org"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  template:
    metadata: {labels: {app: istiod}}
    spec:
      containers:
      - name: discovery
        image: pilot
        env: [{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  jwtRules:
  - issuer: https://issuer.example.org"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if mesh.inventory.request_authentications.is_empty() {
        return;
    }
    let control_plane = |pod: &&Pod<'_>| {
        pod.resource.subject.kind() == "Deployment"
            && pod.resource.meta.labels.get("app").is_some_and(|app| app == "istiod")
    };
    for pod in mesh.pods.all().iter().filter(control_plane) {
        let blocks = |variable: &ContainerVariable| {
            variable.name.as_ref().is_some_and(|name| name.as_str() == "BLOCKED_CIDRS_IN_JWKS_URIS")
                && variable.value.as_ref().is_some_and(|value| !value.is_empty())
        };
        if pod.containers.iter().flat_map(|container| &container.env).any(blocks) {
            continue;
        }
        let message = "keys of tokens are fetched from any address";
        let help = "set `BLOCKED_CIDRS_IN_JWKS_URIS` in its environment to the blocks of the cluster";
        problems.push(on(pod.resource, &RULE, name_of(pod.resource), message, help));
    }
}
