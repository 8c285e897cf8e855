//! A gateway that a virtual service names and nobody declares.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::generated_gateway::is_generated;
use crate::check::{Check, about, listed};
use crate::mesh::{Mesh, gateway_name};
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::route::unknown_gateway",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a virtual service for a gateway that does not exist",
    why: "Its rules are in no gateway, and, since the list has no `mesh`, in no sidecar either.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [shop.example.com]
  gateways: [pubilc]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [shop.example.com]
  gateways: [public]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let known: BTreeSet<String> = mesh.gateways.iter().map(|it| format!("{}/{}", it.namespace(), it.name())).collect();
    let of_kubernetes = mesh.inventory.kubernetes_gateways.iter();
    let of_kubernetes: BTreeSet<String> = of_kubernetes.map(|it| format!("{}/{}", it.namespace(), it.name())).collect();
    for routing in mesh.written_routings() {
        for written in &routing.of.spec.gateways {
            let name = gateway_name(written, routing.of.namespace());
            if name == "mesh"
                || known.contains(name.as_str())
                || of_kubernetes.contains(name.as_str())
                || is_generated(&name)
            {
                continue;
            }
            let message = format!("there is no gateway `{name}`");
            let help = match known.is_empty() {
                true => "declare a Gateway, or write `mesh` for all sidecars".into(),
                false => format!("the gateways are: {}", listed(&known)),
            };
            let problem = about(&routing.of, &RULE, written.span, message, help);
            problems.push(Problem { reftype: Some("gateway"), label: "this gateway".into(), ..problem });
        }
    }
}
