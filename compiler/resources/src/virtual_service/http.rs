//! Rules over an HTTP rule (semantics.md §3.1, §3.2).

use taut_source::Node;

use super::connection::check_weights;
use super::*;
use crate::MatchBy;
use crate::grammar::{HEADER_VALUE, OTHER_HEADER, REQUEST_HEADER, claim};
use crate::header_value::{HeaderSide, check_header_value, is_host};
use crate::limit::Limit;
use crate::string_match::{Leave, check_regex};

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

impl HttpRoute {
    pub(super) fn check(&self, of: &VirtualService, cx: &mut Reader<'_>) {
        self.check_actions(cx);
        for alternative in &self.matches {
            alternative.check(of, cx);
        }
        check_weights(self.route.iter().map(|to| (to.span, to.weight)), cx);
        self.check_authority(cx);
        if let (Some(one), Some(_)) = (&self.mirror, self.mirrors.first()) {
            cx.say(&rules::EXCLUSIVE, one.span, "`mirror` and `mirrors` exclude each other", "keep `mirrors`");
        }
        let prefixes_only =
            |alternative: &HttpMatch| alternative.uri.as_ref().is_none_or(|uri| matches!(uri.by, MatchBy::Prefix(_)));
        if let Some(prefix) = self.redirect.as_ref().and_then(|redirect| redirect.prefix_rewrite.as_ref())
            && !self.matches.iter().all(prefixes_only)
        {
            let message = "`prefixRewrite` needs matches by prefix: there is no prefix to rewrite otherwise";
            cx.say(&rules::EXCLUSIVE, prefix.span, message, "match with `uri: {prefix: ...}`, or use `uri`");
        }
    }

    fn check_actions(&self, cx: &mut Reader<'_>) {
        let (redirect, direct, delegate) = (&self.redirect, &self.direct_response, &self.delegate);
        let route = self.route.first().map(|to| to.span);
        if route.is_none() && redirect.is_none() && direct.is_none() && delegate.is_none() {
            let help = "add `route:`, `redirect:` or `directResponse:`";
            cx.say(&rules::NEEDED, self.span, "this rule does nothing with its requests", help);
        }
        let mut alone = |name: &str, there: bool, others: &[(&str, bool)]| {
            for (other, _) in others.iter().filter(|(_, also)| there && *also) {
                let message = format!("`{name}` and `{other}` exclude each other");
                cx.say(&rules::EXCLUSIVE, self.span, message, format!("keep one of them: `{name}` or `{other}`"));
            }
        };
        let route = ("route", route.is_some());
        let below = [route, ("fault", self.fault.is_some()), ("rewrite", self.rewrite.is_some())];
        alone("redirect", redirect.is_some(), &below);
        alone("directResponse", direct.is_some(), &below);
        alone("redirect", redirect.is_some(), &[("directResponse", direct.is_some())]);
        alone("delegate", delegate.is_some(), &[route, ("redirect", redirect.is_some())]);
    }

