//! VirtualService (semantics.md §3): which requests go where.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::read::{At, Labels, Named, Reader};
use crate::rules;
use crate::scalar::{Duration, MatchBy, Port, PortRef, StringMatch, Unread};

message! {
    /// Routing rules for some hosts.
    pub struct VirtualService {
        /// The hosts. A short name is one of the object's own namespace.
        hosts: Vec<At<Text>> = "hosts";
        /// The gateways that use it; `mesh` means all sidecars, and is meant if the list is missing.
        gateways: Vec<At<Text>> = "gateways";
        /// HTTP rules, tried in order.
        http: Vec<HttpRoute> = "http";
        /// TLS rules by server name.
        tls: Option<At<Unread>> = "tls", refused("route TLS by server name with `http` rules on a gateway that terminates it");
        /// TCP rules.
        tcp: Option<At<Unread>> = "tcp", refused("TCP traffic goes to its service as it is: leave `tcp` out");
        /// The namespaces whose proxies may use it.
        export_to: Vec<At<Text>> = "exportTo";
    }
}

message! {
    /// One HTTP rule.
    pub struct HttpRoute {
        /// The name that logs and metrics show.
        name: Option<At<Text>> = "name";
        /// What requests it is about: any of these; all requests if missing.
        matches: Vec<HttpMatch> = "match";
        /// Where they go.
        route: Vec<HttpDestination> = "route";
        /// Answers with a redirect.
        redirect: Option<HttpRedirect> = "redirect";
        /// Answers without asking anyone.
        direct_response: Option<HttpDirectResponse> = "directResponse";
        /// Continues with the rules of another VirtualService.
        delegate: Option<At<Unread>> = "delegate", refused("write the delegate's rules here");
        /// Changes the path or host on the way.
        rewrite: Option<HttpRewrite> = "rewrite";
        /// The most that the whole exchange may take; no limit if missing.
        timeout: Option<At<Duration>> = "timeout";
        /// When and how often to try again.
        retries: Option<HttpRetry> = "retries";
        /// Delays or fails requests on purpose.
        fault: Option<At<Unread>> = "fault", refused("inject faults in a test service behind a header rule");
        /// Sends a copy elsewhere.
        mirror: Option<At<Unread>> = "mirror", refused("split the traffic by weight instead of copying it");
        /// Sends copies elsewhere.
        mirrors: Option<At<Unread>> = "mirrors", refused("split the traffic by weight instead of copying it");
        /// How much to copy.
        mirror_percent: Option<At<Unread>> = "mirrorPercent", refused("split the traffic by weight instead of copying it");
        /// How much to copy.
        mirror_percentage: Option<At<Unread>> = "mirrorPercentage", refused("split the traffic by weight instead of copying it");
        /// Answers of other origins.
        cors_policy: Option<At<Unread>> = "corsPolicy", refused("let the service answer CORS requests itself");
        /// Header changes.
        headers: Option<HeaderChanges> = "headers";
    }
}

message! {
    /// One alternative of a rule: all of its conditions hold.
    pub struct HttpMatch {
        /// Added to the rule's name.
        name: Option<At<Text>> = "name";
        /// The path, without the query.
        uri: Option<StringMatch> = "uri";
        /// The scheme.
        scheme: Option<StringMatch> = "scheme";
        /// The method.
        method: Option<StringMatch> = "method";
        /// The Host header as it was sent, port included.
        authority: Option<StringMatch> = "authority";
        /// Headers by name.
        headers: Named<StringMatch> = "headers";
        /// Query parameters by name.
        query_params: Named<StringMatch> = "queryParams";
        /// Headers that must not match.
        without_headers: Named<StringMatch> = "withoutHeaders";
        /// The port that the client asked for.
        port: Option<At<u32>> = "port";
        /// Labels of the client.
        source_labels: Labels = "sourceLabels";
        /// Namespace of the client.
        source_namespace: Option<At<Text>> = "sourceNamespace";
        /// Gateways that this alternative is for.
        gateways: Vec<At<Text>> = "gateways";
        /// Compares the path without regard to case.
        ignore_uri_case: Option<At<bool>> = "ignoreUriCase";
        /// A prefix for statistics.
        stat_prefix: Option<At<Text>> = "statPrefix", refused("requests are counted by service and workload: leave `statPrefix` out");
    }
}

message! {
    /// One of the services that a rule sends to.
    pub struct HttpDestination {
        /// The service.
        destination: Destination = "destination";
        /// Its share, in proportion to the others'.
        weight: Option<At<i32>> = "weight";
        /// Header changes for this destination alone.
        headers: Option<HeaderChanges> = "headers";
    }
}

