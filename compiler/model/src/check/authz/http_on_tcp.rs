//! A rule about HTTP that denies on a port which does not speak HTTP.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::attachment::{Attached as _, GATEWAY_NAME};
use crate::check::by_selector::BySelector;
use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use crate::{Pod, Protocol, ServicePort, Target, Text};
use taut_resources::{Action, AuthorizationPolicy, Labels, List, Operation};

static RULE: Rule = Rule {
    code: "taut::authz::http_on_tcp",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a rule about HTTP that denies on a port which does not speak HTTP",
    why: "What is said of HTTP is left out where there is none: the DENY then holds for every connection to the port.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: tcp-orders, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  action: DENY
  rules:
  - to:
    - operation: {paths: [/admin]}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders, labels: {app: orders}}
spec:
  containers: [{name: app, image: orders}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  action: DENY
  rules:
  - to:
    - operation: {paths: [/admin]}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let denying =
        |policy: &&Of<'_, AuthorizationPolicy>| policy.spec.action.is_some_and(|action| action.value == Action::Deny);
    let denying: Vec<_> = mesh.authorization_policies.iter().filter(denying).collect();
    if denying.is_empty() {
        return;
    }
    let services = BySelector::of(mesh);
    for policy in denying {
        let rules = policy.spec.rules.iter().flatten().flat_map(|rule| rule.to.iter().flatten());
        for operation in rules.filter_map(|to| to.operation.as_ref()).filter(|it| speaks_of_http(it)) {
            let found = opaque_port(mesh, &services, policy, operation);
            let Some((pod, port)) = found else { continue };
            let message = format!(
                "port {port} of the {} `{}` does not speak HTTP: all of its connections would be denied",
                pod.resource.subject.kind(),
                full_name(pod.resource)
            );
            let help = "add `ports:` with the ports that speak HTTP, as the workload numbers them".into();
            problems.push(Problem {
                label: "this rule".into(),
                related: vec![related(place_of(pod.resource), "this workload")],
                ..about(policy, &RULE, operation.span, message, help)
            });
        }
    }
}

fn speaks_of_http(it: &Operation) -> bool {
    [&it.methods, &it.not_methods, &it.paths, &it.not_paths, &it.hosts, &it.not_hosts].iter().any(|it| !it.is_empty())
}

/// A workload of the policy with a port that the operation is about and that speaks something else than HTTP.
fn opaque_port<'m, 'r>(
    mesh: &'m Mesh<'r>,
    services: &BySelector<'m, 'r>,
    policy: &'m Of<'r, AuthorizationPolicy>,
    operation: &Operation,
) -> Option<(&'m Pod<'r>, String)> {
    static EVERYONE: Labels = Labels(List::new());
    let everywhere = *policy.namespace() == mesh.settings.root_namespace;
    let labels = policy.spec.selector.as_ref().map_or(&EVERYONE, |selector| &selector.match_labels);
    let namespace = (!everywhere).then(|| policy.namespace().as_str());
    let is_meant = |pod: &Pod<'_>| {
        let own = *policy.namespace() == pod.namespace();
        policy.spec.attaches(own, pod.labels.get(GATEWAY_NAME)).unwrap_or(true)
    };
    mesh.pods.selected(namespace, labels).filter(|pod| is_meant(pod)).find_map(|pod| {
        services.before(pod).find_map(|service| {
            let opaque = |port: &&ServicePort| !port.protocol.is_http() && port.protocol != Protocol::Auto;
            service.ports.iter().filter(opaque).find_map(|port| {
                let target = match &port.target {
                    Target::Number(number) => number.to_string(),
                    Target::Name(name) => name.to_string(),
                };
                let named = |list: &[taut_resources::At<Text>]| list.iter().any(|it| it.as_str() == target);
                let meant = operation.ports.is_empty() || named(&operation.ports);
                (meant && !named(&operation.not_ports)).then_some((pod, target))
            })
        })
    })
}
