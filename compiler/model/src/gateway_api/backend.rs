//! Where routes send to, and what is wrong with a reference (semantics.md §18.4).

use taut_resources::gateway_api::{BackendRef, GrpcBackend, HttpBackend, WeightedBackend};
use taut_resources::{At, Destination, Port};
use taut_source::Span;

use super::grant::{Reference, is_permitted};
use super::made::destination;
use super::status::Fault;
use super::world::World;
use crate::Text;

/// A reference to what requests are sent to.
#[derive(Clone, Copy)]
pub(crate) struct Backend<'r> {
    group: &'r str,
    kind: &'r str,
    name: &'r At<Text>,
    namespace: Option<&'r At<Text>>,
    port: Option<Port>,
    /// Its share.
    pub(crate) weight: u32,
    /// Where it is written.
    pub(crate) span: Span,
}

macro_rules! backend {
    ($($Type:ty: |$it:ident| $weight:expr;)*) => {$(
        impl<'r> From<&'r $Type> for Backend<'r> {
            fn from($it: &'r $Type) -> Backend<'r> {
                Backend {
                    group: &$it.group,
                    kind: &$it.kind,
                    name: &$it.name,
                    namespace: $it.namespace.as_ref(),
                    port: $it.port.map(|port| port.value),
                    weight: $weight,
                    span: $it.span,
                }
            }
        }
    )*};
}

backend! {
    HttpBackend: |it| it.weight.value;
    GrpcBackend: |it| it.weight.value;
    WeightedBackend: |it| it.weight.value;
    BackendRef: |it| 1;
}

/// Who refers.
#[derive(Clone, Copy)]
pub(crate) struct From_<'a> {
    /// The kind of the route.
    pub(crate) kind: &'a str,
    /// Its namespace.
    pub(crate) namespace: &'a str,
}

/// What became of a reference.
pub(crate) enum Resolved {
    /// It leads somewhere.
    Good(Destination),
    /// It is broken: its share of the requests gets an error.
    Broken(Destination, Fault),
    /// It cannot be what was meant: the whole route is not used.
    Wrong(Fault),
}

/// The destination of a reference to a pool: the only port of its service, whichever the reference names.
fn of_pool(world: &World<'_>, backend: Backend<'_>, namespace: &str, from: From_<'_>) -> Result<Resolved, Fault> {
    let name = &backend.name.value;
    let fault = |reason, message| Fault::new(reason, backend.name.span, message);
    if name.contains('.') {
        let message = format!("`{name}` is a host, where the name of an InferencePool is needed");
        return Ok(Resolved::Wrong(fault("InvalidDestination", message)));
    }
    let missing = || fault("BackendNotFound", format!("there is no InferencePool `{namespace}/{name}`"));
    let service = world.pool(name, namespace, from.namespace).ok_or_else(missing)?;
    let port = service.ports.first().ok_or_else(missing)?;
    Ok(Resolved::Good(destination(service.host.clone(), Some(port.number), backend.span)))
}

/// The destination of a reference.
pub(crate) fn resolve(world: &World<'_>, backend: Backend<'_>, from: From_<'_>) -> Resolved {
    let span = backend.name.span;
    let nowhere = |port: Option<Port>| destination(Text::default(), port.map(|port| port.0), backend.span);
    let namespace = backend.namespace.map_or(from.namespace, |it| it.as_str());
    let reference = Reference {
        from: from.kind,
        from_namespace: from.namespace,
        group: backend.group,
        kind: backend.kind,
        namespace,
        name: backend.name,
    };
    if !is_permitted(&world.grants, reference) {
        let message = format!("no ReferenceGrant lets `{}` use `{namespace}/{}`", from.namespace, backend.name.value);
        return Resolved::Broken(nowhere(backend.port), Fault::new("RefNotPermitted", span, message));
    }
    let wrong = |message: String| Resolved::Wrong(Fault::new("InvalidDestination", span, message));
    let host: Text = match (backend.group, backend.kind) {
        ("" | "core", "Service") if backend.name.contains('.') => {
            return wrong(format!("`{}` is a host, where the name of a Service is needed", backend.name.value));
        }
        ("" | "core", "Service") | ("multicluster.x-k8s.io", "ServiceImport") => {
            world.host_of_service(backend.name, namespace)
        }
        ("networking.istio.io", "Hostname") if backend.namespace.is_some() => {
            return wrong("a host has no namespace".into());
        }
        ("networking.istio.io", "Hostname") => backend.name.to_ascii_lowercase().into(),
        ("inference.networking.k8s.io", "InferencePool") => {
            return of_pool(world, backend, namespace, from)
                .unwrap_or_else(|fault| Resolved::Broken(destination(Text::default(), None, backend.span), fault));
        }
        (group, kind) => {
            let shown = if group.is_empty() { kind.to_owned() } else { format!("{group}/{kind}") };
            let message = format!("no requests can be sent to a {shown}");
            return Resolved::Broken(nowhere(backend.port), Fault::new("InvalidKind", span, message));
        }
    };
    let Some(port) = backend.port else { return wrong(format!("`{}` needs a port", backend.name.value)) };
    let to = destination(host.clone(), Some(port.0), backend.span);
    if world.service(&host, from.namespace).is_none() {
        let message = match backend.kind {
            "Hostname" => format!("there is no service with the host `{host}`"),
            kind => format!("there is no {kind} `{namespace}/{}`", backend.name.value),
        };
        return Resolved::Broken(to, Fault::new("BackendNotFound", span, message));
    }
    Resolved::Good(to)
}
