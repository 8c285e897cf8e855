//! Two PeerAuthentications for the same workloads.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, full_name, listed, name_of, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::{BTreeMap, BTreeSet};
use taut_resources::PeerAuthentication;

static RULE: Rule = Rule {
    code: "taut::order::peer_authentications",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two PeerAuthentications for the same workloads",
    why: "Only the oldest counts, and git knows no age: whether plaintext is accepted depends on the cluster's history.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a}
spec:
  mtls: {mode: STRICT}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: b}
spec:
  mtls: {mode: PERMISSIVE}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a}
spec:
  mtls: {mode: STRICT}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Of<'_, PeerAuthentication>>> = BTreeMap::new();
    for policy in &mesh.peer_authentications {
        let labels = policy.spec.selector.as_ref().map(|selector| &selector.match_labels);
        match labels.filter(|labels| !labels.is_empty()) {
            None => groups.entry((policy.namespace(), "", "")).or_default().push(policy),
            Some(labels) => {
                for pod in mesh.pods.selected(Some(policy.namespace()), labels) {
                    let name = (pod.namespace(), pod.resource.subject.kind.as_str(), pod.name().as_str());
                    groups.entry(name).or_default().push(policy);
                }
            }
        }
    }
    let mut said = BTreeSet::new();
    for ((namespace, kind, name), all) in groups.iter().filter(|(_, all)| 1 < all.len()) {
        let whom = match *kind {
            "" => format!("all workloads of `{namespace}`"),
            kind => format!("the {kind} `{namespace}/{name}`"),
        };
        for policy in all {
            // Once for each: workloads that share two policies mostly share them all.
            if !said.insert((policy.namespace().as_str(), policy.name().as_str())) {
                continue;
            }
            let others = all.iter().filter(|other| !std::ptr::eq(other.resource, policy.resource));
            let names = others.clone().map(|other| full_name(other.resource));
            let message = format!("these are for {whom} as well: {}", listed(names));
            problems.push(Problem {
                label: "this one".into(),
                related: others
                    .take(RELATED_MAX)
                    .map(|other| related(place_of(other.resource), "for the same workloads"))
                    .collect(),
                ..about(policy, &RULE, name_of(policy.resource), message, "keep one of them".into())
            });
        }
    }
}
