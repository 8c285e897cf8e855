//! Two ServiceEntries that give one port of one host different protocols.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::Visibility;
use crate::check::{Check, about, full_name, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::BTreeMap;
use taut_resources::{EntryPort, ServiceEntry};

static RULE: Rule = Rule {
    code: "taut::service::entry_protocols",
    istio: Some("IST0177"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two ServiceEntries that give one port of one host different protocols",
    why: "One of them counts, and which one depends on their age.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: web, protocol: HTTPS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: web, protocol: HTTP}]
  resolution: DNS"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: web, protocol: HTTPS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b}
spec:
  hosts: [database.example.org]
  ports: [{number: 443, name: web, protocol: HTTPS}]
  resolution: DNS"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// A port of an entry: whose, which, and what it speaks.
type Claim<'m> = (&'m Of<'m, ServiceEntry>, &'m EntryPort, String);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<(String, u16), Vec<Claim<'_>>> = BTreeMap::new();
    for entry in &mesh.inventory.service_entries {
        for host in &entry.spec.hosts {
            for port in &entry.spec.ports {
                let protocol = port.protocol.as_ref().map(|it| it.to_ascii_uppercase()).unwrap_or_default();
                claims.entry((host.to_ascii_lowercase(), port.number.0)).or_default().push((entry, port, protocol));
            }
        }
    }
    for ((host, number), claims) in claims.iter().filter(|(_, claims)| 1 < claims.len()) {
        let otherwise = &mesh.settings.service_export_to;
        let seen =
            |entry: &Of<'_, ServiceEntry>| Visibility::of_list(&entry.spec.export_to, entry.namespace(), otherwise);
        let scopes: Vec<Visibility> = claims.iter().map(|(entry, ..)| seen(entry)).collect();
        for (index, (entry, port, protocol)) in claims.iter().enumerate() {
            let rival = claims
                .iter()
                .enumerate()
                .find(|(other, (_, _, theirs))| theirs != protocol && scopes[index].meets(&scopes[*other]));
            let Some((_, (other, theirs, word))) = rival else { continue };
            let message = format!(
                "port {number} of `{host}` is `{protocol}` here and `{word}` in `{}`",
                full_name(other.resource)
            );
            let span = port.protocol.as_ref().map_or(port.span, |it| it.span);
            let there = theirs.protocol.as_ref().map_or(theirs.span, |it| it.span);
            problems.push(Problem {
                label: "this protocol".into(),
                related: vec![related(other.at(there), format!("`{word}` here"))],
                ..about(entry, &RULE, span, message, "give the port one protocol in all entries".into())
            });
        }
    }
}
