//! A namespace with several labels that each say which proxy its pods get.

use taut_source::{Problems, Rule, Severity, Stage};

use super::injector::is_exempt;
use crate::check::{Check, about, listed, span_of_labels};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::injection::several_labels",
    istio: Some("IST0123"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a namespace with several labels that each say which proxy its pods get",
    why: "Only one of them counts: `istio-injection` before `istio.io/rev`, and a sidecar before the nodes' proxies.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled, istio.io/rev: canary}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/rev: canary}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for namespace in mesh.inventory.namespaces.iter().filter(|it| !is_exempt(mesh, it.name())) {
        let labels = &namespace.resource.meta.labels;
        let injection = labels.get("istio-injection").map_or("", |value| value.as_str());
        // Whoever says that there is no sidecar means it.
        if !matches!(injection, "" | "enabled") {
            continue;
        }
        let counting = |name: &&str| match *name {
            "istio.io/dataplane-mode" => labels.get(name).is_some_and(|mode| mode == "ambient"),
            "istio-injection" => injection == "enabled",
            _ => labels.get(name).is_some(),
        };
        let found: Vec<&str> =
            ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"].into_iter().filter(counting).collect();
        if found.len() < 2 {
            continue;
        }
        let message = format!("`{}` says several times which proxy its pods get: {}", namespace.name(), listed(&found));
        let span = span_of_labels(labels).unwrap_or(namespace.resource.span);
        problems.push(about(namespace, &RULE, span, message, format!("keep `{}` alone", found[0])));
    }
}
