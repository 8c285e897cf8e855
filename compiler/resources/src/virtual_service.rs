//! VirtualService (semantics.md §3): which requests go where.
//!
//! Owns: the fields of the kind. The rules over several fields are in `http` and `connection`.

mod connection;
mod http;

use taut_source::{Node, Text};

use crate::export_to::check_export_to;
use crate::grammar::{
    CORS_HEADER, CORS_METHOD, DESTINATION_HOST, HEADER_VALUE, IP_OR_BLOCK, LABEL, LABEL_KEY, LABEL_VALUE,
    MATCHED_HEADER, is_fqdn, is_ip, is_label, is_wildcard_host,
};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Named, Reader, TextAt};
use crate::rules;
use crate::scalar::{Base64, Percent, Port, PortRef};
use crate::{Duration, StringMatch};

pub use http::RETRY_WORDS;

message! {
    /// Routing rules for some hosts.
    pub struct VirtualService {
        /// The hosts. A short name is one of the object's own namespace. Without any it is a delegate.
        hosts: List<At<Text>> = "hosts";
        /// The gateways that use it; `mesh` means all sidecars, and is meant if the list is missing.
        gateways: List<At<Text>> = "gateways";
        /// HTTP rules, tried in order.
        http: List<HttpRoute> = "http";
        /// TLS rules by server name.
        tls: List<TlsRoute> = "tls";
        /// TCP rules.
        tcp: List<TcpRoute> = "tcp";
        /// The namespaces whose proxies may use it.
        export_to: List<At<Text>> = "exportTo";
    }
    where check(VirtualService::check);
}

message! {
    /// One HTTP rule.
    pub struct HttpRoute {
        /// The name that logs and metrics show.
        name: Option<At<Text>> = "name";
        /// What requests it is about: any of these; all requests if missing.
        matches: List<HttpMatch> = "match";
        /// Where they go.
        route: List<HttpDestination> = "route";
        /// Answers with a redirect.
        redirect: Option<Box<HttpRedirect>> = "redirect";
        /// Answers without asking anyone.
        direct_response: Option<Box<HttpDirectResponse>> = "directResponse";
        /// Continues with the rules of another VirtualService.
        delegate: Option<Box<Delegate>> = "delegate";
        /// Changes the path or host on the way.
        rewrite: Option<Box<HttpRewrite>> = "rewrite";
        /// The most that the whole exchange may take; no limit if missing.
        timeout: Option<At<Duration>> = "timeout";
        /// When and how often to try again.
        retries: Option<Box<HttpRetry>> = "retries";
        /// Delays or fails requests on purpose.
        fault: Option<Box<HttpFault>> = "fault";
        /// Sends a copy elsewhere.
        mirror: Option<Box<Destination>> = "mirror";
        /// Sends copies elsewhere.
        mirrors: List<HttpMirror> = "mirrors";
        /// How many percent to copy, the old way.
        mirror_percent: Option<At<u32>> = "mirrorPercent", alias("mirror_percent"), deprecated("use `mirrorPercentage`"), range(0..=100);
        /// How much to copy; all if missing.
        mirror_percentage: Option<Box<Percent>> = "mirrorPercentage";
        /// Answers of other origins.
        cors_policy: Option<Box<CorsPolicy>> = "corsPolicy";
        /// Header changes.
        headers: Option<Box<HeaderChanges>> = "headers";
    }
}

