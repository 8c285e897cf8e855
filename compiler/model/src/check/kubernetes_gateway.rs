//! Rules about the Kubernetes Gateway API.

mod old_definitions;
mod selected_by_labels;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[old_definitions::CHECK, selected_by_labels::CHECK];
