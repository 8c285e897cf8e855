//! A virtual service for a gateway that admits none of its hosts.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::generated_gateway::is_generated;
use crate::check::{Check, about, listed, related};
use crate::mesh::{Mesh, gateway_name};
use crate::{BoundServer, gateway_hosts, server_admits};

static RULE: Rule = Rule {
    code: "taut::route::host_not_in_gateway",
    istio: Some("IST0132"),
    severity: Severity::Warning,
    stage: Stage::Reference,
    finds: "a virtual service whose hosts are none that the gateway serves",
    why: "The gateway ignores the hosts that it does not serve: requests for them get a 404.",
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
  hosts: [www.example.com]
  gateways: [public]
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
    for routing in mesh.written_routings() {
        for written in &routing.of.spec.gateways {
            let name = gateway_name(written, routing.of.namespace());
            let found = mesh.gateways.iter().find(|it| format!("{}/{}", it.namespace(), it.name()) == *name);
            let is_kubernetes = |it: &crate::mesh::Of<'_, taut_resources::gateway_api::Gateway>| {
                format!("{}/{}", it.namespace(), it.name()) == *name
            };
            if name == "mesh" || is_generated(&name) || mesh.inventory.kubernetes_gateways.iter().any(is_kubernetes) {
                continue;
            }
            let Some(gateway) = found else {
                // Istio says so of a gateway that does not exist, too.
                let message = format!("there is no gateway `{name}` that could serve these hosts");
                let help = "declare the gateway, or correct its name".into();
                let first = routing.of.spec.hosts.first().map_or(written.span, |host| host.span);
                problems.push(about(&routing.of, &RULE, first, message, help));
                continue;
            };
            let bound = |number: usize| BoundServer {
                name: name.clone(),
                gateway: *gateway,
                server: &gateway.spec.servers[number],
                number,
                made: false,
            };
            let servers: Vec<_> = (0..gateway.spec.servers.len()).map(bound).collect();
            if servers
                .iter()
                .any(|server| routing.hosts.iter().any(|host| server_admits(server, routing, host).is_some()))
            {
                continue;
            }
            let hosts = servers.iter().flat_map(gateway_hosts).map(|host| host.to_string());
            let message = format!("the gateway `{name}` serves none of these hosts");
            let help = format!("its hosts are: {}", listed(hosts));
            let first = routing.of.spec.hosts.first().map_or(routing.of.spec.span, |host| host.span);
            let there = gateway
                .spec
                .servers
                .first()
                .map_or(gateway.spec.span, |server| server.hosts.first().map_or(server.span, |host| host.span));
            problems.push(Problem {
                label: "these hosts".into(),
                related: vec![related(gateway.at(there), "the gateway's hosts")],
                ..about(&routing.of, &RULE, first, message, help)
            });
        }
    }
}
