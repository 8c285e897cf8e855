//! A certificate that a gateway's server names and that is not there.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::gateway::{credentials, namespaces_of_pods};
use crate::check::{Check, about, listed, related};
use crate::mesh::Mesh;
use crate::secret::secret_name;

static RULE: Rule = Rule {
    code: "taut::gateway::unknown_secret",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a `credentialName` for which there is no Secret in the namespace of the gateway's workload",
    why: "The server cannot end TLS. The Secret is looked up where the workload is, not where the Gateway object is.",
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
    tls: {mode: SIMPLE, credentialName: shop-cert}"#,
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
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert}
stringData:
  tls.crt: "-----BEGIN CERTIFICATE-----"
  tls.key: "-----BEGIN PRIVATE KEY-----""#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for gateway in &mesh.gateways {
        let namespaces = namespaces_of_pods(mesh, gateway);
        for (credential, what) in gateway.spec.servers.iter().flat_map(credentials) {
            let name = secret_name(credential);
            for namespace in &namespaces {
                if mesh.secrets.contains_key(&(namespace.clone(), name.into())) {
                    continue;
                }
                let message = format!("there is no Secret `{name}` in `{namespace}`, where the gateway runs");
                let here = mesh.secrets.keys().filter(|(place, _)| place == namespace).map(|(_, name)| name.as_str());
                let mut here = here.peekable();
                let help = match here.peek() {
                    Some(_) => format!("the Secrets of `{namespace}` are: {}", listed(here)),
                    None => format!("add a Secret `{name}` with `tls.crt` and `tls.key` to `{namespace}`"),
                };
                let elsewhere = mesh.secrets.iter().filter(|((_, known), _)| known == name);
                let related = elsewhere.map(|((place, _), secret)| {
                    related(secret.at(secret.resource.span), format!("a Secret of this name is in `{place}`"))
                });
                problems.push(Problem {
                    reftype: Some(what),
                    label: "this Secret".into(),
                    related: related.collect(),
                    ..about(gateway, &RULE, credential.span, message, help)
                });
            }
        }
    }
}
