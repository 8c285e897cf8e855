//! Rules about Services and ServiceEntries.

mod entry_protocols;
mod entry_without_address;
mod external_name_port;
mod nobody_listens;
mod rival_entries;
mod skipped;
mod unknown_protocol;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    entry_protocols::CHECK,
    entry_without_address::CHECK,
    external_name_port::CHECK,
    nobody_listens::CHECK,
    rival_entries::CHECK,
    unknown_protocol::CHECK,
];
