//! TLS configurations: made when a snapshot is prepared, never for a connection.
//!
//! Owns: which configuration a cluster, an inbound port and a gateway's server have.
//! May not: decide who is trusted; `taut-identity` does that for the mesh's own mTLS.

mod outside;

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use taut_identity::{Accepted, Clients, LiveIdentity, SpiffeId};
use taut_snapshot::object::{Certificate, Cluster, ClusterTls, Identities, OutsideTls, Roots};

/// The protocols of HTTP over TLS, in the order in which a server prefers them.
pub(crate) const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// How connections to the endpoints of a cluster are secured.
#[derive(Debug)]
pub(crate) struct Mutual {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
    /// Without a protocol in it: for bytes.
    pub(crate) bytes: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

impl Mutual {
    /// The configurations of a cluster; none if its connections are not secured.
    ///
    /// # Errors
    /// If an identity that it accepts is none, or its name cannot be a server name.
    pub(crate) fn of(cluster: &Cluster, identity: &LiveIdentity) -> Result<Option<Mutual>, String> {
        let accepted = match &cluster.tls {
            ClusterTls::Plain => return Ok(None),
            ClusterTls::Auto(Identities { accepted }) | ClusterTls::Mutual(Identities { accepted }) => accepted,
            ClusterTls::Outside(tls) => return Mutual::outside(cluster, tls).map(Some),
        };
        let accepted: BTreeSet<SpiffeId> = accepted
            .iter()
            .map(|text| SpiffeId::parse(text).map_err(|bad| format!("the identity `{text}`: {bad}")))
            .collect::<Result<_, _>>()?;
        let name = cluster.server_name();
        let server_name =
            ServerName::try_from(name.clone()).map_err(|_| format!("`{name}` cannot be a server name"))?;
        let config =
            |protocols: &[&[u8]]| taut_identity::client_config(identity, Accepted::AnyOf(accepted.clone()), protocols);
        // As Istio's proxies say it, so that a port which takes plaintext as well knows the mesh's TLS by it (§2.2).
        let (http1, http2) = (config(&[b"istio-http/1.1", b"http/1.1"]), config(&[b"istio-h2", b"h2"]));
        Ok(Some(Mutual { http1, http2, bytes: config(&[b"istio"]), server_name }))
    }
}

impl Mutual {
    /// Those of a service outside the mesh. Its server name is its host, unless the rule names another.
    fn outside(cluster: &Cluster, tls: &OutsideTls) -> Result<Mutual, String> {
        let name = if tls.server_name.is_empty() { &cluster.host } else { &tls.server_name };
        let server_name =
            ServerName::try_from(name.to_string()).map_err(|_| format!("`{name}` cannot be a server name"))?;
        let bytes = outside::config(tls)?;
        let with = |protocol: &[u8]| {
            let mut config = bytes.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Mutual { http1: with(b"http/1.1"), http2: with(b"h2"), bytes: Arc::new(bytes), server_name })
    }
}

/// For questions to services outside the mesh that are the proxy's own, by whoever this machine trusts.
///
/// # Errors
/// If it trusts nobody.
pub(crate) fn system_client() -> Result<Arc<ClientConfig>, String> {
    let tls = OutsideTls {
        server_name: Default::default(),
        names: Vec::new(),
        roots: Roots::System,
        certificate: Default::default(),
        key: Default::default(),
        revoked: Default::default(),
    };
    outside::config(&tls).map(Arc::new)
}

/// How an inbound port ends the mesh's mTLS.
#[derive(Debug)]
pub(crate) struct Inward {
    http: Arc<ServerConfig>,
    bytes: Arc<ServerConfig>,
    /// Without a protocol in it: for clients that offer none of those.
    silent: Arc<ServerConfig>,
}

/// The protocols of HTTP within the mesh's TLS.
const MESH_HTTP: &[&[u8]] = &[b"istio-h2", b"istio-http/1.1", b"istio-http/1.0", b"h2", b"http/1.1"];

/// What says that it carries bytes. Metadata of peers (`istio-peer-exchange`) is not spoken.
const MESH_BYTES: &[&[u8]] = &[b"istio"];

impl Inward {
    pub(crate) fn new(identity: &LiveIdentity) -> Inward {
        Inward {
            http: taut_identity::server_config(identity, Clients::Required, MESH_HTTP),
            bytes: taut_identity::server_config(identity, Clients::Required, MESH_BYTES),
            silent: taut_identity::server_config(identity, Clients::Required, &[]),
        }
    }

    /// The configuration for a client that offers these protocols.
    pub(crate) fn config(&self, requests: bool, offers: &[Box<str>]) -> &Arc<ServerConfig> {
        let (config, known) = if requests { (&self.http, MESH_HTTP) } else { (&self.bytes, MESH_BYTES) };
        let agreed = offers.iter().any(|offered| known.contains(&offered.as_bytes()));
        // Without a protocol in common, TLS would end; Envoy goes on.
        if agreed { config } else { &self.silent }
    }
}

/// The configuration of a gateway's server that shows this certificate to anyone (semantics.md §5.6, SIMPLE), and speaks
/// one of these protocols within; any, if there are none.
///
/// # Errors
/// If the Secret does not hold a certificate with its key; the message names the Secret and no part of the key.
pub(crate) fn gateway_config(certificate: &Certificate, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
    let secret = &certificate.name;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate.chain.0)
        .collect::<Result<_, _>>()
        .map_err(|bad| format!("the certificate in Secret `{secret}` is not PEM: {bad}"))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in Secret `{secret}`"));
    }
    let key = PrivateKeyDer::from_pem_slice(&certificate.key.0)
        .map_err(|bad| format!("the key in Secret `{secret}` is not PEM: {bad}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|bad| format!("the certificate and the key in Secret `{secret}` cannot be used: {bad}"))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use taut_snapshot::format::codec::Blob;

    use super::*;

    fn certificate(chain: &str, key: &str) -> Certificate {
        Certificate { name: "shop/web".into(), chain: Blob(chain.as_bytes().into()), key: Blob(key.as_bytes().into()) }
    }

    #[test]
    fn a_bad_certificate_names_its_secret() {
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, other) = (made("a.example"), made("b.example"));
        let (pem, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        assert!(gateway_config(&certificate(&pem, &key), HTTP).is_ok());
        for (chain, key, want) in [
            (pem.as_str(), other.signing_key.serialize_pem(), "cannot be used"),
            ("", key.clone(), "no certificate"),
            (pem.as_str(), String::new(), "the key in"),
            (&pem[..pem.len() - 40], key.clone(), "not PEM"),
        ] {
            let refusal = gateway_config(&certificate(chain, &key), HTTP).unwrap_err();
            assert!(refusal.contains(want) && refusal.contains("Secret `shop/web`"), "{refusal}");
        }
    }
}