message! {
    /// One alternative of a rule: all of its conditions hold.
    pub struct HttpMatch {
        /// Added to the rule's name.
        name: Option<At<Text>> = "name";
        /// The path, without the query.
        uri: Option<Box<StringMatch>> = "uri";
        /// The scheme.
        scheme: Option<Box<StringMatch>> = "scheme";
        /// The method.
        method: Option<Box<StringMatch>> = "method";
        /// The Host header as it was sent, port included.
        authority: Option<Box<StringMatch>> = "authority";
        /// Headers by name.
        headers: Named<StringMatch> = "headers", keys(MATCHED_HEADER);
        /// Query parameters by name.
        query_params: Named<StringMatch> = "queryParams";
        /// Headers that must not match.
        without_headers: Named<StringMatch> = "withoutHeaders", keys(MATCHED_HEADER);
        /// The port that the client asked for.
        port: Option<At<u32>> = "port", range(0..=65535);
        /// Labels of the client.
        source_labels: Labels = "sourceLabels", keys(LABEL_KEY), is(LABEL_VALUE);
        /// Namespace of the client.
        source_namespace: Option<Box<At<Text>>> = "sourceNamespace", if_set(LABEL);
        /// Gateways that this alternative is for.
        gateways: List<At<Text>> = "gateways";
        /// Compares the path without regard to case.
        ignore_uri_case: Option<At<bool>> = "ignoreUriCase";
        /// A prefix for statistics.
        stat_prefix: Option<TextAt> = "statPrefix", refused("requests are counted by service and workload: leave `statPrefix` out");
    }
}

message! {
    /// One of the services that a rule sends to.
    pub struct HttpDestination {
        /// The service.
        destination: Destination = "destination";
        /// Its share, in proportion to the others'.
        weight: Option<At<i32>> = "weight", range(0..);
        /// Header changes for this destination alone.
        headers: Option<Box<HeaderChanges>> = "headers";
    }
}

message! {
    /// A service, or a subset of one.
    pub struct Destination {
        /// The service's host. A short name is one of the object's own namespace.
        host: At<Text> = "host", is(DESTINATION_HOST);
        /// A subset that a DestinationRule declares.
        subset: Option<At<Text>> = "subset", if_set(LABEL);
        /// The port, if the service has several.
        port: Option<PortRef> = "port";
    }
}

message! {
    /// A VirtualService without hosts, whose rules continue this one.
    pub struct Delegate {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Its namespace; the object's own if missing.
        namespace: Option<At<Text>> = "namespace";
    }
}

keyword! {
    /// Where the port of a redirect comes from.
    pub enum RedirectPort {
        /// None is written: the scheme's own.
        ProtocolDefault = "FROM_PROTOCOL_DEFAULT";
        /// The port that the request came to.
        RequestPort = "FROM_REQUEST_PORT";
    }
}

message! {
    /// Answers with another address.
    pub struct HttpRedirect {
        /// The new path.
        uri: Option<At<Text>> = "uri";
        /// What the matched prefix becomes.
        prefix_rewrite: Option<At<Text>> = "prefixRewrite";
        /// The new host.
        authority: Option<At<Text>> = "authority";
        /// The new port.
        port: Option<At<Port>> = "port";
        /// Where the new port comes from.
        derive_port: Option<At<RedirectPort>> = "derivePort";
        /// `http` or `https`.
        scheme: Option<At<Text>> = "scheme";
        /// The status; 301 if missing.
        redirect_code: Option<At<u32>> = "redirectCode";
    }
    where at_most_one("uri", "prefixRewrite"), at_most_one("port", "derivePort"),
        at_least_one("uri", "prefixRewrite", "authority", "scheme", "port", "derivePort"), check(HttpRedirect::check);
}

message! {
    /// An answer that no service gives.
    pub struct HttpDirectResponse {
        /// The status.
        status: At<u32> = "status", range(200..=600);
        /// The body; empty if missing.
        body: Option<HttpBody> = "body";
    }
}

message! {
    /// A fixed body: text or bytes.
    pub struct HttpBody {
        /// As text.
        string: Option<At<Text>> = "string";
        /// In base64.
        bytes: Option<At<Base64>> = "bytes";
    }
    where at_most_one("string", "bytes"), check(HttpBody::check);
}

message! {
    /// Changes of path and host on the way to the service.
    pub struct HttpRewrite {
        /// What the matched prefix, or path, becomes.
        uri: Option<At<Text>> = "uri";
        /// The new host.
        authority: Option<At<Text>> = "authority";
        /// Replaces within the path.
        uri_regex_rewrite: Option<RegexRewrite> = "uriRegexRewrite";
    }
    where at_most_one("uri", "uriRegexRewrite"), at_least_one("uri", "authority", "uriRegexRewrite");
}

