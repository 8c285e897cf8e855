//! What of the mesh governs a whole workload, and so no single object of its view has it as its origin: the Sidecar that
//! says what it knows, and the PeerAuthentication that says which connections a port accepts.

use taut_model::{Mesh, deciding_policy, sidecar_of};
use taut_resources::Resource;
use taut_source::{SourceSet, Span};

use super::{Answer, Because, Direction, Question};

/// Adds them to an answer.
pub(super) fn add(mesh: &Mesh<'_>, sources: &SourceSet, question: &Question, into: &mut Answer) {
    if question.proxy.gateway || into.impossible.is_some() {
        return;
    }
    let (namespace, labels, port) = (&question.proxy.namespace, &question.proxy.labels, question.port);
    let mut because = |resource: &Resource, span: Span| {
        into.because.push(Because {
            kind: resource.subject.kind().clone(),
            namespace: resource.subject.namespace.clone().unwrap_or_default(),
            name: resource.subject.name.clone(),
            file: (&*sources.file(resource.file).name).into(),
            line: sources.position(resource.file, span.start).line,
        });
    };
    let sidecar = sidecar_of(mesh, namespace, labels);
    match question.direction {
        Direction::Outbound => {
            if let Some(sidecar) = sidecar
                .filter(|sidecar| !sidecar.spec.egress.is_empty() || sidecar.spec.outbound_traffic_policy.is_some())
            {
                because(sidecar.resource, sidecar.resource.span);
            }
        }
        Direction::Inbound => {
            let listens = |port: u16| {
                move |it: &taut_resources::IngressListener| it.port.number.is_some_and(|number| number.value.0 == port)
            };
            if let Some(sidecar) = sidecar.filter(|sidecar| sidecar.spec.ingress.iter().any(listens(port))) {
                because(sidecar.resource, sidecar.resource.span);
            }
            if let Some((policy, span)) = deciding_policy(mesh, namespace, labels, port) {
                because(policy.resource, span);
            }
        }
        Direction::Gateway => {}
    }
}
