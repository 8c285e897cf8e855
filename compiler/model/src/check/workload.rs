//! Rules about workloads.

mod behind;
mod mixed_transports;
mod proxy_user;
mod same_name;
mod shared_target_port;

pub(crate) use self::behind::Behind;
use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[mixed_transports::CHECK, proxy_user::CHECK, same_name::CHECK, shared_target_port::CHECK];
