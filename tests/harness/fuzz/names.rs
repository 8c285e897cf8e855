//! Any bytes as what members tell each other about who they are.

use taut_ca::JoinToken;
use taut_identity::{Credentials, Fingerprint, SpiffeId, TrustBundle, Validity};
use taut_snapshot::Digest;

/// Whatever is taken is written again as it was read.
///
/// # Panics
/// If it is not.
pub fn names(bytes: &[u8]) {
    if let Ok(bundle) = TrustBundle::from_pem(bytes) {
        let again = TrustBundle::from_pem(bundle.to_pem().as_bytes()).expect("what was written can be read");
        assert_eq!(again.to_pem(), bundle.to_pem());
    }
    let _ = Credentials::from_pem(bytes, bytes, bytes);
    let _ = Validity::of(&bytes.into());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(id.as_str(), text);
        let parts = SpiffeId::workload(id.trust_domain(), id.namespace(), id.service_account());
        assert_eq!(parts.as_ref().map(SpiffeId::as_str), Ok(text));
    }
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.to_text().parse::<JoinToken>().map(|it| it.to_text()), Ok(token.to_text()));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
    let _ = text.parse::<Fingerprint>();
}
