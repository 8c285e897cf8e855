//! A certificate authority for the tests of this crate: `ca` issues for the mesh, and may not be used here.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use crate::{Credentials, TrustBundle, Validity};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A root, and an issuer below it.
pub(crate) struct Mesh {
    root: CertifiedIssuer<'static, KeyPair>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Mesh {
    pub(crate) fn new(trust_domain: &str) -> Mesh {
        Mesh::since(trust_domain, SystemTime::UNIX_EPOCH)
    }

    /// One whose own certificates begin then.
    pub(crate) fn since(trust_domain: &str, begin: SystemTime) -> Mesh {
        let root = CertifiedIssuer::self_signed(issuing(trust_domain, "root", begin), key()).unwrap();
        let issuer = CertifiedIssuer::signed_by(issuing(trust_domain, "issuer", begin), key(), &root).unwrap();
        Mesh { root, issuer }
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle::new(vec![self.root()]).unwrap()
    }

    /// Credentials that are valid now.
    pub(crate) fn credentials(&self, uri: &str) -> Credentials {
        let now = SystemTime::now();
        self.credentials_for(uri, Validity { not_before: now - DAY, not_after: now + DAY })
    }

    pub(crate) fn credentials_for(&self, uri: &str, validity: Validity) -> Credentials {
        let (chain, key) = self.issue(&[uri], validity);
        Credentials::new(chain, key, self.bundle()).unwrap()
    }

    /// A chain with any URIs, and its key.
    pub(crate) fn issue(
        &self,
        uris: &[&str],
        validity: Validity,
    ) -> (Vec<CertificateDer<'static>>, rustls_pki_types::PrivateKeyDer<'static>) {
        let key = key();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from_slice(&key.public_key_raw()[1..17]));
        (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (vec![leaf.der().clone(), self.issuer.der().clone()], key.into())
    }
}

fn issuing(trust_domain: &str, name: &str, begin: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = begin.into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("{trust_domain} {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}
