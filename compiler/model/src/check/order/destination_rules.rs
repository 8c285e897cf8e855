//! Two DestinationRules of one namespace and host that both set the policy, or declare one subset.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, full_name, related};
use crate::mesh::Mesh;
use crate::mesh::Traffic;
use std::collections::BTreeMap;

static RULE: Rule = Rule {
    code: "taut::order::destination_rules",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "two DestinationRules of one namespace and host that both set the policy, or declare one subset",
    why: "They are joined: of two policies, and of two subsets with one name, the older counts whole and the other not at all. Git knows no age.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut rules: BTreeMap<(&str, &str), Vec<&Traffic<'_>>> = BTreeMap::new();
    for traffic in mesh.written_traffic() {
        // One with a selector is for other clients.
        if traffic.of.spec.workload_selector.is_none() {
            rules.entry((traffic.of.namespace(), &traffic.host)).or_default().push(traffic);
        }
    }
    for ((_, host), rules) in rules.iter().filter(|(_, rules)| 1 < rules.len()) {
        for (index, one) in rules.iter().enumerate() {
            let mut rivals = rules[..index].iter().filter(|other| other.visibility.meets(&one.visibility));
            let Some((other, what)) = rivals.find_map(|other| Some((other, shared(one, other)?))) else { continue };
            let message = format!("`{}` sets {what} of `{host}` too", full_name(other.of.resource));
            problems.push(Problem {
                label: "this host".into(),
                related: vec![related(other.of.at(other.of.spec.host.span), "the other rule for the host")],
                ..about(&one.of, &RULE, one.of.spec.host.span, message, "put both into one DestinationRule".into())
            });
        }
    }
}

/// What two rules both say, so that only one of them can be heard.
fn shared(one: &Traffic<'_>, other: &Traffic<'_>) -> Option<String> {
    if one.of.spec.traffic_policy.is_some() && other.of.spec.traffic_policy.is_some() {
        return Some("the policy".into());
    }
    let known = |name: &str| other.of.spec.subsets.iter().any(|subset| subset.name.as_str() == name);
    let twice = one.of.spec.subsets.iter().find(|subset| known(&subset.name))?;
    Some(format!("the subset `{}`", twice.name.value))
}
