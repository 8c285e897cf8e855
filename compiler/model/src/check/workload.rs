//! Rules about workloads.

mod behind;
mod mixed_transports;
mod proxy_user;
mod shared_target_port;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[mixed_transports::CHECK, proxy_user::CHECK, shared_target_port::CHECK];
