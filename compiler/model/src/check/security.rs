//! Rules about PeerAuthentications and RequestAuthentications.

mod no_workload;
mod plaintext_refused;
mod unrestricted_jwks;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[no_workload::CHECK, plaintext_refused::CHECK, unrestricted_jwks::CHECK];
