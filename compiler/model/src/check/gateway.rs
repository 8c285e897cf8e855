//! Rules about Gateways: what they listen to, and with which certificates.

mod bad_certificate;
mod conflicting;
mod duplicate_certificate;
mod no_workload;
mod port_without_service;
mod server_dropped;
mod unknown_secret;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    bad_certificate::CHECK,
    conflicting::CHECK,
    duplicate_certificate::CHECK,
    no_workload::CHECK,
    port_without_service::CHECK,
    server_dropped::CHECK,
    unknown_secret::CHECK,
];
