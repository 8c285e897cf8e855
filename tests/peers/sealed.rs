//! The mesh's mTLS: one authority whose certificates both proxies and those who ask them have.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use harness::{Message, exchange_over};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use taut_identity::{Accepted, Credentials, LiveIdentity, client_config};

use crate::config::{typed, with};

/// Whoever does not answer within this is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who the workload behind the proxies is.
const WORKLOAD: &str = "cluster.local/ns/shop/sa/app";

fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}

/// The certificate of an identity, without its `spiffe://`.
pub(crate) fn credentials(id: &str) -> Credentials {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    // As Istio's authority makes them: who somebody is, is nowhere else.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{id}").as_str().try_into().unwrap())];
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3_600)).into();
    params.not_after = (now + Duration::from_secs(3_600)).into();
    let leaf = params.signed_by(&key, authority()).unwrap();
    let (leaf, root) = (leaf.pem(), authority().pem());
    Credentials::from_pem(leaf.as_bytes(), key.serialize_pem().as_bytes(), root.as_bytes()).unwrap()
}

/// Sends bytes to a workload as whoever has this certificate, after a preamble in the open, and reads one answer.
pub(crate) fn exchange_as(
    who: &LiveIdentity,
    address: SocketAddr,
    preamble: &str,
    request: &[u8],
) -> io::Result<Message> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    io::Write::write_all(&mut stream, preamble.as_bytes())?;
    let accepted = Accepted::AnyOf([format!("spiffe://{WORKLOAD}").parse().unwrap()].into());
    let config = client_config(who, accepted, &[b"istio-http/1.1", b"http/1.1"]);
    let session = ClientConnection::new(Arc::clone(&config), "app.shop.svc".try_into().unwrap()).unwrap();
    exchange_over(&mut StreamOwned::new(session, stream), request)
}

/// A listener of Envoy as Istio writes it for a port that takes the mesh's mTLS, and plaintext too.
pub(crate) fn permissive(mut listener: Value) -> Value {
    let own = credentials(WORKLOAD);
    let inline = |text: String| json!({"inline_string": text});
    let tls = json!({
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": inline(own.chain_pem()), "private_key": inline(own.key_pem())}],
            "validation_context": {"trusted_ca": inline(authority().pem()), "match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}]},
            "alpn_protocols": ["istio-http/1.1", "istio-http/1.0", "h2", "http/1.1"],
        },
    });
    let mut plain = listener["filter_chains"][0].take();
    plain["filters"][0]["typed_config"] = with(
        plain["filters"][0]["typed_config"].take(),
        json!({"forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": {"subject": true, "uri": true, "dns": true}}),
    );
    let socket = typed("transport_sockets.tls.v3.DownstreamTlsContext", tls);
    let chain = |protocol: &str, more: Value| {
        with(
            with(plain.clone(), json!({"name": protocol, "filter_chain_match": {"transport_protocol": protocol}})),
            more,
        )
    };
    listener["filter_chains"] = json!([
        chain("tls", json!({"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": socket}})),
        chain("raw_buffer", json!({})),
    ]);
    let inspector = typed("filters.listener.tls_inspector.v3.TlsInspector", json!({}));
    let inspector = json!({"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector});
    match listener["listener_filters"].as_array_mut() {
        Some(filters) => filters.push(inspector),
        None => listener["listener_filters"] = json!([inspector]),
    }
    listener
}
