//! Rules about AuthorizationPolicies.

mod no_workload;
mod unknown_namespace;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[no_workload::CHECK, unknown_namespace::CHECK];
