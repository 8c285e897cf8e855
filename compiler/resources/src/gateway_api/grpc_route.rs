//! GRPCRoute (semantics.md §18.5).

use taut_source::{Node, Text};

use super::filter::{GrpcFilter, check_grpc_filters};
use super::http_route::{HeaderMatch, ValueMatchType, check_matches};
use super::reference::{check_parents, check_port};
use super::{DefaultGateways, ParentRef, SessionPersistence};
use crate::grammar::{API_GROUP, API_KIND, GRPC_METHOD, GRPC_SERVICE, Grammar, HOSTNAME, NAMESPACE, SUBDOMAIN};
use crate::message::message;
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::string_match::check_regex;

message! {
    /// Rules for the gRPC requests of some hosts.
    pub struct GrpcRoute {
        /// The gateways or services that it is attached to.
        parent_refs: List<ParentRef> = "parentRefs", items(..=32);
        /// Whether gateways that are for everyone are parents too.
        use_default_gateways: Option<At<DefaultGateways>> = "useDefaultGateways", refused("name the Gateway in `parentRefs`");
        /// The hosts; those of the listeners if empty.
        hostnames: List<At<Text>> = "hostnames", items(..=16), chars(1..=253), is(HOSTNAME);
        /// The rules.
        rules: List<GrpcRule> = "rules", items(..=16), unique("name");
    }
    where check(GrpcRoute::check);
}

message! {
    /// One rule.
    pub struct GrpcRule {
        /// Its name.
        name: Option<At<Text>> = "name", chars(1..=253), is(SUBDOMAIN);
        /// What requests it is about: any of these; all if empty.
        matches: List<GrpcRouteMatch> = "matches", items(..=64);
        /// What happens on the way.
        filters: List<GrpcFilter> = "filters", items(..=16);
        /// Where they go.
        backend_refs: List<GrpcBackend> = "backendRefs", items(..=16);
        /// Whether requests of one client go to one endpoint.
        session_persistence: Option<SessionPersistence> = "sessionPersistence", refused("use `loadBalancer.consistentHash` in a DestinationRule for the service");
    }
    where check(GrpcRule::check);
}

message! {
    /// One alternative of a rule: all of its conditions hold.
    pub struct GrpcRouteMatch {
        /// The method; every method if missing.
        method: Option<MethodMatch> = "method";
        /// Headers.
        headers: List<HeaderMatch> = "headers", items(..=16), unique("name");
    }
}

message! {
    /// A comparison of the method.
    pub struct MethodMatch {
        /// How.
        kind: At<ValueMatchType> = "type", default(ValueMatchType::Exact);
        /// With which service; any if missing.
        service: Option<At<Text>> = "service", chars(..=1024);
        /// With which method of it; any if missing.
        method: Option<At<Text>> = "method", chars(..=1024);
    }
    where at_least_one("service", "method"), check(MethodMatch::check);
}

message! {
    /// Where a share of the requests goes.
    pub struct GrpcBackend {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::default());
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Service"));
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the route's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
        /// Its port, which a Service must have.
        port: Option<At<Port>> = "port";
        /// Its share, in proportion to the others'.
        weight: At<u32> = "weight", range(0..=1000000), default(1);
        /// What happens on the way there alone.
        filters: List<GrpcFilter> = "filters", items(..=16);
    }
    where check(GrpcBackend::check);
}

impl GrpcRoute {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_parents(&self.parent_refs, cx);
        check_matches(self.rules.iter().map(|rule| rule.matches.len()), self.span, cx);
    }
}

impl GrpcRule {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_grpc_filters(&self.filters, cx);
    }
}

impl MethodMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let fields: [(&Option<At<Text>>, &'static Grammar); 2] =
            [(&self.service, &GRPC_SERVICE), (&self.method, &GRPC_METHOD)];
        for (field, grammar) in fields {
            let Some(text) = field else { continue };
            if self.kind.value == ValueMatchType::RegularExpression {
                check_regex(text, text.span, cx);
            } else if !(grammar.holds)(text) {
                cx.say(&rules::BAD_VALUE, text.span, format!("`{}` is not {}", text.value, grammar.what), grammar.help);
            }
        }
    }
}

impl GrpcBackend {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_port(&self.group, &self.kind, self.port, &self.name, cx);
        check_grpc_filters(&self.filters, cx);
    }
}
