//! The TLS configurations of the mesh.
//!
//! Owns: what is offered and required in a handshake (semantics.md §9.2: TLS 1.2 and 1.3, chain to a root of the mesh,
//! a SPIFFE id that is accepted).
//! May not: keep credentials: it reads the `LiveIdentity` at every handshake.
//! Invariant: sessions are never resumed. A resumed one would skip the certificate, and could carry the identity that
//! another pod had behind the same name.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::bundle::End;
use crate::leaf::Leaf;
use crate::{Accepted, Fingerprint, LiveIdentity, PeerRefused, TrustBundle};

/// The one cryptography provider. It is named wherever TLS begins; there is no process default to get wrong.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// What a server asks of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// A certificate.
    Required,
    /// A certificate, if it has one; one that is shown is verified all the same.
    Optional,
}

/// The configuration of a server of the mesh. It shows the identity's certificate, and accepts clients of the
/// identity's trust domain and its aliases.
#[must_use]
pub fn server_config(identity: &LiveIdentity, clients: Clients, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let end = Arc::new(MeshServer { identity: identity.clone(), clients });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_client_cert_verifier(end.clone())
        .with_cert_resolver(end);
    config.alpn_protocols = owned(alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// The configuration of a client of the mesh. It shows the identity's certificate if the server asks, and goes on only
/// if the server is accepted. The server name, if any, is for the server alone: it is not what is verified.
#[must_use]
pub fn client_config(identity: &LiveIdentity, accepted: Accepted, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let end = Arc::new(MeshClient { identity: identity.clone(), accepted });
    let mut config = client_of(end.clone()).with_client_cert_resolver(end);
    config.alpn_protocols = owned(alpn);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Whom to believe at the first contact with a certificate authority, when there are no credentials and no bundle yet:
/// whoever has this account, in whatever trust domain, below the root with this fingerprint. It must show that root in
/// its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstContact {
    /// The root's fingerprint, from a source that is trusted.
    pub root: Fingerprint,
    /// The namespace of the authority's account.
    pub namespace: &'static str,
    /// The authority's account.
    pub service_account: &'static str,
}

/// The configuration of a client without credentials.
#[must_use]
pub fn first_contact_config(authority: FirstContact, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = client_of(Arc::new(authority)).with_no_client_auth();
    config.alpn_protocols = owned(alpn);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn client_of(
    verifier: Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .dangerous() // rustls calls every verifier of one's own that
        .with_custom_certificate_verifier(verifier)
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

/// The two checks that every certificate of the mesh must pass, with what is trusted now.
fn verify(
    identity: &LiveIdentity,
    accepted: &Accepted,
    shown_by: End,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    identity.current().bundle().verify(shown_by, leaf, between, now)?;
    accepted.check(leaf, identity).map_err(refused)
}

fn refused(why: PeerRefused) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

/// The methods of both verifiers that check the handshake's signature against the key in the certificate.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

/// The server's end of a connection.
#[derive(Debug)]
struct MeshServer {
    identity: LiveIdentity,
    clients: Clients,
}

impl ClientCertVerifier for MeshServer {
    fn client_auth_mandatory(&self) -> bool {
        self.clients == Clients::Required
    }

    /// None: the roots change, and members have one certificate to show, whatever the hints.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        verify(&self.identity, &Accepted::TrustDomain, End::Client, leaf, between, now)?;
        Ok(ClientCertVerified::assertion())
    }

    verify_signatures!();
}

impl ResolvesServerCert for MeshServer {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.current().certified())
    }
}

/// The client's end of a connection.
#[derive(Debug)]
struct MeshClient {
    identity: LiveIdentity,
    accepted: Accepted,
}

impl ServerCertVerifier for MeshClient {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify(&self.identity, &self.accepted, End::Server, leaf, between, now)?;
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ResolvesClientCert for MeshClient {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.current().certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for FirstContact {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let root = between
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.root)
            .ok_or_else(|| refused(PeerRefused::OtherRoot { wanted: self.root }))?;
        let anchor = TrustBundle::new(vec![root.clone().into_owned()]).map_err(|_| CertificateError::BadEncoding)?;
        anchor.verify(End::Server, leaf, between, now)?;
        let peer = Leaf::read(leaf).map_err(|bad| refused(bad.into()))?.id;
        if (peer.namespace(), peer.service_account()) == (self.namespace, self.service_account) {
            return Ok(ServerCertVerified::assertion());
        }
        let accepted = format!("the account `{}` of the namespace `{}`", self.service_account, self.namespace);
        Err(refused(PeerRefused::NotAccepted { peer, accepted }))
    }

    verify_signatures!();
}