    /// The host can be set in one place of a rule only.
    fn check_authority(&self, cx: &mut Reader<'_>) {
        let rewritten = self.rewrite.iter().filter_map(|rewrite| rewrite.authority.as_ref()).map(|host| host.span);
        let request = self.headers.iter().filter_map(|headers| headers.request.as_ref());
        let set = request.flat_map(|request| request.set.0.iter().chain(&request.add.0));
        let hosts =
            set.filter(|(name, _)| name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority"));
        for again in rewritten.chain(hosts.map(|(name, _)| name.span)).skip(1) {
            let help = "keep `rewrite.authority`, or one header operation";
            cx.say(&rules::EXCLUSIVE, again, "the host is set a second time here", help);
        }
    }
}

impl HttpMatch {
    fn check(&self, of: &VirtualService, cx: &mut Reader<'_>) {
        if let Some(uri) = &self.uri {
            uri.check(Leave::EmptyPrefix, cx);
        }
        let named = [&self.scheme, &self.method, &self.authority];
        let by_name = self.headers.0.iter().chain(&self.query_params.0).map(|(_, by)| by);
        for by in named.into_iter().flatten().map(Box::as_ref).chain(by_name) {
            by.check(Leave::Nothing, cx);
        }
        for (_, by) in &self.without_headers.0 {
            by.check(Leave::Star, cx);
        }
        for (name, _) in self.headers.0.iter().chain(&self.without_headers.0) {
            if claim(name).is_none() {
                continue;
            }
            if of.is_for_the_mesh() {
                let message = "tokens are checked at gateways: a route of the mesh cannot depend on a claim";
                cx.say(&rules::EXCLUSIVE, name.span, message, "bind the object to gateways alone, with `gateways:`");
            }
        }
        check_gateways(&self.gateways, cx);
    }
}

impl HttpRedirect {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let code = self.redirect_code.filter(|code| code.value != 0);
        if let Some(code) = code.filter(|code| !(300..400).contains(&code.value)) {
            cx.say(
                &rules::OUT_OF_RANGE,
                code.span,
                format!("{} is no redirect", code.value),
                "write 301, 302, 303, 307 or 308",
            );
        } else if let Some(code) = code.filter(|code| !matches!(code.value, 301 | 302 | 303 | 307 | 308)) {
            // The API takes 300 to 399, of which a data plane can send only these (semantics.md §3.2).
            let message = format!("the redirect code {} is not carried to the data plane", code.value);
            cx.say(&rules::UNSUPPORTED_VALUE, code.span, message, "write 301, 302, 303, 307 or 308");
        }
        if let Some(scheme) = self.scheme.as_ref().filter(|scheme| !matches!(scheme.as_str(), "" | "http" | "https")) {
            let message = format!("`{}` is no scheme of HTTP", scheme.value);
            cx.say(&rules::BAD_VALUE, scheme.span, message, "write `http` or `https`");
        }
    }
}

/// What a body may have at most, and what is unusual already (semantics.md §3.1).
const BODY_BYTES_MAX: usize = 1024 * 1024;
const BODY_BYTES_USUAL: usize = 100 * 1024;

impl HttpBody {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let text = self.string.as_ref().map(|text| text.len());
        let length = text.or(self.bytes.as_ref().map(|bytes| bytes.value.decoded_len())).unwrap_or(0);
        if BODY_BYTES_MAX < length {
            cx.say(&rules::SIZE, self.span, format!("the body has {length} bytes"), "write at most 1 MiB");
        } else if BODY_BYTES_USUAL < length {
            let message = format!("the body has {length} bytes, and every proxy keeps it in memory");
            cx.say(&rules::DOUBTFUL, self.span, message, "write at most 100 KiB, or let a service answer");
        }
    }
}

impl RegexRewrite {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_regex(&self.pattern, self.pattern.span, cx);
    }
}

impl HttpRetry {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let never = self.attempts.is_none_or(|attempts| attempts.value == 0);
        let set = self.retry_on.as_ref().is_some_and(|words| !words.is_empty());
        if never && (set || self.per_try_timeout.is_some() || self.retry_remote_localities.is_some()) {
            let message = "`perTryTimeout`, `retryOn` and `retryRemoteLocalities` need `attempts` of at least 1";
            cx.say(&rules::EXCLUSIVE, self.span, message, "add `attempts:`, or leave the others out");
        }
        let Some(retry_on) = self.retry_on.as_ref().filter(|words| !words.is_empty()) else { return };
        for word in retry_on.split(',') {
            let status = word.parse::<u16>().is_ok_and(is_registered_status);
            if status || RETRY_WORDS.contains(&word) {
                continue;
            }
            let help = match crate::read::closest(word.trim(), RETRY_WORDS) {
                Some(like) => format!("did you mean `{like}`? The words are separated by commas alone"),
                None => format!("the conditions are HTTP statuses and: {}", RETRY_WORDS.join(", ")),
            };
            cx.say(&rules::BAD_VALUE, retry_on.span, format!("`{word}` is no condition to retry on"), help);
        }
    }
}

