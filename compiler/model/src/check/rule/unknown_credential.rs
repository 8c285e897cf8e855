//! A destination rule whose Secret no gateway has, or that lacks what is needed.

use std::collections::BTreeSet;

use taut_resources::{ClientTls, ClientTlsMode};
use taut_source::{Problems, Rule, Severity, Stage};

use crate::Text;
use crate::check::{Check, about};
use crate::destination_rule::credentials;
use crate::mesh::Mesh;
use crate::secret::{key_pair, roots_beside, secret_of};

static RULE: Rule = Rule {
    code: "taut::rule::unknown_credential",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a destination rule whose `credentialName` is no usable Secret in the namespace of any gateway that uses it",
    why: "The Secret is looked up where the gateway runs. Without it, no connection to the service can be secured.",
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
metadata: {name: egress}
spec:
  template:
    metadata: {labels: {istio: egressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [bank.example.com]"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: bank.example.com
  trafficPolicy:
    tls: {mode: SIMPLE, credentialName: bank-roots}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: egress}
spec:
  template:
    metadata: {labels: {istio: egressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [bank.example.com]
---
apiVersion: v1
kind: Secret
metadata: {name: bank-roots}
stringData:
  ca.crt: "-----BEGIN CERTIFICATE-----""#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let gateways = mesh.workloads.iter().filter(|workload| workload.gateway);
    let namespaces: BTreeSet<&Text> = gateways.map(|gateway| &gateway.namespace).collect();
    for traffic in mesh.written_traffic() {
        let namespaces = || namespaces.iter().filter(|namespace| traffic.visibility.admits(namespace));
        for (tls, credential) in credentials(traffic.of.spec) {
            let faults: Vec<String> =
                namespaces().filter_map(|namespace| fault(mesh, tls, credential, namespace)).collect();
            // One gateway that can use it is enough: others need not be asked for the service.
            let Some(why) = faults.first().filter(|_| faults.len() == namespaces().count()) else { continue };
            let help = "add the Secret to the namespace of the gateway: `ca.crt`, and for `mode: MUTUAL` `tls.crt` and `tls.key`";
            problems.push(about(&traffic.of, &RULE, credential.span, why.clone(), help.into()));
        }
    }
}

fn fault(mesh: &Mesh<'_>, tls: &ClientTls, credential: &str, namespace: &str) -> Option<String> {
    let secret = secret_of(credential, namespace);
    let unchecked = tls.insecure_skip_verify.is_some_and(|skip| skip.value);
    let mutual = tls.mode.is_some_and(|mode| mode.value == ClientTlsMode::Mutual);
    let roots = if unchecked { None } else { roots_beside(mesh, &secret).err() };
    roots.or_else(|| {
        let missing = || format!("there is no Secret `{}/{}`", secret.0, secret.1);
        let pair = || mesh.secrets.get(&secret).map_or_else(|| Err(missing()), |secret| key_pair(secret.spec));
        if mutual { pair().err() } else { None }
    })
}
