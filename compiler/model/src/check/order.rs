//! Rules about what only the age of objects would decide.

mod destination_rules;
mod gateway_routes;
mod peer_authentications;
mod witness;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[destination_rules::CHECK, gateway_routes::CHECK, peer_authentications::CHECK];

pub(super) use witness::{Together, witness};