message! {
    /// Replaces every match of a pattern in the path.
    pub struct RegexRewrite {
        /// The RE2 pattern.
        pattern: At<Text> = "match";
        /// What each match becomes; `\1` stands for the first group.
        rewrite: At<Text> = "rewrite", chars(1..);
    }
    where check(RegexRewrite::check);
}

message! {
    /// When and how often to try again.
    pub struct HttpRetry {
        /// How many tries follow the first; 0 means none.
        attempts: Option<At<i32>> = "attempts", range(0..);
        /// The most that one try may take; the rule's timeout if missing.
        per_try_timeout: Option<At<Duration>> = "perTryTimeout";
        /// Conditions, separated by commas.
        retry_on: Option<At<Text>> = "retryOn";
        /// Whether endpoints of other localities are tried.
        retry_remote_localities: Option<At<bool>> = "retryRemoteLocalities", inert("without locality balancing every endpoint is tried alike");
        /// Whether endpoints that failed are avoided; true if missing.
        retry_ignore_previous_hosts: Option<At<bool>> = "retryIgnorePreviousHosts";
        /// The shortest pause between tries; 25ms if missing.
        backoff: Option<At<Duration>> = "backoff";
    }
    where check(HttpRetry::check);
}

message! {
    /// Faults put into requests on purpose.
    pub struct HttpFault {
        /// Lets some wait.
        delay: Option<FaultDelay> = "delay";
        /// Lets some fail.
        abort: Option<FaultAbort> = "abort";
    }
    where at_least_one("delay", "abort");
}

message! {
    /// A pause before a request goes on.
    pub struct FaultDelay {
        /// How long.
        fixed_delay: Option<At<Duration>> = "fixedDelay";
        /// Never built.
        exponential_delay: Option<At<Duration>> = "exponentialDelay";
        /// How many percent of the requests, the old way.
        percent: Option<At<i32>> = "percent", deprecated("use `percentage`"), range(0..=100);
        /// How many of the requests; none if missing.
        percentage: Option<Percent> = "percentage";
    }
    where at_most_one("fixedDelay", "exponentialDelay"), check(FaultDelay::check);
}

message! {
    /// A failure in place of an answer.
    pub struct FaultAbort {
        /// The status.
        http_status: Option<At<i32>> = "httpStatus", range(200..=600);
        /// The status of gRPC, by name.
        grpc_status: Option<At<GrpcStatus>> = "grpcStatus";
        /// Never built.
        http2_error: Option<At<Text>> = "http2Error";
        /// How many of the requests; none if missing.
        percentage: Option<Percent> = "percentage";
    }
    where at_most_one("httpStatus", "grpcStatus", "http2Error"), check(FaultAbort::check);
}

keyword! {
    /// A status of gRPC.
    pub enum GrpcStatus {
        /// 0.
        Ok = "OK";
        /// 1, as the API spells it.
        Cancelled = "CANCELLED";
        /// 2.
        Unknown = "UNKNOWN";
        /// 3.
        InvalidArgument = "INVALID_ARGUMENT";
        /// 4.
        DeadlineExceeded = "DEADLINE_EXCEEDED";
        /// 5.
        NotFound = "NOT_FOUND";
        /// 6.
        AlreadyExists = "ALREADY_EXISTS";
        /// 7.
        PermissionDenied = "PERMISSION_DENIED";
        /// 8.
        ResourceExhausted = "RESOURCE_EXHAUSTED";
        /// 9.
        FailedPrecondition = "FAILED_PRECONDITION";
        /// 10.
        Aborted = "ABORTED";
        /// 11.
        OutOfRange = "OUT_OF_RANGE";
        /// 12.
        Unimplemented = "UNIMPLEMENTED";
        /// 13.
        Internal = "INTERNAL";
        /// 14.
        Unavailable = "UNAVAILABLE";
        /// 15.
        DataLoss = "DATA_LOSS";
        /// 16.
        Unauthenticated = "UNAUTHENTICATED";
    }
}

message! {
    /// One of several copies.
    pub struct HttpMirror {
        /// Where it goes.
        destination: Destination = "destination";
        /// How much is copied; all if missing.
        percentage: Option<Percent> = "percentage";
    }
}

