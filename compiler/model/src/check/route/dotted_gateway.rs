//! A virtual service that names a gateway the old way.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::{Mesh, gateway_name};

static RULE: Rule = Rule {
    code: "taut::route::dotted_gateway",
    istio: None,
    severity: Severity::Info,
    stage: Stage::Analysis,
    finds: "a virtual service that names a gateway as `name.namespace`",
    why: "So it was written long ago. Istio still reads it, but only as the gateway of another namespace: a gateway of the own namespace with a dot in its name cannot be meant.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [public.edge]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge/public]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for routing in mesh.written_routings() {
        let gateways = routing.of.spec.http.iter().flat_map(|rule| &rule.matches).flat_map(|it| &it.gateways);
        for written in routing.of.spec.gateways.iter().chain(gateways) {
            if written.contains('/') || !written.contains('.') {
                continue;
            }
            let name = gateway_name(written, routing.of.namespace());
            let message = format!("`{}` is an old way of writing `{name}`", written.value);
            let problem = about(&routing.of, &RULE, written.span, message, format!("write `{name}`"));
            problems.push(Problem { label: "this gateway".into(), ..problem });
        }
    }
}
