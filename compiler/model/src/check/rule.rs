//! Rules about DestinationRules.

mod empty_subset;
mod unknown_host;
mod unverified_server;
mod unverified_server_port;
mod verified;

use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[empty_subset::CHECK, unknown_host::CHECK, unverified_server::CHECK, unverified_server_port::CHECK];
