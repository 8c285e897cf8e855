//! Rules about PeerAuthentications and RequestAuthentications.

mod unrestricted_jwks;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[unrestricted_jwks::CHECK];