/// Whether IANA registers the status, as Go's `http.StatusText` knows it.
fn is_registered_status(status: u16) -> bool {
    matches!(status, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}

/// The smallest share of requests that a proxy can draw, in percent: one in a million.
const SHARE_LEAST: f64 = 0.0001;

fn check_share(percentage: Option<&Percent>, cx: &mut Reader<'_>) {
    let value = percentage.and_then(|percentage| percentage.value);
    if let Some(value) = value.filter(|value| 0.0 < value.value && value.value < SHARE_LEAST) {
        let message = format!("{} percent is less than a proxy can draw", value.value);
        cx.say(&rules::OUT_OF_RANGE, value.span, message, format!("write 0, or at least {SHARE_LEAST}"));
    }
}

impl FaultDelay {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_share(self.percentage.as_ref(), cx);
        if let Some(delay) = &self.exponential_delay {
            cx.say(&rules::BAD_VALUE, delay.span, "`exponentialDelay` was never built", "use `fixedDelay`");
        }
    }
}

impl FaultAbort {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_share(self.percentage.as_ref(), cx);
        if let Some(error) = &self.http2_error {
            cx.say(&rules::BAD_VALUE, error.span, "`http2Error` was never built", "use `httpStatus` or `grpcStatus`");
        } else if self.http_status.is_none() && self.grpc_status.is_none() {
            let message = "this abort does not say with which status";
            cx.say(&rules::DOUBTFUL, self.span, message, "add `httpStatus:` or `grpcStatus:`");
        }
    }
}

impl CorsPolicy {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for origin in &self.allow_origins {
            match &origin.by {
                MatchBy::Exact(text) if text.is_empty() => {
                    cx.say(
                        &rules::BAD_VALUE,
                        origin.span,
                        "an empty origin is no match",
                        "write an origin, such as `https://shop.example.com`",
                    );
                }
                _ => origin.check(Leave::Nothing, cx),
            }
        }
        if let Some(age) = self.max_age.filter(|age| age.0.subsec_nanos() != 0) {
            cx.say(&rules::BAD_DURATION, age.span, "`maxAge` is in whole seconds", "write a duration such as `24h`");
        }
    }
}

impl HeaderChanges {
    /// Which headers can be changed depends on where: requests have a host, responses have none.
    pub(super) fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        let places = [
            ("request", "set", Limit::Keys(&REQUEST_HEADER)),
            ("request", "add", Limit::Keys(&REQUEST_HEADER)),
            ("request", "remove", Limit::Is { grammar: &OTHER_HEADER, or_empty: false }),
            ("response", "set", Limit::Keys(&OTHER_HEADER)),
            ("response", "add", Limit::Keys(&OTHER_HEADER)),
            ("response", "remove", Limit::Is { grammar: &OTHER_HEADER, or_empty: false }),
        ];
        for (of, key, limit) in places {
            let Some(changes) = node.get(of).and_then(|of| of.get(key)) else { continue };
            cx.limits(changes, &[limit]);
            let side = if of == "request" { HeaderSide::Request } else { HeaderSide::Response };
            for (name, value) in changes.pairs().filter_map(|(name, value)| Some((name.text()?, value))) {
                let Some(text) = value.text() else { continue };
                if is_host(&name.into()) && text.contains('%') {
                    let message = format!("`{}` would be sent as it stands: a host is not made", value.written());
                    cx.say(&rules::UNSUPPORTED_VALUE, value.span(), message, "write the host itself, without `%`");
                } else if (HEADER_VALUE.holds)(text) {
                    check_header_value(text, value.span(), side, cx);
                }
            }
        }
    }
}
