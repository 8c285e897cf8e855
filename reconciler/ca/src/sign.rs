//! The keys of the authority. This module alone ever holds them.
//!
//! Owns: the root (self-signed, ten years: semantics.md §16), the issuing certificate below it (a year, made anew at
//! half of it), the files that they are in, and the signing of leaves.
//! May not: decide anything. It signs what a `Grant` says, for the key of a `PublicKey`.
//! Invariant: a folder gets one root, once. Each certificate is in one file with its key, written as a whole before
//! anyone sees it, so that a crash leaves both or neither.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use taut_identity::Validity;
use taut_identity::disk::{self, cannot};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::csr::PublicKey;
use crate::issue::Grant;
use crate::{CaError, tokens};

const ROOT: &str = "root.pem";
const ISSUING: &str = "issuing.pem";

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const ROOT_LIFETIME: Duration = YEAR.saturating_mul(10);
const ISSUING_LIFETIME: Duration = YEAR;

/// How far back both begin, so that a member whose clock is behind does not refuse a new mesh.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// The bytes of a serial number: the most (RFC 5280 §4.1.2.2), drawn at random.
const SERIAL_BYTES: usize = 20;

/// The root and the issuing certificate of a mesh, with their keys.
#[derive(Clone)]
pub(crate) struct Signer {
    trust_domain: String,
    root: Arc<Issuing>,
    issuing: Arc<Issuing>,
}

/// A certificate that signs others.
struct Issuing {
    certificate: CertificateDer<'static>,
    validity: Validity,
    signs: rcgen::Issuer<'static, KeyPair>,
}

impl Signer {
    /// Opens the authority of a folder, which this process must have locked; makes what is not there yet.
    pub(crate) fn open(folder: &Path, trust_domain: &str, now: SystemTime) -> Result<Signer, CaError> {
        let path = folder.join(ROOT);
        let root = match Issuing::read(&path)? {
            Some(root) => root,
            None if folder.join(ISSUING).exists() || folder.join(tokens::FOLDER).exists() => {
                return Err(CaError::RootLost { path });
            }
            None => {
                let validity = Validity { not_before: now - BACKDATED, not_after: now + ROOT_LIFETIME };
                Issuing::make(&path, &params(trust_domain, "root", 1, validity), None)?
            }
        };
        let has = trust_domain_of(&path, &root.certificate)?;
        if has != trust_domain {
            let asked = trust_domain.to_owned();
            return Err(CaError::OtherTrustDomain { folder: folder.to_owned(), has, asked });
        }
        if root.validity.left(now).is_zero() {
            return Err(CaError::RootExpired { path });
        }
        let path = folder.join(ISSUING);
        let issuing = match Issuing::read(&path)? {
            Some(issuing) if !issuing.is_below(&root) => {
                return Err(damaged(&path, &"it was not made by the root beside it"));
            }
            Some(issuing) => issuing,
            None => new_issuing(folder, trust_domain, &root, now)?,
        };
        Ok(Signer { trust_domain: trust_domain.to_owned(), root: Arc::new(root), issuing: Arc::new(issuing) })
    }

    /// The same with a new issuing certificate, if half of its lifetime has passed. Certificates that the old one has
    /// signed stay good: they are shown together with it.
    pub(crate) fn renewed(&self, folder: &Path, now: SystemTime) -> Result<Option<Signer>, CaError> {
        let validity = self.issuing.validity;
        if validity.lifetime() / 2 < validity.left(now) {
            return Ok(None);
        }
        let issuing = new_issuing(folder, &self.trust_domain, &self.root, now)?;
        Ok(Some(Signer { issuing: Arc::new(issuing), ..self.clone() }))
    }

    /// Signs what was granted. The chain begins with the leaf, and ends below the root.
    pub(crate) fn sign(&self, grant: &Grant, key: &PublicKey) -> Result<Vec<CertificateDer<'static>>, rcgen::Error> {
        let mut params = blank(grant.validity);
        params.subject_alt_names = vec![SanType::URI(grant.id.as_str().try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(key.info(), &self.issuing.signs)?;
        Ok(vec![leaf.der().clone(), self.issuing.certificate.clone()])
    }

    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root.certificate
    }

    /// The last second in which what it signs can be believed.
    pub(crate) fn ends(&self) -> SystemTime {
        self.issuing.validity.not_after
    }
}

