//! What an application asks of its own proxy for one request: Envoy's `x-envoy-` headers (semantics.md §3.10; Envoy's
//! documentation of the router filter).
//!
//! Owns: reading them, and taking them away: they are not for whoever comes next.
//! May not: believe anybody but the proxy's own application. At a gateway they are gone before this is asked.

use http::{HeaderMap, HeaderName};
use taut_snapshot::object::{Retry, RetryOn};

use super::Course;
use crate::config::Role;

/// How often a request is tried again whose application says when, but not how often: Envoy's default.
const ATTEMPTS_DEFAULT: u32 = 1;

/// What one request has of its own.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// In place of the rule's.
    retry: Option<Box<Retry>>,
    /// In place of the rule's, in milliseconds; 0 means no limit.
    pub(crate) timeout_ms: Option<u64>,
    /// Answers with any of these headers count for `retriable-headers`.
    pub(crate) retriable_headers: Vec<HeaderName>,
}

impl Wishes {
    /// Takes the wishes out of a request's headers. There are none in most requests.
    pub(crate) fn take(headers: &mut HeaderMap, course: &Course<'_>, role: &Role) -> Wishes {
        let asks = |name: &HeaderName| name.as_str().starts_with("x-envoy-");
        if !role.is_outbound() || !headers.keys().any(asks) {
            return Wishes::default();
        }
        let mut text = |name: &'static str| {
            let value = headers.remove(HeaderName::from_static(name))?;
            value.to_str().ok().map(str::to_owned)
        };
        let timeout_ms: Option<u64> = text("x-envoy-upstream-rq-timeout-ms").and_then(|ms| ms.trim().parse().ok());
        let per_try_ms: Option<u64> =
            text("x-envoy-upstream-rq-per-try-timeout-ms").and_then(|ms| ms.trim().parse().ok());
        let words = [text("x-envoy-retry-on"), text("x-envoy-retry-grpc-on")];
        let attempts: Option<u32> = text("x-envoy-max-retries").and_then(|count| count.trim().parse().ok());
        let statuses = text("x-envoy-retriable-status-codes");
        let names = text("x-envoy-retriable-header-names");
        let retriable_headers = listed(names.as_deref()).filter_map(|name| name.parse().ok()).collect();
        let rule = course.forwarding.retry.as_ref();
        let asked = words.iter().any(Option::is_some);
        let mut retry = match rule {
            Some(rule) => rule.clone(),
            None if asked => Retry {
                attempts: ATTEMPTS_DEFAULT,
                on: Vec::new(),
                statuses: Vec::new(),
                per_try_timeout_ms: 0,
                backoff_ms: 0,
                any_host: true,
            },
            None => return Wishes { retry: None, timeout_ms, retriable_headers },
        };
        for words in &words {
            retry.on.extend(listed(words.as_deref()).filter_map(word));
        }
        retry.statuses.extend(listed(statuses.as_deref()).filter_map(|status| status.parse::<u16>().ok()));
        retry.attempts = attempts.unwrap_or(retry.attempts);
        retry.per_try_timeout_ms = per_try_ms.unwrap_or(retry.per_try_timeout_ms);
        // A try that may take as long as everything needs no limit of its own (Envoy's `FilterUtility::finalTimeout`).
        let whole = timeout_ms.unwrap_or(course.forwarding.timeout_ms);
        if whole != 0 && whole <= retry.per_try_timeout_ms {
            retry.per_try_timeout_ms = 0;
        }
        Wishes { retry: Some(Box::new(retry)), timeout_ms, retriable_headers }
    }

    /// When this request is tried again.
    pub(crate) fn retry<'a>(&'a self, course: &Course<'a>) -> Option<&'a Retry> {
        self.retry.as_deref().or(course.forwarding.retry.as_ref())
    }

    /// The most that this exchange may take, in milliseconds; 0 means no limit.
    pub(crate) fn timeout_ms(&self, course: &Course<'_>) -> u64 {
        self.timeout_ms.unwrap_or(course.forwarding.timeout_ms)
    }
}

fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A word of `x-envoy-retry-on` or `x-envoy-retry-grpc-on`; what is none is passed over, as Envoy does.
fn word(text: &str) -> Option<RetryOn> {
    Some(match text {
        "5xx" => RetryOn::ServerError,
        "gateway-error" => RetryOn::GatewayError,
        "reset" => RetryOn::Reset,
        "reset-before-request" => RetryOn::ResetBeforeRequest,
        "connect-failure" => RetryOn::ConnectFailure,
        "retriable-4xx" => RetryOn::Retriable4xx,
        "refused-stream" => RetryOn::RefusedStream,
        "retriable-status-codes" => RetryOn::StatusCodes,
        "retriable-headers" => RetryOn::Headers,
        "envoy-ratelimited" => RetryOn::RateLimited,
        "cancelled" => RetryOn::Cancelled,
        "deadline-exceeded" => RetryOn::DeadlineExceeded,
        "internal" => RetryOn::Internal,
        "resource-exhausted" => RetryOn::ResourceExhausted,
        "unavailable" => RetryOn::Unavailable,
        _ => return None,
    })
}
