//! Two virtual services of one gateway and host whose rules take the same requests.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::witness::{Together, witness};
use crate::check::{Check, about, full_name, related};
use crate::mesh::Mesh;
use crate::mesh::Routing;
use std::collections::BTreeMap;

static RULE: Rule = Rule {
    code: "taut::order::gateway_routes",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two virtual services of one gateway and host whose rules take the same requests",
    why: "Their rules are joined, those of the older first. Git knows no age, so which rule takes such a request depends on the cluster's history.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: carts}
spec:
  selector: {app: carts}
  ports: [{name: http, port: 8080}]
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
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - uri: {prefix: /api}
    route:
    - destination: {host: orders}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - uri: {prefix: /api/v1}
    route:
    - destination: {host: carts}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: carts}
spec:
  selector: {app: carts}
  ports: [{name: http, port: 8080}]
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
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - uri: {prefix: /api}
    route:
    - destination: {host: orders}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [orders.example.org]
  gateways: [public]
  http:
  - match:
    - uri: {prefix: /static}
    route:
    - destination: {host: carts}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<(&str, &str), Vec<(usize, usize)>> = BTreeMap::new();
    for (number, routing) in mesh.routings.iter().enumerate().filter(|(_, routing)| !routing.made) {
        for gateway in routing.gateways.iter().filter(|gateway| *gateway != "mesh") {
            for (at, host) in routing.hosts.iter().enumerate() {
                claims.entry((gateway.as_str(), host.as_str())).or_default().push((number, at));
            }
        }
    }
    for ((gateway, host), claims) in claims.iter().filter(|(_, claims)| 1 < claims.len()) {
        // Neighbours by age are enough to show it: a hundred for one host would be five thousand pairs.
        for pair in claims.windows(2) {
            let [(one, at), (other, there)] = pair else { continue };
            let (one, other) = (&mesh.routings[*one], &mesh.routings[*other]);
            // An age that the files carry decides, and then nothing is open.
            let aged = |routing: &Routing<'_>| routing.of.resource.meta.creation_timestamp.is_some();
            if aged(one) && aged(other) {
                continue;
            }
            let Some(request) = witness(host, one.of.spec, other.of.spec, Together::Joined) else { continue };
            let message = format!(
                "rules of `{}` and of `{}` take the same requests at `{gateway}`, for one: {request}",
                full_name(one.of.resource),
                full_name(other.of.resource)
            );
            let help = "put the rules for the host into one VirtualService, in the order that is meant".into();
            problems.push(Problem {
                label: "this host".into(),
                related: vec![related(other.of.at(other.of.spec.hosts[*there].span), "the host here")],
                ..about(&one.of, &RULE, one.of.spec.hosts[*at].span, message, help)
            });
        }
    }
}
