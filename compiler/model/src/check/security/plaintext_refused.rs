//! A DestinationRule that has clients speak plaintext to workloads which accept mTLS alone.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::Mesh;
use crate::mesh::Of;
use crate::{EndpointKind, Pod};
use taut_resources::{ClientTls, ClientTlsMode, MtlsMode, PeerAuthentication, Resource};

static RULE: Rule = Rule {
    code: "taut::security::plaintext_refused",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a DestinationRule that has clients speak plaintext to workloads which accept mTLS alone",
    why: "Every request of the clients that it governs gets a 503.",
    bad: r#"apiVersion: v1
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
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    tls: {mode: DISABLE}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  mtls: {mode: STRICT}"#,
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
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  mtls: {mode: STRICT}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for traffic in mesh.written_traffic() {
        let tls = traffic.of.spec.traffic_policy.as_ref().and_then(|policy| policy.tls.as_ref());
        let plain = |tls: &ClientTls| tls.mode.is_some_and(|mode| mode.value == ClientTlsMode::Disable);
        let Some(tls) = tls.filter(|tls| plain(tls)) else { continue };
        let Some(id) = mesh.service_for(&traffic.host, traffic.of.namespace()) else { continue };
        let service = mesh.service(id);
        let EndpointKind::Selector(selector) = service.endpoints else { continue };
        let mut pods = mesh.pods.selected(Some(&service.namespace), selector);
        let strict = pods.find_map(|pod| Some((pod, strict_policy(mesh, pod)?)));
        let Some((pod, policy)) = strict else { continue };
        let message = format!("the {} `{}` accepts mTLS alone", pod.resource.subject.kind(), full_name(pod.resource));
        let mode = tls.mode.map_or(tls.span, |mode| mode.span);
        problems.push(Problem {
            label: "plaintext".into(),
            related: vec![related(place_of(policy), "mTLS alone")],
            ..about(
                &traffic.of,
                &RULE,
                mode,
                message,
                "write `mode: ISTIO_MUTUAL`, or accept plaintext with PERMISSIVE".into(),
            )
        });
    }
}

/// The policy by which a pod accepts mTLS alone on all of its ports: its own, its namespace's, or the mesh's.
fn strict_policy<'r>(mesh: &Mesh<'r>, pod: &Pod<'_>) -> Option<&'r Resource> {
    let selecting = |it: &Of<'_, PeerAuthentication>| {
        let labels = it.spec.selector.as_ref().map(|selector| &selector.match_labels);
        labels.is_some_and(|labels| !labels.is_empty() && pod.has(labels))
    };
    let wide = |it: &Of<'_, PeerAuthentication>| it.spec.selector.as_ref().is_none_or(|it| it.match_labels.is_empty());
    let own = mesh.peers_in(pod.namespace()).find(selecting);
    let of_namespace = || mesh.peers_in(pod.namespace()).find(wide);
    let of_mesh = || mesh.peers_in(&mesh.settings.root_namespace).find(wide);
    let mode =
        |it: &Of<'r, PeerAuthentication>| it.spec.mtls.as_ref().and_then(|mtls| mtls.mode).map(|mode| mode.value);
    let said = |it: &Of<'r, PeerAuthentication>| !matches!(mode(it), None | Some(MtlsMode::Unset));
    let found = own.filter(said).or_else(|| of_namespace().filter(said)).or_else(|| of_mesh().filter(said))?;
    let exceptions = own.is_some_and(|own| own.spec.port_level_mtls.as_ref().is_some_and(|ports| !ports.0.is_empty()));
    (mode(&found) == Some(MtlsMode::Strict) && !exceptions).then_some(found.resource)
}
