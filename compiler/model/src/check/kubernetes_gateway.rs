//! Rules about the Kubernetes Gateway API.

mod old_definitions;
mod routes;
mod selected_by_labels;
mod unknown_backend;
mod unknown_parent;

use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[old_definitions::CHECK, selected_by_labels::CHECK, unknown_backend::CHECK, unknown_parent::CHECK];
