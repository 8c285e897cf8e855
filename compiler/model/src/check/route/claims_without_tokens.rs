//! A virtual service that routes by claims of a token at a gateway that checks no tokens.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::Pod;
use crate::attachment::{Attached as _, GATEWAY_NAME};
use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::claims_without_tokens",
    istio: Some("IST0149"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a virtual service that routes by claims of a token at a gateway that checks no tokens",
    why: "The claims are never there: no request ever takes the rule.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: gateway, labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]
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
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - headers: {"@request.auth.claims.group": {exact: staff}}
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: gateway, labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [orders.example.org]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  jwtRules:
  - issuer: https://issuer.example.org
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
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - headers: {"@request.auth.claims.group": {exact: staff}}
    route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings() {
        let matches = routing.of.spec.http.iter().flat_map(|rule| &rule.matches);
        let names = matches.flat_map(|it| it.headers.0.iter().chain(&it.without_headers.0)).map(|(name, _)| name);
        let Some(claim) = names.into_iter().find(|name| name.starts_with("@request.auth.claims")) else { continue };
        for name in routing.gateways.iter().filter(|name| *name != "mesh") {
            let Some((namespace, own)) = name.split_once('/') else { continue };
            let found = mesh.gateways.iter().find(|it| *it.namespace() == namespace && *it.name() == own);
            let Some(gateway) = found else { continue };
            for pod in mesh.pods.selected(None, &gateway.spec.selector).filter(|pod| !checks_tokens(mesh, pod)) {
                let message = format!(
                    "the {} `{}` checks no tokens, so no request has claims there",
                    pod.resource.subject.kind(),
                    full_name(pod.resource)
                );
                let help = "write a RequestAuthentication that selects it, in its namespace".into();
                problems.push(Problem {
                    label: "this claim".into(),
                    related: vec![
                        related(place_of(pod.resource), "the gateway's workload"),
                        related(place_of(gateway.resource), "the gateway"),
                    ],
                    ..about(&routing.of, &RULE, claim.span, message, help)
                });
            }
        }
    }
}

/// Whether a RequestAuthentication of the pod's namespace, or of the root namespace, is for it.
fn checks_tokens(mesh: &Mesh<'_>, pod: &Pod<'_>) -> bool {
    mesh.inventory.request_authentications.iter().any(|it| {
        let own = *it.namespace() == pod.namespace();
        if let Some(attached) = it.spec.attaches(own, pod.labels.get(GATEWAY_NAME)) {
            return attached;
        }
        (own || *it.namespace() == mesh.settings.root_namespace)
            && it.spec.selector.as_ref().is_none_or(|selector| pod.has(&selector.match_labels))
    })
}
