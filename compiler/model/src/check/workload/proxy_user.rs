//! A container that runs as user 1337.

use taut_source::{Problems, Rule, Severity, Stage};

use crate::check::{Check, on};
use crate::mesh::Mesh;
use taut_resources::SecurityContext;

static RULE: Rule = Rule {
    code: "taut::workload::proxy_user",
    istio: Some("IST0144"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a container that runs as user 1337",
    why: "That is the proxy's own user: its traffic is not redirected, so the container is outside the mesh.",
    bad: r#"apiVersion: v1
kind: Pod
metadata: {name: orders}
spec:
  containers:
  - name: app
    image: orders
    securityContext: {runAsUser: 1337}"#,
    good: r#"apiVersion: v1
kind: Pod
metadata: {name: orders}
spec:
  containers:
  - name: app
    image: orders
    securityContext: {runAsUser: 1000}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// The proxy's user: what it sends is not redirected to it again.
const PROXY_USER: u64 = 1337;

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for pod in mesh.pods.all() {
        let labels = &pod.resource.meta.labels;
        let control_plane =
            labels.get("istio.io/rev").is_some() || labels.get("release").is_some_and(|it| it == "istio");
        if control_plane {
            continue;
        }
        let user = |security: Option<&SecurityContext>| security.and_then(|security| security.run_as_user);
        let own = |name: &str| matches!(name, "istio-proxy" | "istio-operator");
        let applications = pod.containers.iter().filter(|it| !it.name.as_ref().is_some_and(|name| own(name)));
        let users = applications.filter_map(|it| user(it.security_context.as_deref()));
        let found = user(pod.security).into_iter().chain(users).find(|user| user.value == PROXY_USER);
        let Some(found) = found else { continue };
        let message = "user 1337 is the proxy's own";
        problems.push(on(pod.resource, &RULE, found.span, message, "run it as another user"));
    }
}
