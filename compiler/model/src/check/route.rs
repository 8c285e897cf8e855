//! Rules about VirtualServices: hosts, gateways and destinations.

mod ambiguous_port;
mod claims_without_tokens;
mod conflicting_hosts;
mod dotted_gateway;
mod generated_gateway;
mod host_not_in_gateway;
mod http_on_tcp;
mod ineffective_for_ingress;
mod ineffective_match;
mod lone_weight;
mod repeated;
mod repeated_destination;
mod unknown_gateway;
mod unknown_host;
mod unknown_port;
mod unknown_subset;
mod unreachable_rule;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    ambiguous_port::CHECK,
    claims_without_tokens::CHECK,
    conflicting_hosts::CHECK,
    dotted_gateway::CHECK,
    generated_gateway::CHECK,
    host_not_in_gateway::CHECK,
    http_on_tcp::CHECK,
    ineffective_for_ingress::CHECK,
    ineffective_match::CHECK,
    lone_weight::CHECK,
    repeated_destination::CHECK,
    unknown_gateway::CHECK,
    unknown_host::CHECK,
    unknown_port::CHECK,
    unknown_subset::CHECK,
    unreachable_rule::CHECK,
];
