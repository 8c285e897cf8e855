//! A Secret that a gateway needs and that holds no certificate.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::gateway::{credentials, namespaces_of_pods};
use crate::check::{Check, about, related};
use crate::mesh::Mesh;
use crate::secret::{key_pair, secret_name, validity};

static RULE: Rule = Rule {
    code: "taut::gateway::bad_certificate",
    istio: Some("IST0161"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a Secret that a gateway names and that has no usable certificate and key",
    why: "The server cannot end TLS, and its clients see a closed connection.",
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
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert}
stringData:
  tls.crt: not a certificate
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
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert}
stringData:
  tls.crt: |
    -----BEGIN CERTIFICATE-----
    MIHUMIGHAhR2KDa5dsDMehQBhZJie6r+nJQr4TAFBgMrZXAwDDEKMAgGA1UEAwwB
    bzAgFw0yNjExMjEwOTMyMzBaGA8yMTI2MTAyODA5MzIzMFowDDEKMAgGA1UEAwwB
    bzAqMAUGAytlcAMhAJzOhdr8+a1sBKYVjDPd9FVrstrCuiBid+jsRLOeeeaCMAUG
    AytlcANBAJ1Ik0oxVQVW5CpLAZHzkuc4TFSc2AYji0ePZdmB0cn8hXZEKHUvnvUU
    wsCO+/fac9d7gRKqwKu0qBDfoHdVPgc=
    -----END CERTIFICATE-----
  tls.key: |
    -----BEGIN PRIVATE KEY-----
    MC4CAQAwBQYDK2VwBCIEIElfIPhOr21QKe2oU0RYnDGLdhuvPazNp3HoN9cCcPju
    -----END PRIVATE KEY-----"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for gateway in &mesh.gateways {
        let namespaces = namespaces_of_pods(mesh, gateway);
        for (credential, _) in gateway.spec.servers.iter().flat_map(credentials) {
            let name = secret_name(credential);
            for namespace in &namespaces {
                let Some(secret) = mesh.secrets.get(&(namespace.clone(), name.into())) else { continue };
                let Some(why) = fault(secret.spec, mesh.wide.now_s) else { continue };
                let message = format!("the Secret `{name}` holds no usable certificate: {why}");
                let help = "put a PEM certificate and its PEM key into `tls.crt` and `tls.key`".into();
                problems.push(Problem {
                    label: "this Secret".into(),
                    related: vec![related(secret.at(secret.resource.span), "the Secret")],
                    ..about(gateway, &RULE, credential.span, message, help)
                });
            }
        }
    }
}

/// What is wrong with the certificate of a Secret, at a time if one is given.
fn fault(secret: &taut_resources::Secret, now_s: Option<i64>) -> Option<String> {
    let chain = match key_pair(secret) {
        Ok(pair) => pair.chain,
        Err(why) => return Some(why),
    };
    match (validity(&chain), now_s) {
        (Err(why), _) => Some(why),
        (Ok((_, until)), Some(now)) if until < now => Some("it has expired".into()),
        (Ok((from, _)), Some(now)) if now < from => Some("it is not valid yet".into()),
        (Ok(_), _) => None,
    }
}
