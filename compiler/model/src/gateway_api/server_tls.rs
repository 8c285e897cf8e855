//! TLS of listeners: certificates, and how clients are checked (semantics.md §18.2).

use taut_resources::gateway_api::{ClientValidationMode, Gateway, Listener, ListenerTlsMode, ObjectRef, SecretRef};
use taut_resources::{At, List, ServerTls, ServerTlsMode};
use taut_source::Span;

use super::grant::{Reference, is_permitted};
use super::made::at;
use super::status::Fault;
use super::world::World;
use crate::Text;
use crate::mesh::Of;
use crate::secret::{key_pair, secret_of, validity};

/// The option that says what becomes of TLS beyond what the API has words for.
const TERMINATE_MODE: &str = "gateway.istio.io/tls-terminate-mode";
const CIPHERS: &str = "gateway.istio.io/tls-cipher-suites";
/// The option of a listener that passes the mesh's own TLS on.
const LISTENER_PROTOCOL: &str = "gateway.istio.io/listener-protocol";

pub(super) fn nothing(span: Span) -> ServerTls {
    ServerTls {
        span,
        mode: None,
        https_redirect: None,
        server_certificate: None,
        private_key: None,
        ca_certificates: None,
        ca_crl: None,
        credential_name: None,
        credential_names: List::new(),
        tls_certificates: List::new(),
        ca_cert_credential_name: None,
        subject_alt_names: List::new(),
        verify_certificate_spki: List::new(),
        verify_certificate_hash: List::new(),
        min_protocol_version: None,
        max_protocol_version: None,
        cipher_suites: List::new(),
        ecdh_curves: List::new(),
        insecure_skip_verify: None,
    }
}

/// The TLS of a listener, and what is wrong with it. `owner` is the kind and namespace of the object that it is in.
pub(super) fn of_listener(
    world: &World<'_>,
    gateway: Of<'_, Gateway>,
    owner: (&str, &Text),
    listener: &Listener,
) -> (Option<ServerTls>, Option<Fault>) {
    let protocol = listener.protocol.as_str();
    let Some(written) = &listener.tls else {
        let needed = matches!(protocol, "HTTPS" | "TLS")
            .then(|| Fault::new("UnsupportedProtocol", listener.protocol.span, format!("{protocol} needs `tls`")));
        return (None, needed);
    };
    let mut tls = nothing(written.span);
    tls.cipher_suites = ciphers(written.options.get(CIPHERS), written.span);
    let mode = |value: ServerTlsMode| Some(at(value, written.span));
    if written.mode.is_some_and(|mode| mode.value == ListenerTlsMode::Passthrough) {
        // The port of gateways between networks passes the mesh's own TLS on.
        let labels = &gateway.resource.meta.labels;
        let between = labels.get("topology.istio.io/network").map(|_| labels.get("networking.istio.io/gatewayPort"));
        let expected = between.map(|port| port.map_or("15443", Text::as_str));
        let auto = written.options.get(LISTENER_PROTOCOL).is_some_and(|it| it == "auto-passthrough")
            || expected.is_some_and(|port| port == listener.port.value.0.to_string());
        tls.mode = mode(if auto { ServerTlsMode::AutoPassthrough } else { ServerTlsMode::Passthrough });
        return (Some(tls), None);
    }
    let wanted = written.options.get(TERMINATE_MODE).map_or("", Text::as_str);
    tls.mode = mode(match wanted {
        "MUTUAL" => ServerTlsMode::Mutual,
        "OPTIONAL_MUTUAL" => ServerTlsMode::OptionalMutual,
        "ISTIO_MUTUAL" => ServerTlsMode::IstioMutual,
        _ => ServerTlsMode::Simple,
    });
    match wanted {
        "ISTIO_MUTUAL" => return (Some(tls), None),
        "ISTIO_SIMPLE" => {
            tls.credential_name = Some(at("builtin://".into(), written.span));
            return (Some(tls), None);
        }
        _ => {}
    }
    let fault = certificates(world, owner, &written.certificate_refs, &mut tls)
        .or_else(|| clients(world, gateway, listener, &mut tls));
    (Some(tls), fault)
}

/// The ciphers that are known, of those that are listed.
fn ciphers(listed: Option<&Text>, span: Span) -> List<At<Text>> {
    let listed = listed.map_or("", Text::as_str).split(',').map(str::trim);
    listed.filter(|cipher| taut_resources::is_cipher(cipher)).map(|cipher| at(cipher.into(), span)).collect()
}

