//! Whether a request is tried again (semantics.md §3.10).

use crate::object::{Retry, RetryOn};

/// How many tries follow the first where nothing else is said.
pub const DEFAULT_RETRY_ATTEMPTS: u32 = 2;

/// The policy of requests whose rule has none. The list of statuses is empty: a 503 of the service is not retried.
#[must_use]
pub fn default_retry() -> Retry {
    Retry {
        attempts: DEFAULT_RETRY_ATTEMPTS,
        on: vec![
            RetryOn::ConnectFailure,
            RetryOn::RefusedStream,
            RetryOn::StatusCodes,
            RetryOn::Cancelled,
            RetryOn::Unavailable,
        ],
        statuses: Vec::new(),
        per_try_timeout_ms: 0,
        backoff_ms: 0,
        any_host: false,
    }
}

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// With an answer; the gRPC status is that of its headers.
    Answered {
        /// The HTTP status.
        status: u16,
        /// `grpc-status`, where the answer has nothing but headers.
        grpc_status: Option<u32>,
    },
    /// With an answer that says that a limit of rates was reached (`x-envoy-ratelimited`).
    RateLimited,
    /// With an answer of a proxy on the way that has too much to do (`x-envoy-overloaded`).
    Overloaded,
    /// No connection could be made.
    NotConnected,
    /// The connection broke before the request was sent.
    ResetBeforeRequest,
    /// The connection broke after, without an answer.
    Reset,
    /// The peer refused the stream without looking at it.
    Refused,
    /// The try took too long.
    TimedOut,
}

/// Whether a policy tries again after this.
#[must_use]
pub fn retries(policy: &Retry, attempt: Attempt) -> bool {
    let status = match attempt {
        Attempt::Answered { status, .. } => Some(status),
        // Whatever else the answer says (Envoy's `RetryStateImpl::wouldRetryFromHeaders`).
        Attempt::RateLimited => return policy.on.contains(&RetryOn::RateLimited),
        Attempt::Overloaded => return false,
        _ => None,
    };
    let grpc = |wanted: u32| matches!(attempt, Attempt::Answered { grpc_status: Some(status), .. } if status == wanted);
    policy.on.iter().any(|condition| match condition {
        RetryOn::ServerError => status.is_none_or(|status| (500..600).contains(&status)),
        RetryOn::GatewayError => match status {
            Some(status) => matches!(status, 502..=504),
            // To Envoy, no answer at all is a local 503 or 504.
            None => true,
        },
        RetryOn::Reset => matches!(
            attempt,
            Attempt::Reset | Attempt::ResetBeforeRequest | Attempt::NotConnected | Attempt::Refused | Attempt::TimedOut
        ),
        RetryOn::ResetBeforeRequest => matches!(attempt, Attempt::ResetBeforeRequest | Attempt::NotConnected),
        RetryOn::ConnectFailure => attempt == Attempt::NotConnected,
        RetryOn::RefusedStream => attempt == Attempt::Refused,
        RetryOn::Retriable4xx => status == Some(409),
        RetryOn::StatusCodes => status.is_some_and(|status| policy.statuses.contains(&status)),
        RetryOn::Cancelled => grpc(1),
        RetryOn::DeadlineExceeded => grpc(4),
        RetryOn::ResourceExhausted => grpc(8),
        RetryOn::Internal => grpc(13),
        RetryOn::Unavailable => grpc(14),
        // Needs a header of a rate limiter's answer, or a list of headers that only a client can give, or HTTP/3.
        RetryOn::RateLimited | RetryOn::Headers | RetryOn::Http3PostConnectFailure => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_of_the_service_is_not_retried_by_default() {
        let policy = default_retry();
        assert!(!retries(&policy, Attempt::Answered { status: 503, grpc_status: None }));
        assert!(retries(&policy, Attempt::Answered { status: 200, grpc_status: Some(14) }));
        assert!(retries(&policy, Attempt::NotConnected));
        assert!(!retries(&policy, Attempt::Reset));
    }

    #[test]
    fn whoever_is_overloaded_is_left_alone() {
        let everything = Retry { on: vec![RetryOn::ServerError, RetryOn::Reset], ..default_retry() };
        assert!(!retries(&everything, Attempt::Overloaded));
        assert!(!retries(&everything, Attempt::RateLimited));
        assert!(retries(&Retry { on: vec![RetryOn::RateLimited], ..everything }, Attempt::RateLimited));
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn every_word_means_what_envoy_says() {
        let answered = |status| Attempt::Answered { status, grpc_status: None };
        let grpc = |code| Attempt::Answered { status: 200, grpc_status: Some(code) };
        let table = [
            (RetryOn::ServerError, vec![answered(500), answered(503), Attempt::Reset, Attempt::TimedOut, Attempt::NotConnected], vec![answered(200), answered(409), grpc(14)]),
            (RetryOn::GatewayError, vec![answered(502), answered(503), answered(504)], vec![answered(500), answered(501)]),
            (RetryOn::Reset, vec![Attempt::Reset, Attempt::TimedOut, Attempt::NotConnected], vec![answered(503)]),
            (RetryOn::ResetBeforeRequest, vec![Attempt::ResetBeforeRequest], vec![Attempt::Reset, answered(503)]),
            (RetryOn::ConnectFailure, vec![Attempt::NotConnected], vec![Attempt::Reset, Attempt::TimedOut]),
            (RetryOn::Retriable4xx, vec![answered(409)], vec![answered(404), answered(429)]),
            (RetryOn::RefusedStream, vec![Attempt::Refused], vec![Attempt::Reset]),
            (RetryOn::Cancelled, vec![grpc(1)], vec![grpc(14), answered(503)]),
            (RetryOn::DeadlineExceeded, vec![grpc(4)], vec![grpc(1)]),
            (RetryOn::ResourceExhausted, vec![grpc(8)], vec![grpc(4)]),
            (RetryOn::Internal, vec![grpc(13)], vec![grpc(8)]),
            (RetryOn::Unavailable, vec![grpc(14)], vec![grpc(13), answered(503)]),
            (RetryOn::RateLimited, vec![Attempt::RateLimited], vec![answered(429)]),
        ];
        for (word, yes, no) in table {
            let policy = Retry { on: vec![word.clone()], ..default_retry() };
            for attempt in yes { assert!(retries(&policy, attempt), "{word:?} after {attempt:?}"); }
            for attempt in no { assert!(!retries(&policy, attempt), "{word:?} after {attempt:?}"); }
        }
    }
}
