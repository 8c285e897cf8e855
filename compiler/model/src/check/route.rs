//! Rules about VirtualServices: hosts, gateways and destinations.

mod ambiguous_port;
mod conflicting_hosts;
mod generated_gateway;
mod host_not_in_gateway;
mod ineffective_for_ingress;
mod unknown_gateway;
mod unknown_host;
mod unknown_port;
mod unknown_subset;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    ambiguous_port::CHECK,
    conflicting_hosts::CHECK,
    generated_gateway::CHECK,
    host_not_in_gateway::CHECK,
    ineffective_for_ingress::CHECK,
    unknown_gateway::CHECK,
    unknown_host::CHECK,
    unknown_port::CHECK,
    unknown_subset::CHECK,
];
