//! What a workload's certificate says: whose it is, and from when to when.
//!
//! Owns: the reading of a leaf (X.509-SVID §4: exactly one URI, which is the SPIFFE id).
//! May not: believe it. A `Leaf` is what the bytes say; a `VerifiedPeer` is what was proven.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::{BadSpiffeId, SpiffeId};

/// What a certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) id: SpiffeId,
    /// In lower-case hexadecimal, two digits for each byte.
    pub(crate) serial: String,
    pub(crate) validity: Validity,
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last second.
    pub not_after: SystemTime,
}

impl Validity {
    /// How long that is.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// How much of it is left.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// Reads that of any certificate.
    ///
    /// # Errors
    /// If it is not a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Validity, BadLeaf> {
        Validity::read(&read(certificate)?)
    }

    fn read(certificate: &X509Certificate<'_>) -> Result<Validity, BadLeaf> {
        let validity = certificate.validity();
        Ok(Validity { not_before: time(validity.not_before)?, not_after: time(validity.not_after)? })
    }
}

/// Why a certificate is not that of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLeaf {
    /// It cannot be read at all.
    #[error("not an X.509 certificate: {why}")]
    Encoding {
        /// What is wrong.
        why: String,
    },
    /// It does not have exactly one URI.
    #[error("the certificate names {count} URIs, not one SPIFFE id")]
    Uris {
        /// How many it has.
        count: usize,
    },
    /// Its URI is not the id of a workload.
    #[error(transparent)]
    Id(#[from] BadSpiffeId),
}

impl Leaf {
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Result<Leaf, BadLeaf> {
        let certificate = read(certificate)?;
        let names = certificate.subject_alternative_name().map_err(encoding)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = *uris else { return Err(BadLeaf::Uris { count: uris.len() }) };
        let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Leaf { id: SpiffeId::parse(uri)?, serial, validity: Validity::read(&certificate)? })
    }
}

pub(crate) fn read<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, BadLeaf> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(BadLeaf::Encoding { why: "there are bytes after its end".to_owned() }),
        Err(error) => Err(encoding(error)),
    }
}

fn time(time: ASN1Time) -> Result<SystemTime, BadLeaf> {
    u64::try_from(time.timestamp())
        .ok()
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or_else(|| BadLeaf::Encoding { why: "a date before 1970".to_owned() })
}

pub(crate) fn encoding(error: impl std::fmt::Display) -> BadLeaf {
    BadLeaf::Encoding { why: error.to_string() }
}