impl Issuing {
    /// Makes a certificate, signed by another or by itself, and writes it with its key.
    fn make(path: &Path, params: &CertificateParams, by: Option<&Issuing>) -> Result<Issuing, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = match by {
            Some(issuer) => params.signed_by(&key, &issuer.signs)?,
            None => params.self_signed(&key)?,
        };
        disk::replace(path, (certificate.pem() + &key.serialize_pem()).as_bytes())?;
        // Read back, so that what is used is what a restart will find.
        Issuing::read(path)?.ok_or_else(|| damaged(path, &"it vanished as soon as it was written"))
    }

    fn read(path: &Path) -> Result<Option<Issuing>, CaError> {
        let Some((content, certificate)) = read_certificate(path)? else { return Ok(None) };
        let unusable = |error: &dyn fmt::Display| damaged(path, error);
        let key = PrivateKeyDer::from_pem_slice(&content).map_err(|error| unusable(&error))?;
        let key = KeyPair::try_from(&key).map_err(|error| unusable(&error))?;
        if parse(path, &certificate)?.public_key().raw != key.subject_public_key_info() {
            return Err(unusable(&"its key is not that of its certificate"));
        }
        let validity = Validity::of(&certificate).map_err(|error| unusable(&error))?;
        let signs = rcgen::Issuer::from_ca_cert_der(&certificate, key).map_err(|error| unusable(&error))?;
        Ok(Some(Issuing { certificate, validity, signs }))
    }

    fn is_below(&self, root: &Issuing) -> bool {
        let parsed = (X509Certificate::from_der(&self.certificate), X509Certificate::from_der(&root.certificate));
        let (Ok((_, own)), Ok((_, root))) = parsed else { return false };
        own.issuer() == root.subject() && own.verify_signature(Some(root.public_key())).is_ok()
    }
}

fn new_issuing(folder: &Path, trust_domain: &str, root: &Issuing, now: SystemTime) -> Result<Issuing, CaError> {
    let not_after = (now + ISSUING_LIFETIME).min(root.validity.not_after);
    let validity = Validity { not_before: now - BACKDATED, not_after };
    Issuing::make(&folder.join(ISSUING), &params(trust_domain, "issuer", 0, validity), Some(root))
}

/// The root of the authority in a folder, and its trust domain, for those who do not run it.
pub(crate) fn public_root(folder: &Path) -> Result<(CertificateDer<'static>, String), CaError> {
    let path = folder.join(ROOT);
    let Some((_, root)) = read_certificate(&path)? else {
        return Err(CaError::NotStarted { folder: folder.to_owned() });
    };
    let trust_domain = trust_domain_of(&path, &root)?;
    Ok((root, trust_domain))
}

fn read_certificate(path: &Path) -> Result<Option<(Vec<u8>, CertificateDer<'static>)>, CaError> {
    let content = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(cannot("read", path))?,
    };
    match CertificateDer::from_pem_slice(&content) {
        Ok(certificate) => Ok(Some((content, certificate))),
        Err(error) => Err(damaged(path, &error)),
    }
}

/// The trust domain that a certificate issues for, which is its SPIFFE id (X.509-SVID §4.2: without a path).
fn trust_domain_of(path: &Path, certificate: &CertificateDer<'_>) -> Result<String, CaError> {
    let parsed = parse(path, certificate)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(trust_domain), None) => Ok(trust_domain.to_owned()),
        _ => Err(damaged(path, &"it does not name one trust domain")),
    }
}

fn parse<'a>(path: &Path, certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CaError> {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_) => Err(damaged(path, &"its certificate is not X.509")),
    }
}

fn damaged(path: &Path, why: &dyn fmt::Display) -> CaError {
    let remedy = match path.ends_with(ROOT) {
        true => "put it back from a backup",
        false => "remove it, and a new one is made",
    };
    CaError::Damaged { path: path.to_owned(), why: format!("{why}; {remedy}") }
}

/// A certificate that signs others, which have no more than `depth` others between them and it.
fn params(trust_domain: &str, name: &str, depth: u8, validity: Validity) -> CertificateParams {
    let mut params = blank(validity);
    params.distinguished_name.push(DnType::OrganizationName, trust_domain);
    // A rotation has two roots at once: with the same name, one would be tried for what the other has signed.
    let serial = params.serial_number.iter().flat_map(SerialNumber::to_bytes).take(4);
    let serial: String = serial.map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("Taut {name} {serial}"));
    let uri = format!("spiffe://{trust_domain}");
    params.subject_alt_names =
        vec![SanType::URI(uri.try_into().expect("`SpiffeId` has checked that the trust domain is ASCII"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn blank(validity: Validity) -> CertificateParams {
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).expect("the system has randomness, or no key could be made either");
    // Positive, and of the same length always.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
    params
}
