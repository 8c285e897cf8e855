//! Rules about webhooks of a control plane.

mod control_plane_by_address;
mod external;
mod overlap;
mod unreachable_control_plane;

use crate::check::Check;

pub(super) const CHECKS: &[Check] =
    &[control_plane_by_address::CHECK, overlap::CHECK, unreachable_control_plane::CHECK];
