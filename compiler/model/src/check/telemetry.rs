//! Rules about Telemetries.

mod no_provider;
mod no_workload;
mod overlapping_selectors;
mod several_defaults;
mod unknown_provider;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    no_provider::CHECK,
    no_workload::CHECK,
    overlapping_selectors::CHECK,
    several_defaults::CHECK,
    unknown_provider::CHECK,
];