fn certificates(
    world: &World<'_>,
    (kind, namespace): (&str, &Text),
    references: &[SecretRef],
    tls: &mut ServerTls,
) -> Option<Fault> {
    if let Some(third) = references.get(2) {
        return Some(Fault::new("InvalidCertificateRef", third.span, "a listener has at most two certificates"));
    }
    let mut good = List::new();
    let mut first = None;
    for reference in references {
        match certificate(world, kind, namespace, reference) {
            Ok(name) => good.push(at(name, reference.name.span)),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    match good.len() {
        0 => return first,
        1 => tls.credential_name = good.pop(),
        _ => tls.credential_names = good,
    }
    None
}

/// The name of the certificate of a Secret.
fn certificate(world: &World<'_>, kind: &str, own: &Text, reference: &SecretRef) -> Result<Text, Fault> {
    let bad = |message: String| Fault::new("InvalidCertificateRef", reference.name.span, message);
    let (group, name) = (reference.group.as_str(), &reference.name.value);
    if !matches!(group, "" | "core") || reference.kind.as_str() != "Secret" {
        return Err(bad(format!("a certificate is in a Secret, and `{name}` is a {}", reference.kind.value)));
    }
    let namespace = reference.namespace.as_ref().map_or(own, |it| &it.value);
    let asked =
        Reference { from: kind, from_namespace: own, group: "", kind: "Secret", namespace, name: name.as_str() };
    let secret = world.secrets.get(&(namespace.clone(), name.clone()));
    match secret.map(|secret| key_pair(secret)) {
        None => return Err(bad(format!("there is no Secret `{namespace}/{name}`"))),
        Some(Err(why)) => return Err(bad(format!("the Secret `{namespace}/{name}` has no certificate: {why}"))),
        Some(Ok(_)) => {}
    }
    if !is_permitted(&world.grants, asked) {
        let message = format!("no ReferenceGrant lets `{own}` use the Secret `{namespace}/{name}`");
        return Err(Fault::new("RefNotPermitted", reference.name.span, message));
    }
    Ok(format!("kubernetes-gateway://{namespace}/{name}").into())
}

/// How clients are checked: as the Gateway says for the listener's port, or for all of them.
fn clients(world: &World<'_>, gateway: Of<'_, Gateway>, listener: &Listener, tls: &mut ServerTls) -> Option<Fault> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let own = frontend.per_port.iter().find(|it| it.port.value.0 == listener.port.value.0);
    let validation = own.map_or(&frontend.default, |own| &own.tls).validation.as_ref()?;
    let reference = validation.ca_certificate_refs.first()?;
    let name = match roots(world, gateway.namespace(), reference) {
        Ok(name) => name,
        Err(fault) => return Some(fault),
    };
    let fallback = validation.mode.is_some_and(|mode| mode.value == ClientValidationMode::AllowInsecureFallback);
    let optional = tls.mode.is_some_and(|mode| mode.value == ServerTlsMode::OptionalMutual);
    let mode = if fallback || optional { ServerTlsMode::OptionalMutual } else { ServerTlsMode::Mutual };
    tls.mode = Some(at(mode, validation.span));
    tls.ca_cert_credential_name = Some(at(name, reference.name.span));
    tls.insecure_skip_verify = Some(at(fallback, validation.span));
    None
}

/// The name of roots in a ConfigMap.
fn roots(world: &World<'_>, own: &Text, reference: &ObjectRef) -> Result<Text, Fault> {
    let name = &reference.name.value;
    let namespace = reference.namespace.as_ref().map_or(own, |it| &it.value);
    if !reference.group.is_empty() || reference.kind.as_str() != "ConfigMap" {
        let message = format!("roots are in a ConfigMap, and `{name}` is a {}", reference.kind.value);
        return Err(Fault::new("InvalidCACertificateKind", reference.name.span, message));
    }
    let asked = Reference {
        from: "Gateway",
        from_namespace: own,
        group: "",
        kind: "ConfigMap",
        namespace,
        name: name.as_str(),
    };
    if !is_permitted(&world.grants, asked) {
        let message = format!("no ReferenceGrant lets `{own}` use the ConfigMap `{namespace}/{name}`");
        return Err(Fault::new("RefNotPermitted", reference.name.span, message));
    }
    roots_of(world, namespace, name).map_err(|why| Fault::new("InvalidCACertificateRef", reference.name.span, why))?;
    Ok(format!("configmap://{namespace}/{name}-cacert").into())
}

/// The roots in a ConfigMap, as PEM.
pub(super) fn roots_of<'w>(world: &'w World<'_>, namespace: &Text, name: &Text) -> Result<&'w Text, String> {
    let Some(map) = world.config_maps.get(&(namespace.clone(), name.clone())) else {
        return Err(format!("there is no ConfigMap `{namespace}/{name}`"));
    };
    let pem = map.data.get("ca.crt").filter(|text| validity(text.as_bytes()).is_ok());
    pem.ok_or_else(|| format!("the ConfigMap `{namespace}/{name}` has no certificate in `ca.crt`"))
}

/// The Secret with the certificate that a Gateway shows to backends, if it can.
pub(super) fn client_certificate(world: &World<'_>, gateway: Of<'_, Gateway>) -> Option<(Text, Text)> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let name = certificate(world, "Gateway", gateway.namespace(), reference).ok()?;
    Some(secret_of(&name, gateway.namespace()))
}

/// What is wrong with the certificate that a Gateway shows to backends.
pub(super) fn bad_client_certificate(world: &World<'_>, gateway: Of<'_, Gateway>) -> Option<Fault> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let fault = certificate(world, "Gateway", gateway.namespace(), reference).err()?;
    let reason = if fault.reason == "RefNotPermitted" { fault.reason } else { "InvalidClientCertificateRef" };
    Some(Fault { reason, ..fault })
}
