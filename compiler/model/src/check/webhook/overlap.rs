//! Two injectors that change the same pods, or one whose service does not exist.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, RELATED_MAX, about, listed, related};
use crate::labels::selector_admits;
use crate::mesh::Mesh;
use crate::mesh::Of;
use std::collections::{BTreeMap, BTreeSet};
use taut_resources::{Webhook, WebhookConfiguration};

static RULE: Rule = Rule {
    code: "taut::webhook::overlap",
    istio: Some("IST0139"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two injectors that change the same pods, or one whose service does not exist",
    why: "Pods get two proxies, or none and cannot be created at all.",
    bad: r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: a}
webhooks:
- name: sidecar-injector.istio.io
  clientConfig: {url: "https://injector.example.org/inject"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: b}
webhooks:
- name: sidecar-injector.istio.io
  clientConfig: {url: "https://injector.example.org/inject"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}"#,
    good: r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: a}
webhooks:
- name: sidecar-injector.istio.io
  clientConfig: {url: "https://injector.example.org/inject"}
  namespaceSelector:
    matchLabels: {istio-injection: enabled}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mutating = mesh.inventory.webhooks.iter();
    let injectors: Vec<_> = mutating
        .filter(|it| it.resource.subject.kind() == "MutatingWebhookConfiguration")
        .filter(|it| is_istios(it.spec) || !revisions_of(it).is_empty())
        .collect();
    let revisions: BTreeSet<&str> = injectors.iter().flat_map(|it| revisions_of(it)).collect();
    let hooks: Vec<_> = injectors.iter().flat_map(|it| it.spec.webhooks.iter().map(move |hook| (*it, hook))).collect();
    let mut overlapping: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for namespace in namespaces(&revisions) {
        for pod in pods(&revisions) {
            let matching: Vec<usize> = (0..hooks.len()).filter(|at| matches(hooks[*at].1, &namespace, &pod)).collect();
            for one in &matching {
                let others = matching.iter().filter(|other| *other != one);
                overlapping.entry(*one).or_default().extend(others);
            }
        }
    }
    for (one, others) in overlapping.iter().filter(|(_, others)| !others.is_empty()) {
        let (of, hook) = hooks[*one];
        let names = others.iter().map(|other| format!("{}/{}", hooks[*other].0.name(), name_of_hook(hooks[*other].1)));
        let message = format!("`{}` is for the same pods as {}", name_of_hook(hook), listed(names));
        let places = others.iter().map(|other| related(hooks[*other].0.at(hooks[*other].1.span), "for the same pods"));
        problems.push(Problem {
            label: "this webhook".into(),
            related: places.take(RELATED_MAX).collect(),
            ..about(of, &RULE, hook.span, message, "give each revision its own labels, and delete the old one".into())
        });
    }
    missing_services(mesh, &hooks, problems);
}

/// Reports injectors whose service is not in the sources.
fn missing_services(mesh: &Mesh<'_>, hooks: &[(&Of<'_, WebhookConfiguration>, &Webhook)], problems: &mut Problems) {
    for (of, hook) in hooks {
        let Some(service) = hook.client_config.as_ref().and_then(|client| client.service.as_ref()) else { continue };
        let text = |field: &Option<taut_resources::At<taut_source::Text>>| field.as_ref().map(|it| it.value.clone());
        let (namespace, name) = (text(&service.namespace).unwrap_or_default(), text(&service.name).unwrap_or_default());
        let known = mesh.inventory.services.iter().any(|it| *it.name() == name && *it.namespace() == namespace);
        if !known {
            let message = format!("there is no service `{namespace}/{name}` for `{}`", name_of_hook(hook));
            let help = "declare the service, or delete the webhook".into();
            problems.push(about(of, &RULE, service.span, message, help));
        }
    }
}

fn name_of_hook(hook: &Webhook) -> &str {
    hook.name.as_ref().map_or("", |name| name.as_str())
}

fn is_istios(configuration: &WebhookConfiguration) -> bool {
    configuration.webhooks.iter().any(|hook| name_of_hook(hook).ends_with("istio.io"))
}

/// The revisions that an object or its selectors name.
fn revisions_of<'m>(of: &'m Of<'_, WebhookConfiguration>) -> Vec<&'m str> {
    let own = of.resource.meta.labels.get(REVISION).map(|revision| revision.as_str());
    let hooks = of.spec.webhooks.iter();
    let selectors = hooks.flat_map(|hook| hook.namespace_selector.iter().chain(&hook.object_selector));
    let named = selectors.flat_map(|selector| {
        let equal = selector.match_labels.get(REVISION).map(|revision| revision.as_str());
        let listed = selector.match_expressions.iter().filter(|it| it.key.as_str() == REVISION);
        equal.into_iter().chain(listed.flat_map(|it| it.values.iter().map(|value| value.as_str())))
    });
    own.into_iter().chain(named).collect()
}

const REVISION: &str = "istio.io/rev";
const INJECTION: &str = "istio-injection";
const INJECT: &str = "sidecar.istio.io/inject";

/// The labels of a namespace or pod, as far as injectors look at them.
type Seen<'r> = Vec<(&'static str, &'r str)>;

/// Every kind of namespace that injectors tell apart.
fn namespaces<'r>(revisions: &BTreeSet<&'r str>) -> Vec<Seen<'r>> {
    let mut all: Vec<Seen<'r>> = vec![Vec::new(), vec![(INJECTION, "enabled")], vec![(INJECTION, "disabled")]];
    for revision in revisions {
        all.push(vec![(REVISION, revision)]);
        all.push(vec![(REVISION, revision), (INJECTION, "enabled")]);
        all.push(vec![(REVISION, revision), (INJECTION, "disabled")]);
    }
    all
}

/// Every kind of pod that injectors tell apart.
fn pods<'r>(revisions: &BTreeSet<&'r str>) -> Vec<Seen<'r>> {
    let mut all: Vec<Seen<'r>> = vec![Vec::new(), vec![(INJECT, "true")], vec![(INJECT, "false")]];
    for revision in revisions {
        all.push(vec![(REVISION, revision)]);
        all.push(vec![(REVISION, revision), (INJECT, "true")]);
        all.push(vec![(REVISION, revision), (INJECT, "false")]);
    }
    all
}

fn matches(hook: &Webhook, namespace: &Seen<'_>, pod: &Seen<'_>) -> bool {
    let of_namespace = |name: &str| namespace.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let of_pod = |name: &str| pod.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    selector_admits(hook.namespace_selector.as_ref(), &of_namespace)
        && selector_admits(hook.object_selector.as_ref(), &of_pod)
}
