//! Rules over a TLS or TCP rule (semantics.md §3.1, §3.15).

use taut_source::Node;

use super::{RouteDestination, TcpRoute, TlsRoute, VirtualService, check_gateways};
use crate::grammar::{is_ip, is_wildcard_host};
use crate::read::{At, Reader};
use crate::rules;

impl TlsRoute {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for alternative in &self.matches {
            check_gateways(&alternative.gateways, cx);
        }
        check_shares(&self.route, cx);
    }

    /// Reports server names that are in no host of the object.
    pub(super) fn check_names(&self, of: &VirtualService, cx: &mut Reader<'_>) {
        for name in self.matches.iter().flat_map(|alternative| &alternative.sni_hosts) {
            if is_ip(name) {
                let message = format!("`{}` is an address: clients send no server name for one", name.value);
                cx.say(&rules::DOUBTFUL, name.span, message, "match on `destinationSubnets`");
            } else if !is_wildcard_host(name) {
                let help = "write a name such as `shop.example.com` or `*.example.com`";
                cx.say(&rules::BAD_VALUE, name.span, format!("`{}` is no server name", name.value), help);
            }
            if !is_ip(name) && !of.hosts.iter().any(|host| is_within(name, host)) {
                let hosts: Vec<&str> = of.hosts.iter().map(|host| host.as_str()).collect();
                let message = format!("the server name `{}` is in no host of the object", name.value);
                cx.say(&rules::BAD_VALUE, name.span, message, format!("the hosts are: {}", hosts.join(", ")));
            }
        }
    }
}

impl TcpRoute {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for alternative in &self.matches {
            check_gateways(&alternative.gateways, cx);
        }
        check_shares(&self.route, cx);
    }
}

/// Whether every name of one is a name of the other (semantics.md §1.5).
fn is_within(name: &str, host: &str) -> bool {
    match host.strip_prefix('*') {
        Some(suffix) => name.strip_prefix('*').unwrap_or(name).ends_with(suffix),
        None => name == host,
    }
}

fn check_shares(route: &[RouteDestination], cx: &mut Reader<'_>) {
    check_weights(route.iter().map(|to| (to.span, to.weight)), cx);
}

/// Reports destinations that all have a share of nothing.
pub(super) fn check_weights(
    shares: impl Iterator<Item = (taut_source::Span, Option<At<i32>>)> + Clone,
    cx: &mut Reader<'_>,
) {
    let Some((first, _)) = shares.clone().next() else { return };
    let nothing = shares.clone().all(|(_, weight)| weight.is_none_or(|weight| weight.value == 0));
    if nothing && 1 < shares.count() {
        let message = "the weights of these destinations add up to 0";
        cx.say(&rules::OUT_OF_RANGE, first, message, "give at least one destination a `weight:`");
    }
}
