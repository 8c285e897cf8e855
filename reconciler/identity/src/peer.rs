//! Who is at the other end of a connection.
//!
//! Owns: which peers are accepted, and the proof that one was.
//! May not: check chains; `bundle` does, and `tls` calls both.
//! Invariant: a `VerifiedPeer` is only made from the session of a handshake, and its certificate passed the verifier.

use std::collections::BTreeSet;
use std::io;

use rustls::{CertificateError, CommonState, OtherError};
use rustls_pki_types::CertificateDer;

use crate::leaf::Leaf;
use crate::{BadLeaf, Fingerprint, LiveIdentity, SpiffeId, Validity};

/// Who may be at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// One of these, exactly. None, if it is empty.
    AnyOf(BTreeSet<SpiffeId>),
    /// Anyone of our own trust domain, or of an alias of it.
    TrustDomain,
}

/// Why a peer was refused although its chain leads to a root. It is the peer that must change, or what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// Its certificate is not a workload's.
    #[error(transparent)]
    Leaf(#[from] BadLeaf),
    /// It is someone else.
    #[error("the peer is `{peer}`; accepted is {accepted}")]
    NotAccepted {
        /// Who it is.
        peer: SpiffeId,
        /// Whom we accept.
        accepted: String,
    },
    /// It shows no root with the fingerprint that was asked for.
    #[error("the peer's chain does not end in the root with the fingerprint {wanted}")]
    OtherRoot {
        /// The fingerprint.
        wanted: Fingerprint,
    },
}

impl Accepted {
    /// Checks who a certificate is for.
    pub(crate) fn check(&self, certificate: &CertificateDer<'_>, identity: &LiveIdentity) -> Result<(), PeerRefused> {
        let peer = Leaf::read(certificate)?.id;
        let accepted = match self {
            Accepted::AnyOf(ids) if ids.contains(&peer) => return Ok(()),
            Accepted::TrustDomain if identity.is_of_trust_domain(&peer) => return Ok(()),
            Accepted::AnyOf(ids) => listed(ids),
            Accepted::TrustDomain => {
                format!("any workload of the trust domain `{}`", identity.current().id().trust_domain())
            }
        };
        Err(PeerRefused::NotAccepted { peer, accepted })
    }
}

/// The first few of some ids: a service may have hundreds, and this ends in a line of a log.
fn listed(ids: &BTreeSet<SpiffeId>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("`{id}`")).collect();
    match ids.len() {
        0 => "nobody".to_owned(),
        count if SHOWN < count => format!("{} or one of {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(" or "),
    }
}

/// The refusal behind the error of a handshake, if it was ours.
#[must_use]
pub fn peer_refused(error: &io::Error) -> Option<&PeerRefused> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.downcast_ref(),
        _ => None,
    }
}

/// Why a handshake failed, in words: rustls alone would write the fields of a refusal.
#[must_use]
pub fn explain_handshake(error: &io::Error) -> String {
    if let Some(refused) = peer_refused(error) {
        return refused.to_string();
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "the peer's certificate does not lead to a root that is trusted here".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => format!("the peer refused us, with the alert {alert:?}"),
        Some(rustls::Error::InvalidMessage(_)) => "the peer does not speak TLS".to_owned(),
        _ => error.to_string(),
    }
}

/// A peer that has proven who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPeer {
    leaf: Leaf,
}

impl VerifiedPeer {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// The serial number of its certificate, in lower-case hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.leaf.serial
    }

    /// From when to when its certificate is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.leaf.validity
    }
}

/// Who is at the other end of a session, after a handshake with one of this crate's configurations: these let no
/// certificate through that was not verified. `None` before the end of the handshake, and for a client without one.
#[must_use]
pub fn verified_peer(session: &CommonState) -> Option<VerifiedPeer> {
    if session.is_handshaking() {
        return None;
    }
    let leaf = Leaf::read(session.peer_certificates()?.first()?).ok()?;
    Some(VerifiedPeer { leaf })
}
