//! A server that must check its clients, and does not know by whose certificates.

use taut_resources::ServerTlsMode;
use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::gateway::namespaces_of_pods;
use crate::check::{Check, about};
use crate::mesh::Mesh;
use crate::secret::client_roots;
use crate::{Text, gateway_api};

static RULE: Rule = Rule {
    code: "taut::gateway::unknown_client_roots",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a server with `mode: MUTUAL` or `OPTIONAL_MUTUAL` without roots for the certificates of its clients",
    why: "It could not tell a good certificate from a bad one, so that nobody would get in.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example.com]
    tls: {mode: MUTUAL, credentialName: shop-cert}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert}
stringData:
  tls.crt: "-----BEGIN CERTIFICATE-----"
  tls.key: "-----BEGIN PRIVATE KEY-----""#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    metadata: {labels: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example.com]
    tls: {mode: MUTUAL, credentialName: shop-cert}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert}
stringData:
  tls.crt: "-----BEGIN CERTIFICATE-----"
  tls.key: "-----BEGIN PRIVATE KEY-----"
  ca.crt: "-----BEGIN CERTIFICATE-----""#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for entrance in &mesh.entrances {
        let namespaces: Vec<Text> = match entrance.run_by {
            None | Some(gateway_api::RunBy::Labels) => namespaces_of_pods(mesh, &entrance.of).into_iter().collect(),
            Some(gateway_api::RunBy::Services { .. }) => vec![entrance.of.namespace().clone()],
        };
        for tls in entrance.of.spec.servers.iter().filter_map(|server| server.tls.as_deref()) {
            let checks = matches!(tls.effective_mode(), ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
            let any = tls.insecure_skip_verify.is_some_and(|any| any.value);
            let why = namespaces.iter().find_map(|namespace| client_roots(mesh, tls, namespace).err());
            let Some(why) = why.filter(|_| checks && !any) else { continue };
            let span = tls.mode.map_or(tls.span, |mode| mode.span);
            let message = format!("nothing says whose certificates clients must have: {why}");
            let help = "add the certificate of whoever certifies clients to the Secret, as `ca.crt`".into();
            problems.push(Problem {
                label: "clients are checked".into(),
                ..about(&entrance.of, &RULE, span, message, help)
            });
        }
    }
}
