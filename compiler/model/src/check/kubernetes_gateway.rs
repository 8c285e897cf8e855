//! Rules about the Kubernetes Gateway API. Where a condition of a status is not as it should be, one of them says so.

mod invalid_listener;
mod listener_conflict;
mod listener_dropped;
mod nobody_picks;
mod not_accepted;
mod not_attached;
mod not_programmed;
mod not_run;
mod old_definitions;
mod policy_not_accepted;
mod routes;
mod same_address;
mod selected_by_labels;
mod unknown_backend;
mod unknown_grantee;
mod unknown_parent;
mod unknown_target;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    invalid_listener::CHECK,
    listener_conflict::CHECK,
    listener_dropped::CHECK,
    nobody_picks::CHECK,
    not_accepted::CHECK,
    not_attached::CHECK,
    not_programmed::CHECK,
    not_run::CHECK,
    old_definitions::CHECK,
    policy_not_accepted::CHECK,
    same_address::CHECK,
    selected_by_labels::CHECK,
    unknown_backend::CHECK,
    unknown_grantee::CHECK,
    unknown_parent::CHECK,
    unknown_target::CHECK,
];
