//! TLS to services outside the mesh (semantics.md §4.1, 'ClientTLSSettings').
//!
//! Owns: whose certificates are believed, and which names they must have. Files are read when a snapshot is staged: one
//! that cannot be read refuses it.

use std::fs;
use std::sync::{Arc, OnceLock};

use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use taut_identity::Presented;
use taut_snapshot::Text;
use taut_snapshot::object::{Certificate, OutsideTls, Roots};

use super::gateway::key_pair;

/// The configuration for a cluster, without protocols; with a certificate of the client's own, if the snapshot has one.
///
/// # Errors
/// If a file cannot be read, or holds nothing that can be used.
pub(super) fn config(tls: &OutsideTls, own: Option<&Certificate>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let checked = match &tls.roots {
        Roots::Unchecked => None,
        Roots::System => Some(system_roots()),
        Roots::File(file) => Some(Arc::new(roots_of(file)?)),
        Roots::Pem(pem) => Some(Arc::new(roots_in(&pem.0)?)),
    };
    let nobody = checked.as_ref().is_some_and(|roots| roots.is_empty());
    let verifier = match checked {
        Some(roots) if !nobody => Some(
            WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .with_crls(revoked(&tls.revoked)?)
                .build()
                .map_err(|bad| format!("nobody can be believed by these roots: {bad}"))?,
        ),
        _ => None,
    };
    let (names, uris) = tls.names.iter().cloned().partition::<Vec<Text>, _>(|name| !name.contains("://"));
    let name = |name: &Text| {
        ServerName::try_from(name.to_string())
            .map_err(|_| format!("`{name}` is neither a DNS name nor an address nor a URI"))
    };
    let names = names.iter().map(name).collect::<Result<_, _>>()?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Checked { names, uris, verifier, nobody, provider }));
    if let Some(own) = own {
        let (chain, key) = key_pair(own)?;
        let with = builder.with_client_auth_cert(chain, key);
        return with.map_err(|bad| format!("the certificate and key in Secret `{}` cannot be used: {bad}", own.name));
    }
    if tls.certificate.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key)?)
        .map_err(|bad| format!("the key in `{}` is not PEM: {bad}", tls.key))?;
    builder
        .with_client_auth_cert(certificates(&tls.certificate)?, key)
        .map_err(|bad| format!("the certificate and key in `{}` cannot be used: {bad}", tls.certificate))
}

fn read(file: &str) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("`{file}` cannot be read: {error}"))
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<_, _>>()
        .map_err(|bad| format!("`{file}` is not PEM: {bad}"))?;
    if chain.is_empty() { Err(format!("there is no certificate in `{file}`")) } else { Ok(chain) }
}

/// The lists of what is revoked. With one, every authority in a chain must have one, as with Envoy.
fn revoked(file: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&read(file)?)
        .collect::<Result<_, _>>()
        .map_err(|bad| format!("`{file}` is not PEM: {bad}"))?;
    if lists.is_empty() { Err(format!("there is no list of revoked certificates in `{file}`")) } else { Ok(lists) }
}

fn roots_of(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in certificates(file)? {
        roots.add(root).map_err(|bad| format!("a certificate in `{file}` is no root: {bad}"))?;
    }
    Ok(roots)
}

/// The roots that a snapshot brings along.
fn roots_in(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        let root = root.map_err(|bad| format!("the roots of the snapshot are not PEM: {bad}"))?;
        roots.add(root).map_err(|bad| format!("a certificate of the snapshot is no root: {bad}"))?;
    }
    Ok(roots)
}

/// Whoever this machine trusts. Read once: what it trusts changes with its software, not with the mesh.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}

/// Servers whose certificate has one of some names, or their own if there are none. Without a verifier any certificate
/// will do (`insecureSkipVerify`); that the server has its key is checked all the same.
#[derive(Debug)]
struct Checked {
    names: Vec<ServerName<'static>>,
    /// Names that are none of a server's.
    uris: Vec<Text>,
    verifier: Option<Arc<WebPkiServerVerifier>>,
    /// Whether there are no roots at all, so that nobody is believed.
    nobody: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        called: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.nobody {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        let check = |name: &ServerName<'_>| verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        if self.names.is_empty() && self.uris.is_empty() {
            return check(called);
        }
        let by_uri = || {
            // The name is looked at last: if it alone is wrong, all else is right.
            match check(called) {
                Ok(_) | Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {}
                Err(other) => return Err(other),
            }
            let presented = Presented::read(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            let named = presented.uris.iter().any(|uri| self.uris.iter().any(|wanted| wanted.as_str() == uri));
            if named { Ok(ServerCertVerified::assertion()) } else { Err(NotValidForName.into()) }
        };
        let by_name = self.names.iter().map(check).reduce(|found, next| found.or(next));
        match by_name {
            Some(Ok(verified)) => Ok(verified),
            Some(failed) if self.uris.is_empty() => failed,
            _ => by_uri(),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