keyword! {
    /// What happens to a preflight whose origin is not allowed.
    pub enum UnmatchedPreflights {
        /// FORWARD.
        Unspecified = "UNSPECIFIED";
        /// It goes on to the service.
        Forward = "FORWARD";
        /// It is answered without CORS headers.
        Ignore = "IGNORE";
    }
}

message! {
    /// Which other origins may read answers.
    pub struct CorsPolicy {
        /// The origins, the old way: exact.
        allow_origin: List<At<Text>> = "allowOrigin", deprecated("use `allowOrigins`");
        /// The origins.
        allow_origins: List<StringMatch> = "allowOrigins";
        /// The methods.
        allow_methods: List<At<Text>> = "allowMethods", is(CORS_METHOD);
        /// The headers that a request may have.
        allow_headers: List<At<Text>> = "allowHeaders", is(CORS_HEADER);
        /// The headers of an answer that a page may read.
        expose_headers: List<At<Text>> = "exposeHeaders", is(CORS_HEADER);
        /// How long a browser may remember this; whole seconds.
        max_age: Option<At<Duration>> = "maxAge";
        /// Whether cookies may be sent.
        allow_credentials: Option<At<bool>> = "allowCredentials";
        /// What happens to other preflights.
        unmatched_preflights: Option<At<UnmatchedPreflights>> = "unmatchedPreflights";
    }
    where check(CorsPolicy::check);
}

message! {
    /// Header changes of requests and of responses.
    pub struct HeaderChanges {
        /// Of requests.
        request: Option<HeaderOperations> = "request";
        /// Of responses.
        response: Option<HeaderOperations> = "response";
    }
    where check(HeaderChanges::check);
}

message! {
    /// Header changes, in the order remove, set, add.
    pub struct HeaderOperations {
        /// Replaces every value.
        set: Labels = "set", is(HEADER_VALUE);
        /// Adds a value.
        add: Labels = "add", is(HEADER_VALUE);
        /// Takes the header away.
        remove: List<At<Text>> = "remove";
    }
}

message! {
    /// One rule for TLS that is passed on.
    pub struct TlsRoute {
        /// What connections it is about: any of these.
        matches: List<TlsMatch> = "match", required, items(1..);
        /// Where they go.
        route: List<RouteDestination> = "route", items(1..);
    }
    where check(TlsRoute::check);
}

message! {
    /// One alternative of a TLS rule.
    pub struct TlsMatch {
        /// Server names, each within a host of the object.
        sni_hosts: List<At<Text>> = "sniHosts", required, items(1..);
        /// Addresses that the client asked for.
        destination_subnets: List<At<Text>> = "destinationSubnets", is(IP_OR_BLOCK);
        /// The port that the client asked for.
        port: Option<At<u32>> = "port", range(0..=65535);
        /// Labels of the client.
        source_labels: Labels = "sourceLabels", keys(LABEL_KEY), is(LABEL_VALUE);
        /// Gateways that this alternative is for.
        gateways: List<At<Text>> = "gateways";
        /// Namespace of the client.
        source_namespace: Option<At<Text>> = "sourceNamespace";
    }
}

message! {
    /// One rule for TCP.
    pub struct TcpRoute {
        /// What connections it is about: any of these; all if missing.
        matches: List<TcpMatch> = "match";
        /// Where they go.
        route: List<RouteDestination> = "route", items(1..);
    }
    where check(TcpRoute::check);
}

message! {
    /// One alternative of a TCP rule.
    pub struct TcpMatch {
        /// Addresses that the client asked for.
        destination_subnets: List<At<Text>> = "destinationSubnets", is(IP_OR_BLOCK);
        /// The port that the client asked for.
        port: Option<At<u32>> = "port", range(0..=65535);
        /// Unused in Istio as well.
        source_subnet: Option<At<Text>> = "sourceSubnet", inert("Istio does not use it either");
        /// Labels of the client.
        source_labels: Labels = "sourceLabels", keys(LABEL_KEY), is(LABEL_VALUE);
        /// Gateways that this alternative is for.
        gateways: List<At<Text>> = "gateways";
        /// Namespace of the client.
        source_namespace: Option<At<Text>> = "sourceNamespace";
    }
}

