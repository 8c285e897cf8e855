//! How a gateway's server ends TLS (semantics.md §5.6).
//!
//! Owns: which certificate a client is shown, which versions and ciphers are spoken, and whether a client must show one.
//! May not: say who a client is to the mesh. A certificate of the world outside proves nothing there, whoever signed it.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use taut_identity::Presented;
use taut_snapshot::Text;
use taut_snapshot::object::{Certificate, ClientCheck, ServerTls, TlsTerms, TlsVersion};

/// How TLS ends. What is equal is configured once, so that clients can resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) mode: Option<ServerTls>,
    pub(crate) terms: Option<TlsTerms>,
    /// What is spoken within; anything, if there are none.
    pub(crate) protocols: &'static [&'static [u8]],
}

/// The configuration of a server.
///
/// # Errors
/// If a Secret does not hold a certificate with its key (the message names the Secret and no part of the key), or nobody
/// says whose certificates clients must have.
pub(crate) fn gateway_config(ending: &Ending) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(ending.terms.as_ref()));
    let keys: Vec<Arc<CertifiedKey>> =
        ending.certificates.iter().map(|it| certified(it, &provider).map(Arc::new)).collect::<Result<_, _>>()?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(ending.terms.as_ref()))
        .map_err(|bad| format!("no version of TLS is left with these ciphers: {bad}"))?;
    let clients = clients(ending, &provider)?;
    let checks = clients.is_some();
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Shown(keys)));
    if checks {
        // A session that is resumed would not be asked again, though its certificate may count no longer.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = ending.protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// What OpenSSL calls the ciphers of TLS 1.2 that are spoken.
fn cipher_name(suite: SupportedCipherSuite) -> Option<&'static str> {
    use rustls::CipherSuite as C;
    Some(match suite.suite() {
        C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        C::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        C::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        C::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        C::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        C::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

/// As with Envoy, a list is one of the ciphers of TLS 1.2: those of 1.3 stay.
fn provider(terms: Option<&TlsTerms>) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if let Some(listed) = terms.map(|terms| &terms.ciphers).filter(|listed| !listed.is_empty()) {
        provider
            .cipher_suites
            .retain(|suite| cipher_name(*suite).is_none_or(|name| listed.iter().any(|cipher| cipher.as_str() == name)));
    }
    provider
}

fn versions(terms: Option<&TlsTerms>) -> Vec<&'static SupportedProtocolVersion> {
    let oldest = terms.and_then(|terms| terms.oldest.clone()).unwrap_or(TlsVersion::V12);
    let newest = terms.and_then(|terms| terms.newest.clone()).unwrap_or(TlsVersion::V13);
    let all = [(TlsVersion::V12, &TLS12), (TlsVersion::V13, &TLS13)];
    all.into_iter().filter(|(version, _)| oldest <= *version && *version <= newest).map(|(_, it)| it).collect()
}

fn certified(certificate: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let secret = &certificate.name;
    let (chain, key) = key_pair(certificate)?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|bad| format!("the certificate and the key in Secret `{secret}` cannot be used: {bad}"))
}

/// The chain and the key of a Secret.
pub(super) fn key_pair(
    certificate: &Certificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let secret = &certificate.name;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate.chain.0)
        .collect::<Result<_, _>>()
        .map_err(|bad| format!("the certificate in Secret `{secret}` is not PEM: {bad}"))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in Secret `{secret}`"));
    }
    let key = PrivateKeyDer::from_pem_slice(&certificate.key.0)
        .map_err(|bad| format!("the key in Secret `{secret}` is not PEM: {bad}"))?;
    Ok((chain, key))
}

/// Shows each client the first certificate that it can read.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let readable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(readable).or_else(|| self.0.first()).cloned()
    }
}

/// Who checks clients; nobody, if the server does not look at their certificates.
fn clients(ending: &Ending, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let required = match ending.mode {
        Some(ServerTls::Mutual) => true,
        Some(ServerTls::OptionalMutual) => false,
        _ => return Ok(None),
    };
    let check = ending.terms.as_ref().and_then(|terms| terms.clients.as_ref());
    let Some(check) = check else {
        return Err("its clients must show certificates, and nothing says whose".to_owned());
    };
    let verifier = if check.unchecked { None } else { Some(chain_verifier(check, required, provider)?) };
    let clients = Clients { required, verifier, names: check.names.clone(), provider: provider.clone() };
    Ok(Some(Arc::new(clients)))
}