message! {
    /// A service, or a subset of one.
    pub struct Destination {
        /// The service's host. A short name is one of the object's own namespace.
        host: At<Text> = "host";
        /// A subset that a DestinationRule declares.
        subset: Option<At<Text>> = "subset";
        /// The port, if the service has several.
        port: Option<PortRef> = "port";
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
}

message! {
    /// An answer that no service gives.
    pub struct HttpDirectResponse {
        /// The status.
        status: At<u32> = "status";
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
        bytes: Option<At<Text>> = "bytes";
    }
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
}

message! {
    /// Replaces every match of a pattern in the path.
    pub struct RegexRewrite {
        /// The RE2 pattern.
        pattern: At<Text> = "match";
        /// What each match becomes; `\1` stands for the first group.
        rewrite: At<Text> = "rewrite";
    }
}

message! {
    /// When and how often to try again.
    pub struct HttpRetry {
        /// How many tries follow the first; 0 means none.
        attempts: Option<At<i32>> = "attempts";
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
}

message! {
    /// Header changes of requests and of responses.
    pub struct HeaderChanges {
        /// Of requests.
        request: Option<HeaderOperations> = "request";
        /// Of responses.
        response: Option<HeaderOperations> = "response";
    }
}

message! {
    /// Header changes, in the order remove, set, add.
    pub struct HeaderOperations {
        /// Replaces every value.
        set: Labels = "set";
        /// Adds a value.
        add: Labels = "add";
        /// Takes the header away.
        remove: Vec<At<Text>> = "remove";
    }
}

/// The words of `retryOn` (semantics.md §3.1).
pub const RETRY_WORDS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

impl CheckedRead for VirtualService {
    fn check(&self, cx: &mut Reader<'_>) {
        if self.http.is_empty() && self.tls.is_none() && self.tcp.is_none() {
            let help = "add at least one rule under `http:`".into();
            cx.report(&rules::MISSING_FIELD, self.span, "a virtual service needs a rule".into(), help);
        }
        for rule in &self.http {
            check_http(rule, cx);
        }
    }
}

fn check_http(rule: &HttpRoute, cx: &mut Reader<'_>) {
    let actions =
        [!rule.route.is_empty(), rule.redirect.is_some(), rule.direct_response.is_some(), rule.delegate.is_some()];
    match actions.iter().filter(|set| **set).count() {
        0 => {
            let help = "add `route:`, `redirect:` or `directResponse:`".into();
            cx.report(&rules::MISSING_FIELD, rule.span, "this rule does nothing with its requests".into(), help);
        }
        1 => {}
        _ => {
            let message = "`route`, `redirect`, `directResponse` and `delegate` exclude each other".into();
            cx.report(&rules::EXCLUSIVE, rule.span, message, "keep one of them".into());
        }
    }
    if let (Some(rewrite), true) = (&rule.rewrite, rule.redirect.is_some() || rule.direct_response.is_some()) {
        let message = "`rewrite` is for requests that go to a service".into();
        cx.report(&rules::EXCLUSIVE, rewrite.span, message, "take `rewrite` away, or use `route`".into());
    }
    for alternative in &rule.matches {
        let params = alternative.query_params.0.iter().chain(&alternative.headers.0).map(|(_, by)| by);
        let named = [&alternative.uri, &alternative.scheme, &alternative.method, &alternative.authority];
        for by in named.into_iter().flatten().chain(params) {
            check_pattern(by, cx);
        }
        for (_, by) in &alternative.without_headers.0 {
            // `*` in withoutHeaders means: present (semantics.md §3.5).
            if by.by != MatchBy::Regex("*".into()) {
                check_pattern(by, cx);
            }
        }
        for (name, _) in alternative.headers.0.iter().chain(&alternative.without_headers.0) {
            if name.starts_with("@request.auth.claims") {
                let help = "match on a header that the service in front sets".into();
                cx.report(
                    &rules::UNSUPPORTED_VALUE,
                    name.span,
                    "routing by token claims is not carried to the data plane".into(),
                    help,
                );
            }
        }
    }
    check_weights(rule, cx);
    if let Some(retries) = &rule.retries {
        check_retries(retries, cx);
    }
    if let Some(rewrite) = &rule.rewrite {
        if rewrite.uri.is_none() && rewrite.authority.is_none() && rewrite.uri_regex_rewrite.is_none() {
            cx.report(
                &rules::MISSING_FIELD,
                rewrite.span,
                "an empty rewrite changes nothing".into(),
                "add `uri:` or `authority:`".into(),
            );
        }
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            if rewrite.uri.is_some() {
                cx.report(
                    &rules::EXCLUSIVE,
                    regex.span,
                    "`uri` and `uriRegexRewrite` exclude each other".into(),
                    "keep one of them".into(),
                );
            }
            check_regex(&regex.pattern, cx);
        }
    }
    if let Some(redirect) = &rule.redirect {
        check_redirect(redirect, cx);
    }
    if let Some(direct) = &rule.direct_response
        && !(200..=600).contains(&direct.status.value)
    {
        let message = format!("the status {} is outside 200 to 600", direct.status.value);
        cx.report(&rules::OUT_OF_RANGE, direct.status.span, message, "write an HTTP status".into());
    }
}

fn check_weights(rule: &HttpRoute, cx: &mut Reader<'_>) {
    for weight in rule.route.iter().filter_map(|to| to.weight.as_ref()) {
        if weight.value < 0 {
            cx.report(
                &rules::OUT_OF_RANGE,
                weight.span,
                format!("the weight {} is below 0", weight.value),
                "write 0 or more".into(),
            );
        }
    }
    let sum: i64 = rule.route.iter().filter_map(|to| to.weight.as_ref()).map(|weight| i64::from(weight.value)).sum();
    if let (Some(first), true, 0) = (rule.route.first(), 1 < rule.route.len(), sum) {
        let message = "the weights of these destinations add up to 0".into();
        cx.report(&rules::OUT_OF_RANGE, first.span, message, "give at least one destination a `weight:`".into());
    }
}

fn check_retries(retries: &HttpRetry, cx: &mut Reader<'_>) {
    let attempts = retries.attempts.as_ref().map_or(0, |attempts| attempts.value);
    if attempts < 0 {
        let span = retries.attempts.as_ref().map_or(retries.span, |attempts| attempts.span);
        cx.report(&rules::OUT_OF_RANGE, span, format!("{attempts} attempts"), "write 0 or more".into());
    }
    let needs = retries.per_try_timeout.is_some() || retries.retry_on.is_some();
    if attempts == 0 && needs {
        let message = "`perTryTimeout` and `retryOn` need `attempts` of at least 1".into();
        cx.report(&rules::EXCLUSIVE, retries.span, message, "add `attempts:`, or leave the others out".into());
    }
    let Some(retry_on) = &retries.retry_on else { return };
    for word in retry_on.split(',') {
        let status = word.parse::<u16>().is_ok_and(is_registered_status);
        if !status && !RETRY_WORDS.contains(&word) {
            let help = match crate::read::closest(word.trim(), RETRY_WORDS) {
                Some(like) => format!("did you mean `{like}`? The words are separated by commas alone"),
                None => format!("the conditions are HTTP statuses and: {}", RETRY_WORDS.join(", ")),
            };
            cx.report(&rules::BAD_VALUE, retry_on.span, format!("`{word}` is no condition to retry on"), help);
        }
    }
}

/// Whether IANA registers the status, as Go's `http.StatusText` knows it.
fn is_registered_status(status: u16) -> bool {
    matches!(status, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}

fn check_redirect(redirect: &HttpRedirect, cx: &mut Reader<'_>) {
    let empty = redirect.uri.is_none()
        && redirect.prefix_rewrite.is_none()
        && redirect.authority.is_none()
        && redirect.scheme.is_none()
        && redirect.port.is_none()
        && redirect.derive_port.is_none();
    if empty {
        let help = "add `uri:`, `authority:`, `scheme:` or `port:`".into();
        cx.report(
            &rules::MISSING_FIELD,
            redirect.span,
            "the redirect leads to where the request already is".into(),
            help,
        );
    }
    if let (Some(uri), Some(_)) = (&redirect.uri, &redirect.prefix_rewrite) {
        cx.report(
            &rules::EXCLUSIVE,
            uri.span,
            "`uri` and `prefixRewrite` exclude each other".into(),
            "keep one of them".into(),
        );
    }
    if let Some(code) = &redirect.redirect_code
        && !matches!(code.value, 301 | 302 | 303 | 307 | 308)
    {
        // The webhook takes 300 to 399, of which the data plane can send only these (semantics.md §3.2).
        cx.report(
            &rules::BAD_VALUE,
            code.span,
            format!("{} is no redirect", code.value),
            "write 301, 302, 303, 307 or 308".into(),
        );
    }
    if let Some(scheme) = &redirect.scheme
        && scheme.as_str() != "http"
        && scheme.as_str() != "https"
    {
        cx.report(
            &rules::BAD_VALUE,
            scheme.span,
            format!("`{}` is no scheme of HTTP", scheme.value),
            "write `http` or `https`".into(),
        );
    }
}

fn check_pattern(by: &StringMatch, cx: &mut Reader<'_>) {
    if let MatchBy::Regex(pattern) = &by.by {
        check_regex(&At { value: pattern.clone(), span: by.span }, cx);
    }
}

/// RE2 patterns have at most 1024 characters (semantics.md §1.2).
const REGEX_CHARS_MAX: usize = 1024;

pub(crate) fn check_regex(pattern: &At<Text>, cx: &mut Reader<'_>) {
    if REGEX_CHARS_MAX < pattern.chars().count() {
        let message = format!("the pattern has {} characters", pattern.chars().count());
        cx.report(&rules::BAD_PATTERN, pattern.span, message, format!("use at most {REGEX_CHARS_MAX}"));
        return;
    }
    if let Err(error) = taut_pattern_error(pattern) {
        let help = "the data plane runs RE2: no backreferences, no look-around".into();
        cx.report(
            &rules::BAD_PATTERN,
            pattern.span,
            format!("`{}` is no regular expression: {error}", crate::read::shortened(pattern)),
            help,
        );
    }
}

fn taut_pattern_error(pattern: &str) -> Result<(), String> {
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).nest_limit(250).build().parse(pattern);
    match parsed {
        Ok(_) => Ok(()),
        Err(regex_syntax::Error::Parse(error)) => Err(error.kind().to_string()),
        Err(regex_syntax::Error::Translate(error)) => Err(error.kind().to_string()),
        Err(error) => Err(error.to_string().lines().last().unwrap_or_default().to_owned()),
    }
}
