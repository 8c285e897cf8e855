//! Any bytes as what processes of the mesh get from others, and from their disks.

use taut_identity::{Credentials, Presented, SpiffeId, TrustBundle};
use taut_resources::{parse_log_filter, parse_log_format};

/// The first bytes of a connection.
///
/// # Panics
/// If a promise of the proxy's does not hold.
pub fn beginnings(bytes: &[u8]) {
    taut_proxy::any_bytes::beginnings(bytes);
}

/// The headers of a request: traces, peers, tokens; and sets of keys.
///
/// # Panics
/// If a promise of the proxy's does not hold.
pub fn headers(bytes: &[u8]) {
    taut_proxy::any_bytes::headers(bytes);
    taut_proxy::any_bytes::tokens(bytes);
}

/// What collectors and authorizers answer.
///
/// # Panics
/// If one stops the proxy.
pub fn answers(bytes: &[u8]) {
    taut_proxy::any_bytes::answers(bytes);
}

/// Messages between the reconciler and its members, and what both keep.
///
/// # Panics
/// If what is read is written as something else.
pub fn frames(bytes: &[u8]) {
    taut_delivery::any_bytes::frames(bytes);
    taut_control::any_bytes::entries(bytes);
}

/// Requests for certificates, certificates, bundles and identities.
///
/// # Panics
/// If an identity is written as something else than it was read from.
pub fn certificates(bytes: &[u8]) {
    taut_ca::any_bytes::requests(bytes);
    let _ = Presented::read(&bytes.to_vec().into());
    let _ = TrustBundle::from_pem(bytes);
    let _ = Credentials::from_pem(bytes, bytes, bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(id.as_str(), text, "an identity has two texts");
    }
}

/// How lines of the access log are written, and which there are.
///
/// # Panics
/// If a text stops the reader.
pub fn log_formats(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_log_format(text);
    let _ = parse_log_filter(text);
}
