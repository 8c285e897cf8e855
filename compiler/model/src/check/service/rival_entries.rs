//! Two ServiceEntries that describe one port of one host differently.

use std::collections::BTreeMap;

use taut_resources::{EntryPort, Location, Resolution, ServiceEntry};
use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::Visibility;
use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::{Mesh, Of};

static RULE: Rule = Rule {
    code: "taut::service::rival_entries",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two ServiceEntries for one port of one host that differ in `resolution`, `location` or `targetPort`",
    why: "For clients who see both, outside of their namespaces, one of them counts, and which one depends on their age. Git knows no age.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database, namespace: shop}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database, namespace: bank}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: NONE"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database, namespace: shop}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database, namespace: bank}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// A port of an entry.
type Claim<'m> = (&'m Of<'m, ServiceEntry>, &'m EntryPort);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<(String, u16), Vec<Claim<'_>>> = BTreeMap::new();
    for entry in &mesh.inventory.service_entries {
        for host in &entry.spec.hosts {
            for port in &entry.spec.ports {
                claims.entry((host.to_ascii_lowercase(), port.number.0)).or_default().push((entry, port));
            }
        }
    }
    for ((host, number), claims) in claims.iter().filter(|(_, claims)| 1 < claims.len()) {
        let otherwise = &mesh.settings.service_export_to;
        let seen =
            |entry: &Of<'_, ServiceEntry>| Visibility::of_list(&entry.spec.export_to, entry.namespace(), otherwise);
        let scopes: Vec<Visibility> = claims.iter().map(|(entry, _)| seen(entry)).collect();
        for (index, claim) in claims.iter().enumerate() {
            let rivals = claims.iter().enumerate().filter(|(other, _)| scopes[index].meets(&scopes[*other]));
            let Some((other, field)) = rivals.filter_map(|(_, rival)| Some((rival.0, differs(claim, rival)?))).next()
            else {
                continue;
            };
            let (entry, port) = claim;
            let message = format!("port {number} of `{host}` has another `{field}` in `{}`", full_name(other.resource));
            problems.push(Problem {
                label: "this port".into(),
                related: vec![related(place_of(other.resource), "the other entry")],
                ..about(
                    entry,
                    &RULE,
                    port.number.span,
                    message,
                    "describe the host in one entry, or in both alike".into(),
                )
            });
        }
    }
}

/// The field in which two ports differ. What differs in its protocol another rule reports.
fn differs((entry, port): &Claim<'_>, (other, theirs): &Claim<'_>) -> Option<&'static str> {
    let protocol = |port: &EntryPort| port.protocol.as_ref().map(|it| it.to_ascii_uppercase());
    let resolution = |entry: &ServiceEntry| entry.resolution.map_or(Resolution::None, |it| it.value);
    let location = |entry: &ServiceEntry| entry.location.map_or(Location::MeshExternal, |it| it.value);
    let target = |port: &EntryPort| port.target_port.map_or(u32::from(port.number.0), |it| it.value);
    if protocol(port) != protocol(theirs) {
        None
    } else if resolution(entry.spec) != resolution(other.spec) {
        Some("resolution")
    } else if location(entry.spec) != location(other.spec) {
        Some("location")
    } else {
        (target(port) != target(theirs)).then_some("targetPort")
    }
}
