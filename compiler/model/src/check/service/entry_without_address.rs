//! A ServiceEntry with a TCP port and no address.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, about};
use crate::mesh::Mesh;
use taut_resources::{EntryPort, MeshConfig};

static RULE: Rule = Rule {
    code: "taut::service::entry_without_address",
    istio: Some("IST0134"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a ServiceEntry with a TCP port and no address",
    why: "TCP has no host name in it: without an address the port is taken for every address, and two such entries collide.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [database.example.org]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: DNS"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [database.example.org]
  addresses: [240.0.0.7]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: DNS"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    if mesh.wide.config.is_some_and(|(_, config)| allocates(config)) {
        return;
    }
    for entry in &mesh.inventory.service_entries {
        if !entry.spec.addresses.is_empty() || entry.resource.reported.addresses {
            continue;
        }
        let opaque = |port: &&EntryPort| {
            port.protocol.as_ref().is_none_or(|protocol| protocol.is_empty() || protocol.eq_ignore_ascii_case("tcp"))
        };
        let Some(port) = entry.spec.ports.iter().find(opaque) else { continue };
        let span = port.protocol.as_ref().map_or(port.span, |protocol| protocol.span);
        let message = format!("port {} is TCP, and the entry has no address", port.number.0);
        let help = "add `addresses:`, or name the protocol of the port".into();
        problems.push(about(entry, &RULE, span, message, help));
    }
}

/// Whether proxies give addresses to entries by themselves.
fn allocates(config: &MeshConfig) -> bool {
    let metadata = config.default_config.as_ref().map(|config| &config.proxy_metadata);
    let on = |name: &str| metadata.is_some_and(|it| it.get(name).is_some_and(|value| value == "true"));
    on("ISTIO_META_DNS_CAPTURE") && on("ISTIO_META_DNS_AUTO_ALLOCATE")
}
