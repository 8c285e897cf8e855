//! Faults, sharing with other origins, and how much is copied (semantics.md §3.11 to §3.13).

use taut_resources::{At, CorsPolicy, GrpcStatus, HttpFault, HttpRoute, Percent, UnmatchedPreflights};
use taut_snapshot::Text;
use taut_snapshot::object::{Abort, AbortStatus, Cors, Delay, Fault, Matcher};

use super::route::matcher;

/// Everything, in the parts that shares are counted in.
const WHOLE: u32 = 1_000_000;

/// A percentage as parts of a million: the steps in which a proxy draws.
fn share(percent: f64) -> u32 {
    (percent * f64::from(WHOLE) / 100.0).round().clamp(0.0, f64::from(WHOLE)) as u32
}

/// A percentage; without one, everything.
pub(super) fn share_or_all(percentage: Option<&Percent>) -> u32 {
    percentage.map_or(WHOLE, |percentage| share(percentage.value.map_or(0.0, |value| value.value)))
}

/// How much a rule's only mirror gets: `mirrorPercentage` counts more than the old field.
pub(super) fn mirrored(rule: &HttpRoute) -> u32 {
    match (&rule.mirror_percentage, rule.mirror_percent) {
        (None, Some(percent)) => share(f64::from(percent.value)),
        (percentage, _) => share_or_all(percentage.as_deref()),
    }
}

/// What is put into a rule's requests. What has no share does nothing: the trap of §3.11.
pub(super) fn fault(fault: Option<&HttpFault>) -> Option<Fault> {
    let fault = fault?;
    let of = |percentage: Option<&Percent>| percentage.map(|it| share(it.value.map_or(0.0, |value| value.value)));
    let delay = fault.delay.as_ref().and_then(|delay| {
        let old = delay.percent.map_or(0, |percent| share(f64::from(percent.value)));
        let share = of(delay.percentage.as_ref()).unwrap_or(old);
        Some(Delay { ms: delay.fixed_delay.as_ref()?.as_millis(), share }).filter(|_| 0 < share)
    });
    let abort = fault.abort.as_ref().and_then(|abort| {
        let status = match (abort.http_status, abort.grpc_status) {
            (Some(status), _) => AbortStatus::Http(u16::try_from(status.value).unwrap_or(500)),
            (None, Some(status)) => AbortStatus::Grpc(grpc_code(status.value)),
            (None, None) => return None,
        };
        let share = of(abort.percentage.as_ref()).unwrap_or(0);
        Some(Abort { status, share }).filter(|_| 0 < share)
    });
    Some(Fault { delay, abort }).filter(|fault| fault.delay.is_some() || fault.abort.is_some())
}

/// The number of a status of gRPC (its `code.proto`).
fn grpc_code(status: GrpcStatus) -> u8 {
    match status {
        GrpcStatus::Ok => 0,
        GrpcStatus::Cancelled => 1,
        GrpcStatus::Unknown => 2,
        GrpcStatus::InvalidArgument => 3,
        GrpcStatus::DeadlineExceeded => 4,
        GrpcStatus::NotFound => 5,
        GrpcStatus::AlreadyExists => 6,
        GrpcStatus::PermissionDenied => 7,
        GrpcStatus::ResourceExhausted => 8,
        GrpcStatus::FailedPrecondition => 9,
        GrpcStatus::Aborted => 10,
        GrpcStatus::OutOfRange => 11,
        GrpcStatus::Unimplemented => 12,
        GrpcStatus::Internal => 13,
        GrpcStatus::Unavailable => 14,
        GrpcStatus::DataLoss => 15,
        GrpcStatus::Unauthenticated => 16,
    }
}

/// Which other origins may read answers. The old list counts only where there is no new one.
pub(super) fn cors(policy: &CorsPolicy) -> Cors {
    let joined = |list: &[At<Text>]| -> Text {
        list.iter().map(|word| word.value.as_str()).collect::<Vec<_>>().join(",").into()
    };
    let origins = match policy.allow_origins.as_slice() {
        [] => policy.allow_origin.iter().map(|origin| Matcher::Exact(origin.value.clone())).collect(),
        origins => origins.iter().map(matcher).collect(),
    };
    let unmatched = policy.unmatched_preflights.map(|unmatched| unmatched.value);
    Cors {
        origins,
        methods: joined(&policy.allow_methods),
        headers: joined(&policy.allow_headers),
        exposed: joined(&policy.expose_headers),
        max_age: policy.max_age.as_ref().map(|age| (age.as_millis() / 1_000).to_string().into()).unwrap_or_default(),
        credentials: policy.allow_credentials.is_some_and(|allow| allow.value),
        ignore_unmatched: unmatched == Some(UnmatchedPreflights::Ignore),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_become_parts_of_a_million() {
        for (percent, want) in [(0.0, 0), (0.0001, 1), (12.5, 125_000), (99.9999, 999_999), (100.0, 1_000_000)] {
            assert_eq!(share(percent), want, "{percent}");
        }
    }
}
