//! Two PeerAuthentications for the same workloads.

use std::collections::BTreeSet;

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::shared_workloads::{by_namespace, by_workload, others};
use crate::check::{Check, about, name_of};
use crate::mesh::{Mesh, Of};
use taut_resources::{Labels, PeerAuthentication};

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

fn labels<'a>(it: &'a Of<'_, PeerAuthentication>) -> Option<&'a Labels> {
    it.spec.selector.as_ref().map(|selector| &selector.match_labels)
}

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let all = &mesh.peer_authentications;
    let mut groups = by_workload(mesh, all.iter().map(|it| (it, labels(it))));
    groups.extend(by_namespace(all.iter().filter(|it| labels(it).is_none_or(|labels| labels.is_empty()))));
    let mut said = BTreeSet::new();
    for ((namespace, kind, name), group) in groups.iter().filter(|(_, group)| 1 < group.len()) {
        let whom = match *kind {
            "" => format!("all workloads of `{namespace}`"),
            kind => format!("the {kind} `{namespace}/{name}`"),
        };
        for policy in group {
            // Once for each: workloads that share two policies mostly share them all.
            if !said.insert((policy.namespace().as_str(), policy.name().as_str())) {
                continue;
            }
            let (names, related) = others(group, policy, "for the same workloads");
            let message = format!("these are for {whom} as well: {names}");
            problems.push(Problem {
                label: "this one".into(),
                related,
                ..about(policy, &RULE, name_of(policy.resource), message, "keep one of them".into())
            });
        }
    }
}
