//! Rules about EnvoyFilters.

mod incorrect_add;
mod incorrect_remove;
mod incorrect_replace;
mod relative;
mod relative_operation;
mod relative_operation_by_version;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    incorrect_add::CHECK,
    incorrect_remove::CHECK,
    incorrect_replace::CHECK,
    relative_operation::CHECK,
    relative_operation_by_version::CHECK,
];
