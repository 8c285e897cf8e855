//! What the rules about ports of services have in common.

use taut_resources::{At, Resource, ServicePort};
use taut_source::{Span, Text};

use crate::Protocol;
use crate::mesh::Mesh;

/// Whether a Service is a part of a control plane, or was made for a Gateway: nobody chose the names of its ports.
pub(super) fn is_generated(mesh: &Mesh<'_>, service: &Resource) -> bool {
    let labels = &service.meta.labels;
    labels.get("istio.io/rev").is_some()
        || labels.get("release").is_some_and(|release| release == "istio")
        || labels.get("gateway.istio.io/managed").is_some()
        || service.subject.namespace.as_ref() == Some(&mesh.settings.root_namespace)
}

/// What a port speaks.
pub(super) fn protocol_of(port: &ServicePort) -> Protocol {
    let text = |field: Option<&At<Text>>| field.map(|it| it.value.clone());
    let transport = port.protocol.map(|transport| transport.value.word());
    let (name, app) = (text(port.name.as_ref()).unwrap_or_default(), text(port.app_protocol.as_deref()));
    Protocol::of_service_port(port.port.0, &name, app.as_deref(), transport)
}

/// Where the name of a port is written, or the port.
pub(super) fn span_of_name(port: &ServicePort) -> Span {
    port.app_protocol.as_deref().or(port.name.as_ref()).map_or(port.span, |name| name.span)
}

/// What a port calls itself.
pub(super) fn shown_name(port: &ServicePort) -> String {
    match (&port.app_protocol, &port.name) {
        (Some(protocol), _) => format!("`appProtocol: {}`", protocol.value),
        (None, Some(name)) => format!("the name `{}`", name.value),
        (None, None) => "a port without a name".into(),
    }
}
