//! A destination rule whose Secret sidecars do not use.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::destination_rule::credentials;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::rule::credential_of_gateways",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Support,
    finds: "a destination rule with `credentialName`, which gateways alone use, in a mesh with sidecars",
    why: "Istio's sidecars would send plaintext to such a service. Taut's believe nobody there: they send nothing at all.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: bank.example.com
  trafficPolicy:
    tls: {mode: SIMPLE, credentialName: bank-roots}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    metadata: {labels: {app: shop}}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: bank.example.com
  trafficPolicy:
    tls: {mode: SIMPLE, caCertificates: /etc/bank/roots.pem}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    metadata: {labels: {app: shop}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic().filter(|traffic| credentials(traffic.of.spec).next().is_some()) {
        let named = traffic.visibility.named().next().is_some();
        let uses = |workload: &&crate::Workload<'_>| {
            workload.meshed && !workload.gateway && (!named || traffic.visibility.admits(&workload.namespace))
        };
        let Some(sidecar) = mesh.workloads.iter().find(uses) else { continue };
        for (_, credential) in credentials(traffic.of.spec) {
            let message = format!(
                "sidecars such as that of `{}/{}` do not use `credentialName`, and get no connection",
                sidecar.namespace, sidecar.name
            );
            let help = "send them through a gateway, or mount the Secret and name its files with `caCertificates`, \
                        `clientCertificate` and `privateKey`";
            problems.push(about(&traffic.of, &RULE, credential.span, message, help.into()));
        }
    }
}
