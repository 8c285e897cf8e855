//! HTTPRoute (semantics.md §18.3, §18.4).

use taut_source::{Node, Span, Text};

use super::filter::{FilterType, HttpFilter, PathModifier, check_filters};
use super::reference::{check_parents, check_port};
use super::{DefaultGateways, ParentRef, SessionPersistence};
use crate::ShortDuration;
use crate::grammar::{API_GROUP, API_KIND, HOSTNAME, NAMESPACE, PATH_CHARACTERS, SUBDOMAIN, TOKEN};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::string_match::check_regex;

message! {
    /// Rules for the requests of some hosts.
    pub struct HttpRoute {
        /// The gateways or services that it is attached to.
        parent_refs: List<ParentRef> = "parentRefs", items(..=32);
        /// Whether gateways that are for everyone are parents too.
        use_default_gateways: Option<At<DefaultGateways>> = "useDefaultGateways", refused("name the Gateway in `parentRefs`");
        /// The hosts; those of the listeners if empty.
        hostnames: List<At<Text>> = "hostnames", items(..=16), chars(1..=253), is(HOSTNAME);
        /// The rules; one for every request if missing.
        rules: List<HttpRule> = "rules", items(1..=16), unique("name");
    }
    where check(HttpRoute::check);
}

message! {
    /// One rule.
    pub struct HttpRule {
        /// Its name.
        name: Option<At<Text>> = "name", chars(1..=253), is(SUBDOMAIN);
        /// What requests it is about: any of these; all if missing.
        matches: List<HttpRouteMatch> = "matches", items(..=64);
        /// What happens on the way.
        filters: List<HttpFilter> = "filters", items(..=16);
        /// Where they go.
        backend_refs: List<HttpBackend> = "backendRefs", items(..=16);
        /// How long it may take.
        timeouts: Option<HttpTimeouts> = "timeouts";
        /// When to try again.
        retry: Option<HttpRouteRetry> = "retry";
        /// Whether requests of one client go to one endpoint.
        session_persistence: Option<SessionPersistence> = "sessionPersistence", refused("use `loadBalancer.consistentHash` in a DestinationRule for the service");
    }
    where check(HttpRule::check);
}

message! {
    /// One alternative of a rule: all of its conditions hold.
    pub struct HttpRouteMatch {
        /// The path; every path if missing.
        path: Option<PathMatch> = "path";
        /// Headers.
        headers: List<HeaderMatch> = "headers", items(..=16), unique("name");
        /// Query parameters.
        query_params: List<QueryMatch> = "queryParams", items(..=16), unique("name");
        /// The method.
        method: Option<At<HttpMethod>> = "method";
    }
}

keyword! {
    /// How a path is compared.
    pub enum PathMatchType {
        /// Equality.
        Exact = "Exact";
        /// Whole segments at the start.
        PathPrefix = "PathPrefix";
        /// RE2 over the whole path.
        RegularExpression = "RegularExpression";
    }
}

message! {
    /// A comparison of the path.
    pub struct PathMatch {
        /// How.
        kind: At<PathMatchType> = "type", default(PathMatchType::PathPrefix);
        /// With what.
        value: At<Text> = "value", chars(..=1024), default(Text::new("/"));
    }
    where check(PathMatch::check);
}

keyword! {
    /// How a header or parameter is compared.
    pub enum ValueMatchType {
        /// Equality.
        Exact = "Exact";
        /// RE2 over the whole value.
        RegularExpression = "RegularExpression";
    }
}

message! {
    /// A comparison of a header.
    pub struct HeaderMatch {
        /// How.
        kind: At<ValueMatchType> = "type", default(ValueMatchType::Exact);
        /// Which header.
        name: At<Text> = "name", chars(1..=256), is(TOKEN);
        /// With what.
        value: At<Text> = "value", chars(1..=4096);
    }
    where check(HeaderMatch::check);
}

message! {
    /// A comparison of a query parameter.
    pub struct QueryMatch {
        /// How.
        kind: At<ValueMatchType> = "type", default(ValueMatchType::Exact);
        /// Which parameter.
        name: At<Text> = "name", chars(1..=256), is(TOKEN);
        /// With what.
        value: At<Text> = "value", chars(1..=1024);
    }
    where check(QueryMatch::check);
}

keyword! {
    /// A method of HTTP.
    pub enum HttpMethod {
        /// GET.
        Get = "GET";
        /// HEAD.
        Head = "HEAD";
        /// POST.
        Post = "POST";
        /// PUT.
        Put = "PUT";
        /// DELETE.
        Delete = "DELETE";
        /// CONNECT.
        Connect = "CONNECT";
        /// OPTIONS.
        Options = "OPTIONS";
        /// TRACE.
        Trace = "TRACE";
        /// PATCH.
        Patch = "PATCH";
    }
}

message! {
    /// Where a share of the requests goes.
    pub struct HttpBackend {
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
        filters: List<HttpFilter> = "filters", items(..=16);
    }
    where check(HttpBackend::check);
}

