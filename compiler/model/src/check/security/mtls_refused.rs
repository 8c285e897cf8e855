//! Clients that are told to speak the mesh's mTLS to a workload which takes none.

use taut_resources::{ClientTls, ClientTlsMode};
use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, full_name, place_of, related};
use crate::mesh::Mesh;
use crate::{Mode, deciding_policy, mode_of};

static RULE: Rule = Rule {
    code: "taut::security::mtls_refused",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a DestinationRule with ISTIO_MUTUAL for a workload whose PeerAuthentication says DISABLE",
    why: "The application gets TLS that it does not understand: every connection fails.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
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
  mtls: {mode: DISABLE}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
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
  mtls: {mode: DISABLE}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    // Where nobody says DISABLE, there is nothing to find; most meshes do not.
    if !mesh.peer_authentications.iter().any(|it| it.spec.says_disable()) {
        return;
    }
    for traffic in mesh.written_traffic() {
        let tls = traffic.of.spec.traffic_policy.as_ref().and_then(|policy| policy.tls.as_ref());
        let mutual = |tls: &ClientTls| tls.mode.is_some_and(|mode| mode.value == ClientTlsMode::IstioMutual);
        let Some(tls) = tls.filter(|tls| mutual(tls)) else { continue };
        let Some(id) = mesh.service_for(&traffic.host, traffic.of.namespace()) else { continue };
        let service = mesh.service(id);
        let plain = mesh.workloads_behind(service).find(|it| {
            let mode = mode_of(mesh, &it.namespace, &it.labels);
            mode.workload == Mode::Disable && mode.ports().next().is_none()
        });
        let Some(workload) = plain else { continue };
        let message = format!("`{}` takes no mTLS", full_name(workload.resource));
        let says = deciding_policy(mesh, &workload.namespace, &workload.labels, 0);
        let help = "write `mode: DISABLE` here too, or accept mTLS with PERMISSIVE";
        problems.push(Problem {
            label: "mTLS alone".into(),
            related: says.iter().map(|(it, _)| related(place_of(it.resource), "no mTLS")).collect(),
            ..about(&traffic.of, &RULE, tls.mode.map_or(tls.span, |mode| mode.span), message, help.into())
        });
    }
}
