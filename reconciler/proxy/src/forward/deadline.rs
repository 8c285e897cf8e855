//! How long an exchange, and one try of it, may take (semantics.md §3.10).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::{Instant, timeout_at};

use super::upload::Meter;
use crate::exchange::Exchange;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Try,
    Exchange,
}

/// When an exchange must be over. The time begins when all of the request is there, as with Envoy, so that a slow upload
/// does not use up the time of the answer.
pub(super) struct Deadline {
    timeout: Duration,
    started: Instant,
    upload: Option<Arc<Meter>>,
}

impl Deadline {
    /// Time that passed before, on purpose or to decide, is not counted.
    pub(super) fn of(timeout_ms: u64, grpc: bool, headers: &HeaderMap, exchange: &Exchange) -> Option<Deadline> {
        let timeout = exchange_limit(timeout_ms, grpc, headers)?;
        Some(Deadline { timeout, started: Instant::now(), upload: exchange.upload.clone() })
    }

    /// As far as is known now: while the request is still coming, it is at least this far away.
    pub(super) fn at(&self) -> Instant {
        let began = match &self.upload {
            None => self.started,
            Some(upload) => upload.completed().map_or_else(Instant::now, Instant::from_std),
        };
        began + self.timeout
    }
}

/// One try, within its own time and that of the exchange.
pub(super) async fn within<T, E: From<Over>>(
    deadline: Option<&Deadline>,
    try_limit: Option<Instant>,
    mut attempt: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, E> {
    if deadline.is_none() && try_limit.is_none() {
        return attempt.await;
    }
    loop {
        let limit = deadline.map(Deadline::at);
        let until = [limit, try_limit].into_iter().flatten().min();
        match timeout_at(until.unwrap_or_else(Instant::now), attempt.as_mut()).await {
            Ok(ended) => return ended,
            Err(_) => {
                let now = Instant::now();
                if deadline.is_some_and(|deadline| deadline.at() <= now) {
                    return Err(Over::Exchange.into());
                }
                if try_limit.is_some_and(|limit| limit <= now) {
                    return Err(Over::Try.into());
                }
            }
        }
    }
}

/// How long the exchange may take: what the rule says, or less if the gRPC client says so.
fn exchange_limit(timeout_ms: u64, grpc: bool, headers: &HeaderMap) -> Option<Duration> {
    let rule = (timeout_ms != 0).then(|| Duration::from_millis(timeout_ms));
    let client = headers.get(GRPC_TIMEOUT).filter(|_| grpc).and_then(|value| grpc_timeout(value.to_str().ok()?));
    [rule, client].into_iter().flatten().min()
}

/// `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, 'Requests').
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_client_may_ask_for_less_time_than_the_rule() {
        let limit = |timeout_ms: u64, grpc: bool, text: &str| {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, text.parse().unwrap())]);
            exchange_limit(timeout_ms, grpc, &headers)
        };
        let ms = |number: u64| Some(Duration::from_millis(number));
        assert_eq!(limit(5_000, true, "1S"), ms(1_000));
        assert_eq!(limit(5_000, true, "1M"), ms(5_000));
        assert_eq!(limit(0, true, "20m"), ms(20));
        assert_eq!(limit(5_000, false, "1S"), ms(5_000));
        for nonsense in ["", "S", "1", "123456789S", "-1S", "1é"] {
            assert_eq!(grpc_timeout(nonsense), None, "{nonsense}");
        }
    }
}