message! {
    /// How long a request may take; 0s means no limit.
    pub struct HttpTimeouts {
        /// In all.
        request: Option<At<ShortDuration>> = "request";
        /// Each time it is tried.
        backend_request: Option<At<ShortDuration>> = "backendRequest";
    }
    where check(HttpTimeouts::check);
}

message! {
    /// When to try again.
    pub struct HttpRouteRetry {
        /// The statuses that mean so.
        codes: List<At<u32>> = "codes", range(400..=599), unique();
        /// How often.
        attempts: Option<At<u32>> = "attempts", range(1..);
        /// The shortest pause between two tries.
        backoff: Option<At<ShortDuration>> = "backoff";
    }
}

/// The most matches that all rules of a route have together.
pub(super) const MATCHES_MAX: usize = 128;

/// Reports a route with too many matches. A rule without any has one.
pub(super) fn check_matches(counts: impl Iterator<Item = usize>, span: Span, cx: &mut Reader<'_>) {
    let sum: usize = counts.sum();
    if MATCHES_MAX < sum {
        let message = format!("the rules of this route have {sum} matches together");
        cx.say(&rules::SIZE, span, message, format!("write at most {MATCHES_MAX}, or a second route"));
    }
}

impl HttpRoute {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_parents(&self.parent_refs, cx);
        check_matches(self.rules.iter().map(|rule| rule.matches.len().max(1)), self.span, cx);
    }
}

impl HttpRule {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        check_filters(&self.filters, cx);
        let redirect = self.filters.iter().find(|filter| filter.request_redirect.is_some());
        if let (Some(redirect), Some(_)) = (redirect, self.backend_refs.first()) {
            let message = "a redirect is an answer: nothing goes to `backendRefs`";
            cx.say(&rules::EXCLUSIVE, redirect.span, message, "take the filter or `backendRefs` away");
        }
        // A missing list of matches is one of a prefix, which the API server fills in; an empty one has none.
        let missing = node.get("matches").is_none_or(|matches| matches.is_null());
        let by_prefix = match self.matches.as_slice() {
            [] => missing,
            [one] => one.path.as_ref().is_none_or(|path| path.kind.value == PathMatchType::PathPrefix),
            _ => false,
        };
        let below = self.backend_refs.iter().flat_map(|backend| &backend.filters);
        for path in self.filters.iter().chain(below).filter_map(changed_path) {
            if path.replace_prefix_match.is_some() && !by_prefix {
                let message = "`replacePrefixMatch` needs a rule with exactly one match, by PathPrefix";
                cx.say(&rules::EXCLUSIVE, path.span, message, "split the rule, or use `replaceFullPath`");
            }
        }
    }
}

fn changed_path(filter: &HttpFilter) -> Option<&PathModifier> {
    match filter.kind.value {
        FilterType::RequestRedirect => filter.request_redirect.as_ref()?.path.as_ref(),
        FilterType::UrlRewrite => filter.url_rewrite.as_ref()?.path.as_ref(),
        _ => None,
    }
}

/// What no path has once it is in its normal form, so that it could never match.
const NEVER_IN_PATHS: &[&str] = &["//", "/./", "/../", "%2f", "%2F", "#"];

impl PathMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let text = self.value.as_str();
        if self.kind.value == PathMatchType::RegularExpression {
            return check_regex(text, self.value.span, cx);
        }
        let never = NEVER_IN_PATHS.iter().find(|part| text.contains(**part));
        let never = never.or(["/..", "/."].iter().find(|end| text.ends_with(**end)));
        if !text.starts_with('/') {
            let message = format!("`{text}` does not start with `/`, as every path does");
            cx.say(&rules::BAD_VALUE, self.value.span, message, format!("write `/{text}`"));
        } else if let Some(part) = never {
            let message = format!("no path has `{part}` in it, as `{text}` has");
            cx.say(&rules::BAD_VALUE, self.value.span, message, "write the path in its normal form");
        } else if !(PATH_CHARACTERS.holds)(text) {
            let message = format!("`{text}` is not {}", PATH_CHARACTERS.what);
            cx.say(&rules::BAD_VALUE, self.value.span, message, PATH_CHARACTERS.help);
        }
    }
}

impl HeaderMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if self.kind.value == ValueMatchType::RegularExpression {
            check_regex(&self.value, self.value.span, cx);
        }
    }
}

impl QueryMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if self.kind.value == ValueMatchType::RegularExpression {
            check_regex(&self.value, self.value.span, cx);
        }
    }
}

impl HttpBackend {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_port(&self.group, &self.kind, self.port, &self.name, cx);
        check_filters(&self.filters, cx);
    }
}

impl HttpTimeouts {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let (Some(all), Some(each)) = (self.request, self.backend_request) else { return };
        if all.value.0.as_millis() != 0 && all.value < each.value {
            let message = "one try may take longer than the whole request";
            cx.say(&rules::OUT_OF_RANGE, each.span, message, "write a shorter `backendRequest`");
        }
    }
}
