//! Rules about Sidecars.

mod ambient;
mod no_workload;
mod overlapping_selectors;
mod root_selector;
mod several_defaults;
mod unknown_egress_host;
mod unsaid_mode;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    ambient::CHECK,
    no_workload::CHECK,
    overlapping_selectors::CHECK,
    root_selector::CHECK,
    several_defaults::CHECK,
    unknown_egress_host::CHECK,
    unsaid_mode::CHECK,
];
