//! The roots that a member trusts.
//!
//! Owns: the roots of the mesh, their fingerprints, and the check that a chain ends in one of them.
//! May not: look at who a certificate is for; `peer` does.
//! Invariant: a bundle has at least one root, no root twice, and every one of them can be an anchor.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{BadCredentials, pem, tls};

/// The most roots of a bundle. A rotation needs two; each is tried at every handshake.
const ROOTS_MAX: usize = 32;

/// The roots of a mesh: whoever can show a chain to one of them is who its certificate says.
#[derive(Clone)]
pub struct TrustBundle {
    roots: Vec<CertificateDer<'static>>,
    anchors: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// Which end of a connection a certificate is shown by: its extended key usage must allow that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

impl TrustBundle {
    /// Trusts these roots.
    ///
    /// # Errors
    /// If there is none, or one cannot be an anchor.
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Result<TrustBundle, BadCredentials> {
        let mut unique = Vec::<CertificateDer<'static>>::new();
        for root in roots {
            if !unique.contains(&root) {
                unique.push(root);
            }
        }
        if unique.is_empty() {
            return Err(BadCredentials::Empty { part: "bundle" });
        }
        if ROOTS_MAX < unique.len() {
            return Err(BadCredentials::TooMany { part: "bundle", count: unique.len(), max: ROOTS_MAX });
        }
        let mut anchors = RootCertStore::empty();
        for root in &unique {
            anchors.add(root.clone()).map_err(BadCredentials::Root)?;
        }
        let anchors = Arc::new(anchors);
        let clients = WebPkiClientVerifier::builder_with_provider(anchors.clone(), tls::provider())
            .build()
            .expect("there is an anchor and no revocation list");
        Ok(TrustBundle { roots: unique, anchors, clients })
    }

    /// Reads roots from PEM.
    ///
    /// # Errors
    /// If it is not PEM, or what is in it is no bundle.
    pub fn from_pem(text: &[u8]) -> Result<TrustBundle, BadCredentials> {
        let roots = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>();
        TrustBundle::new(roots.map_err(|error| BadCredentials::Pem { part: "bundle", why: error.to_string() })?)
    }

    /// The roots as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::certificates(&self.roots)
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Whether one of the roots has this fingerprint.
    #[must_use]
    pub fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.roots.iter().any(|root| Fingerprint::of(root) == *fingerprint)
    }

    /// Checks that a chain leads from `leaf` to one of the roots and that all of it is valid at `now`.
    pub(crate) fn verify(
        &self,
        shown_by: End,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        match shown_by {
            End::Client => self.clients.verify_client_cert(leaf, between, now).map(|_| ()),
            End::Server => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(leaf)?,
                &self.anchors,
                between,
                now,
                tls::provider().signature_verification_algorithms.all,
            ),
        }
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.roots.iter().map(Fingerprint::of)).finish()
    }
}

/// What a root is known by before it can be trusted: the SHA-256 of its DER, as `openssl x509 -fingerprint -sha256`
/// prints it, without the colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

/// The text is not the fingerprint of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: 64 hexadecimal digits are expected")]
pub struct BadFingerprint;

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Fingerprint(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, BadFingerprint> {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadFingerprint);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| BadFingerprint)?;
        }
        Ok(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Mesh;

    #[test]
    fn a_bundle_has_no_root_twice_and_at_least_one() {
        let (one, other) = (Mesh::new("td").root(), Mesh::new("td").root());
        let bundle = TrustBundle::new(vec![one.clone(), other.clone(), one.clone()]).unwrap();
        assert_eq!(bundle.roots(), [one.clone(), other]);
        assert_eq!(TrustBundle::from_pem(bundle.to_pem().as_bytes()).unwrap().roots(), bundle.roots());
        assert!(bundle.has(&Fingerprint::of(&one)));
        assert!(TrustBundle::new(vec![]).is_err());
        assert!(TrustBundle::new(vec![CertificateDer::from(vec![0x30, 0])]).is_err());
        let many = (0..=ROOTS_MAX).map(|_| Mesh::new("td").root()).collect();
        assert!(TrustBundle::new(many).unwrap_err().to_string().ends_with("the most is 32"));
    }

    #[test]
    fn fingerprints_are_those_that_others_print() {
        // printf 'abc' | sha256sum
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let fingerprint = Fingerprint::of(&CertificateDer::from(b"abc".to_vec()));
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &"é".repeat(32)] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint), "{bad}");
        }
    }
}
