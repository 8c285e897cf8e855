//! Rules about Sidecars.

mod ambient;
mod no_workload;
mod overlapping_selectors;
mod several_defaults;

use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[ambient::CHECK, no_workload::CHECK, overlapping_selectors::CHECK, several_defaults::CHECK];
