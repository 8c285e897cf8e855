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
        // Needs a header of Envoy's rate limiter, or a list of headers that no resource can give, or HTTP/3.
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
}
