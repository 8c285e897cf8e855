//! TLSRoute, TCPRoute and UDPRoute: routes for whole connections (semantics.md §18.5).
//!
//! `v1alpha2` took several rules; what came after takes one.

use taut_source::{Node, Text};

use super::reference::check_parents;
use super::{DefaultGateways, ParentRef, WeightedBackend};
use crate::grammar::{HOSTNAME, SUBDOMAIN, is_ip};
use crate::message::message;
use crate::read::{At, List, Reader};
use crate::rules;

message! {
    /// Routes for connections of TLS, by server name.
    pub struct TlsRoute {
        /// The gateways that it is attached to.
        parent_refs: List<ParentRef> = "parentRefs", items(..=32);
        /// Whether gateways that are for everyone are parents too.
        use_default_gateways: Option<At<DefaultGateways>> = "useDefaultGateways", refused("name the Gateway in `parentRefs`");
        /// The server names.
        hostnames: List<At<Text>> = "hostnames", items(..=1024), chars(1..=253), is(HOSTNAME);
        /// Where connections go.
        rules: List<ConnectionRule> = "rules", required, items(1..=16), unique("name");
    }
    where check(TlsRoute::check);
}

message! {
    /// Routes for connections of TCP, or packets of UDP.
    pub struct TcpRoute {
        /// The gateways that it is attached to.
        parent_refs: List<ParentRef> = "parentRefs", items(..=32);
        /// Whether gateways that are for everyone are parents too.
        use_default_gateways: Option<At<DefaultGateways>> = "useDefaultGateways", refused("name the Gateway in `parentRefs`");
        /// Where they go.
        rules: List<ConnectionRule> = "rules", required, items(1..=16), unique("name");
    }
    where check(TcpRoute::check);
}

message! {
    /// One rule.
    pub struct ConnectionRule {
        /// Its name.
        name: Option<At<Text>> = "name", chars(1..=253), is(SUBDOMAIN);
        /// Where connections go.
        backend_refs: List<WeightedBackend> = "backendRefs", required, items(1..=16);
    }
}

/// The version that took several rules, and TLSRoutes without hostnames.
const ALPHA: &[&str] = &["v1alpha2"];

fn check_rules(rules: &[ConnectionRule], cx: &mut Reader<'_>) {
    if let Some(second) = rules.get(1).filter(|_| !cx.is_version(ALPHA)) {
        let message = "a route for connections has one rule: a second one could never match";
        cx.say(&rules::SIZE, second.span, message, "join the two, or write a second route");
    }
}

impl TlsRoute {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        check_parents(&self.parent_refs, cx);
        check_rules(&self.rules, cx);
        let named = node.get("hostnames").is_some_and(|names| names.items().next().is_some());
        if !named && !cx.is_version(ALPHA) {
            let message = "a TLSRoute needs the server names that it is for";
            cx.say(&rules::NEEDED, self.span, message, "add `hostnames:`");
        }
        for name in self.hostnames.iter().filter(|name| is_ip(name)) {
            let message = format!("`{}` is an address: clients send no server name for one", name.value);
            cx.say(&rules::BAD_VALUE, name.span, message, "write a host name");
        }
    }
}

impl TcpRoute {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_parents(&self.parent_refs, cx);
        check_rules(&self.rules, cx);
    }
}