fn chain_verifier(
    check: &ClientCheck,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&check.roots.0) {
        let root = root.map_err(|bad| format!("the certificates of whoever certifies clients are not PEM: {bad}"))?;
        roots
            .add(root)
            .map_err(|bad| format!("one of the certificates of whoever certifies clients is no root: {bad}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|bad| format!("nobody can be believed by the certificates for clients: {bad}"))
}

/// Clients whose certificate has one of some names. Without a verifier any certificate will do; that the client has its
/// key is checked all the same.
#[derive(Debug)]
struct Clients {
    required: bool,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    names: Vec<Text>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(verifier) = &self.verifier else { return Ok(ClientCertVerified::assertion()) };
        let verified = verifier.verify_client_cert(end_entity, intermediates, now)?;
        if self.names.is_empty() {
            return Ok(verified);
        }
        let presented = Presented::read(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if self.names.iter().any(|name| presented.has(name)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use taut_snapshot::format::codec::Blob;

    use super::*;
    use crate::tls::HTTP;

    fn ending(chain: &str, key: &str) -> Ending {
        let blob = |text: &str| Blob(text.as_bytes().into());
        let certificate = Certificate { name: "shop/web".into(), chain: blob(chain), key: blob(key) };
        Ending { certificates: vec![certificate], mode: None, terms: None, protocols: HTTP }
    }

    fn terms() -> TlsTerms {
        TlsTerms { certificates: vec![], clients: None, ciphers: vec![], oldest: None, newest: None }
    }

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_bad_certificate_names_its_secret() {
        let ((pem, key), (_, other)) = (made("a.example"), made("b.example"));
        assert!(gateway_config(&ending(&pem, &key)).is_ok());
        for (chain, key, want) in [
            (pem.as_str(), other, "cannot be used"),
            ("", key.clone(), "no certificate"),
            (pem.as_str(), String::new(), "the key in"),
            (&pem[..pem.len() - 40], key.clone(), "not PEM"),
        ] {
            let refusal = gateway_config(&ending(chain, &key)).unwrap_err();
            assert!(refusal.contains(want) && refusal.contains("Secret `shop/web`"), "{refusal}");
        }
    }

    #[test]
    fn a_server_that_must_check_its_clients_is_refused_where_it_could_not() {
        let (pem, key) = made("a.example");
        let check =
            |roots: &str, unchecked| ClientCheck { roots: Blob(roots.as_bytes().into()), names: vec![], unchecked };
        let with = |mode, clients| Ending {
            mode: Some(mode),
            terms: Some(TlsTerms { clients, ..terms() }),
            ..ending(&pem, &key)
        };
        for (clients, good) in [
            (None, false),
            (Some(check("", false)), false),
            (Some(check("no", false)), false),
            (Some(check("", true)), true),
            (Some(check(&pem, false)), true),
        ] {
            for mode in [ServerTls::Mutual, ServerTls::OptionalMutual] {
                assert_eq!(gateway_config(&with(mode, clients.clone())).is_ok(), good, "{clients:?}");
            }
            assert!(gateway_config(&with(ServerTls::Simple, clients)).is_ok(), "which looks at nobody's");
        }
    }

    #[test]
    fn versions_and_ciphers_are_those_that_are_listed() {
        let of = |ciphers: &[&str], oldest, newest| {
            let ciphers = ciphers.iter().map(Text::new).collect();
            let terms = TlsTerms { ciphers, oldest, newest, ..terms() };
            let named: Vec<_> = provider(Some(&terms)).cipher_suites.into_iter().filter_map(cipher_name).collect();
            (named, versions(Some(&terms)).len())
        };
        assert_eq!(of(&[], None, None), (of(&[], None, None).0, 2));
        assert_eq!(of(&[], None, None).0.len(), 6);
        assert_eq!(
            of(&["ECDHE-RSA-AES128-GCM-SHA256"], Some(TlsVersion::V12), Some(TlsVersion::V12)),
            (vec!["ECDHE-RSA-AES128-GCM-SHA256"], 1)
        );
        assert_eq!(of(&[], Some(TlsVersion::V13), None).1, 1);
    }
}
