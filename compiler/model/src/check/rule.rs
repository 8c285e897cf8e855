//! Rules about DestinationRules.

mod credential_of_gateways;
mod empty_subset;
mod unknown_credential;
mod unknown_host;
mod unknown_port;
mod unverified_server;
mod unverified_server_port;
mod verified;
mod without_client;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    credential_of_gateways::CHECK,
    empty_subset::CHECK,
    unknown_credential::CHECK,
    unknown_host::CHECK,
    unknown_port::CHECK,
    unverified_server::CHECK,
    unverified_server_port::CHECK,
    without_client::CHECK,
];
