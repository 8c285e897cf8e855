//! Rules about PeerAuthentications and RequestAuthentications.

mod mtls_refused;
mod no_workload;
mod plaintext_refused;
mod unrestricted_jwks;

use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[no_workload::CHECK, mtls_refused::CHECK, plaintext_refused::CHECK, unrestricted_jwks::CHECK];
