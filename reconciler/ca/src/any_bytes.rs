//! What must be true of any bytes that this crate reads of others: one function for each kind of reader, which panics where it
//! is not. `tests/fuzz` and `tests/compatibility` drive them; no product is built with them.

use crate::JoinToken;
use crate::csr::PublicKey;
use crate::tokens::parse;

/// No request for a certificate and no text of a token stops the authority; a token that is read is written as it was.
///
/// # Panics
/// If one does.
pub fn requests(bytes: &[u8]) {
    let _ = PublicKey::of_request(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.to_text(), text.trim(), "a token has two texts");
    }
    let _ = parse(text);
}
