//! Rules about AuthorizationPolicies.

mod http_on_tcp;
mod needs_mtls;
mod no_workload;
mod unknown_host;
mod unknown_method;
mod unknown_namespace;
mod unknown_principal;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    http_on_tcp::CHECK,
    needs_mtls::CHECK,
    no_workload::CHECK,
    unknown_host::CHECK,
    unknown_method::CHECK,
    unknown_namespace::CHECK,
    unknown_principal::CHECK,
];