message! {
    /// One of the services that a TLS or TCP rule sends to.
    pub struct RouteDestination {
        /// The service.
        destination: Destination = "destination";
        /// Its share, in proportion to the others'.
        weight: Option<At<i32>> = "weight", range(0..);
    }
}

impl VirtualService {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        if self.http.is_empty() && self.tls.is_empty() && self.tcp.is_empty() {
            let help = "add at least one rule under `http:`";
            cx.say(&rules::NEEDED, self.span, "a virtual service needs a rule", help);
        }
        if self.hosts.is_empty() {
            self.check_delegate(node, cx);
        } else {
            self.check_hosts(cx);
        }
        check_gateways(&self.gateways, cx);
        for rule in &self.http {
            rule.check(self, cx);
        }
        for rule in &self.tls {
            rule.check_names(self, cx);
        }
        check_export_to(&self.export_to, false, cx);
    }

    /// Whether sidecars use it.
    fn is_for_the_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|gateway| gateway.value == "mesh")
    }

    /// Without hosts it is a delegate: rules of HTTP that another VirtualService continues with (semantics.md §3.14).
    fn check_delegate(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        for key in ["gateways", "tls", "tcp"] {
            if let Some(value) = node.get(key).filter(|value| value.items().next().is_some()) {
                let message = format!("a virtual service without hosts is a delegate, which has no `{key}`");
                cx.say(&rules::EXCLUSIVE, value.span(), message, format!("add `hosts:`, or take `{key}` away"));
            }
        }
        for delegate in self.http.iter().filter_map(|rule| rule.delegate.as_ref()) {
            let message = "a virtual service without hosts is a delegate, which cannot have a delegate of its own";
            cx.say(&rules::EXCLUSIVE, delegate.span, message, "add `hosts:`, or write the rules here");
        }
    }

    fn check_hosts(&self, cx: &mut Reader<'_>) {
        let mut usable = true;
        for host in &self.hosts {
            if !is_wildcard_host(host) && !is_ip(host) {
                usable = false;
                let help = "write a name such as `orders`, `orders.shop.svc.cluster.local` or `*.example.com`";
                cx.say(&rules::BAD_VALUE, host.span, format!("`{}` is no host", host.value), help);
            } else if host.value == "*" && self.is_for_the_mesh() {
                let message = "the host `*` is for gateways alone: in the mesh it would take over every service";
                cx.say(&rules::BAD_VALUE, host.span, message, "name the hosts, or add `gateways:`");
            }
        }
        if !usable {
            return;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let twin = self.hosts[..index].iter().find(|other| hosts_overlap(&other.value, &host.value));
            if let Some(twin) = twin {
                let message = format!("`{}` is within `{}`, which stands here too", host.value, twin.value);
                cx.say(&rules::DUPLICATE, host.span, message, "keep one of them");
            }
        }
    }
}

/// Whether some name is one of both (semantics.md §1.5).
fn hosts_overlap(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
        (Some(a), None) => b.ends_with(a),
        (None, Some(b)) => a.ends_with(b),
        (None, None) => a == b,
    }
}

/// Reports names of gateways that the API refuses. As there, the first one without a `/` is the last that is looked at
/// (semantics.md §3.2); what stands behind it is found, or not, when gateways are looked up.
fn check_gateways(gateways: &[At<Text>], cx: &mut Reader<'_>) {
    for gateway in gateways {
        let help = "write `name`, `namespace/name` or `mesh`";
        let Some((namespace, name)) = gateway.split_once('/') else {
            if !is_fqdn(gateway) {
                cx.say(&rules::BAD_VALUE, gateway.span, format!("`{}` is no gateway", gateway.value), help);
            } else if let Some((name, rest)) = gateway.split_once('.') {
                let namespace = rest.split('.').next().unwrap_or_default();
                let message = format!("`{}` is the old way to name a gateway", gateway.value);
                cx.say(&rules::DEPRECATED, gateway.span, message, format!("write `{namespace}/{name}`"));
            }
            return;
        };
        if !(namespace == "." || is_label(namespace)) || !is_label(name) {
            cx.say(&rules::BAD_VALUE, gateway.span, format!("`{}` is no gateway", gateway.value), help);
        }
    }
}
