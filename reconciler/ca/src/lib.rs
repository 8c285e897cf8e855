//! The certificate authority of the mesh, and how members get their certificates from it.
//!
//! Owns: the root and the issuing key, join tokens, the decision who may have which certificate, and both ends of the
//! conversation about it (`schemas/ca.proto`). To read in the order of the `mod` lines.
//! May not: take a name from a request; know how snapshots arrive: it is handed the `Authority` object of the active one.
//! Invariant: one folder has one root for ever, and one process at a time that uses it.

mod csr;
mod issue;
mod token;

mod tokens;

mod sign;

mod issuer;

mod wire;

mod client;
mod rotate;
mod serve;

mod error;

#[cfg(any(test, feature = "any-bytes"))]
pub mod any_bytes;

#[cfg(test)]
mod conversations;

pub use client::{KeepFresh, join, keep_fresh, renew};
pub use error::{CaError, ClientError};
pub use issue::{LIFETIME_DEFAULT, LIFETIME_MAX, Refusal, SYSTEM_NAMESPACE};
pub use issuer::{Caller, Issued, Issuer, OWN_ACCOUNT};
pub use serve::serve;
pub use token::{BadToken, JoinToken};
pub use tokens::{TOKEN_LIFETIME_MAX, TokenEntry, TokenState, create_token, list_tokens};
