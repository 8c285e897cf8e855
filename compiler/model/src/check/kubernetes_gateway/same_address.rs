//! Two Gateways that ask for one address.

use std::collections::BTreeMap;

use taut_resources::gateway_api::{Gateway, Listener};
use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::{Mesh, Of};

static RULE: Rule = Rule {
    code: "taut::kubernetes_gateway::same_address",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two Gateways that ask for one IP address, and for one port of it",
    why: "Each has a Service of its own, and a port of an address is one Service's: the other Gateway is never reached.",
    bad: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: one}
spec:
  gatewayClassName: istio
  addresses: [{type: IPAddress, value: 192.0.2.7}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec:
  gatewayClassName: istio
  addresses: [{type: IPAddress, value: 192.0.2.7}]
  listeners: [{name: http, port: 80, protocol: HTTP}]"#,
    good: r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: one}
spec:
  gatewayClassName: istio
  addresses: [{type: IPAddress, value: 192.0.2.7}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec:
  gatewayClassName: istio
  addresses: [{type: IPAddress, value: 192.0.2.8}]
  listeners: [{name: http, port: 80, protocol: HTTP}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut asking: BTreeMap<&str, Vec<(&Of<'_, Gateway>, taut_source::Span)>> = BTreeMap::new();
    for gateway in &mesh.inventory.kubernetes_gateways {
        let addresses = gateway.spec.addresses.iter().filter(|address| address.kind.as_str() == "IPAddress");
        for value in addresses.filter_map(|address| address.value.as_ref()).filter(|value| !value.is_empty()) {
            asking.entry(value.as_str()).or_default().push((gateway, value.span));
        }
    }
    for (address, asking) in &asking {
        for (gateway, span) in asking {
            let mut others =
                asking.iter().map(|(other, _)| *other).filter(|it| !std::ptr::eq(it.resource, gateway.resource));
            let ports = |of: &Listener| of.port.value.0;
            let shared = |other: &Of<'_, Gateway>| {
                let mut theirs = other.spec.listeners.iter().map(ports);
                theirs.find(|port| gateway.spec.listeners.iter().any(|own| ports(own) == *port))
            };
            let Some((other, port)) = others.find_map(|other| Some((other, shared(other)?))) else { continue };
            let message = format!("`{}` asks for port {port} of `{address}` too", full_name(other.resource));
            let help = "give each Gateway an address of its own, or put the listeners into one".into();
            problems.push(Problem {
                label: "this address".into(),
                related: vec![related(place_of(other.resource), "the other Gateway")],
                ..about(gateway, &RULE, *span, message, help)
            });
        }
    }
}
