//! Rules about MeshConfig and MeshNetworks.

mod unknown_registry;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[unknown_registry::CHECK];
