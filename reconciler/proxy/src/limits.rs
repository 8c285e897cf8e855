//! How much of something is under way, and how much may be (semantics.md §4.1, 'ConnectionPoolSettings').
//!
//! Invariant: what was let in is counted off when its `Admission` is dropped, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// The most connections from below, however many descriptors the system gives.
const CONNECTIONS_MAX: u64 = 50_000;

/// Descriptors that connections from below leave alone: listeners, logs, the reconciler, the admin page and what each
/// worker waits with.
const DESCRIPTORS_KEPT: u64 = 64;

/// How many connections from below may be open where a process may have this many descriptors. Each takes one, and its
/// requests another: beyond this, the system gives none any more, and then nobody is served.
pub(crate) fn connections_max(descriptors: Option<u64>) -> u32 {
    let all = descriptors.map_or(CONNECTIONS_MAX, |all| all.saturating_sub(DESCRIPTORS_KEPT) / 2);
    u32::try_from(all.clamp(1, CONNECTIONS_MAX)).unwrap_or(u32::MAX)
}

/// How many are under way.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU32);

impl Gauge {
    /// How many are under way.
    pub(crate) fn value(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets one more in, if there are fewer than `limit`; 0 means that there is no limit.
    pub(crate) fn admit(self: &Arc<Gauge>, limit: u32) -> Option<Admission> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        // Made first, so that one too many is counted off again when it is dropped.
        let admission = Admission(self.clone());
        (limit == 0 || before < limit).then_some(admission)
    }

    /// Lets one more in, whatever the limit.
    pub(crate) fn enter(self: &Arc<Gauge>) -> Admission {
        self.0.fetch_add(1, Ordering::Relaxed);
        Admission(self.clone())
    }
}

/// One that was let in.
#[derive(Debug)]
pub(crate) struct Admission(Arc<Gauge>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What of one cluster is under way. It outlives snapshots.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) connections: Arc<Gauge>,
    pub(crate) pending: Arc<Gauge>,
    pub(crate) requests: Arc<Gauge>,
    pub(crate) retries: Arc<Gauge>,
    pub(crate) recent: Recent,
}

/// In how many steps a time passes, for which requests are counted after they began.
const STEPS: u64 = 10;

/// How many requests began in the last so many milliseconds, to the accuracy of a tenth of that time.
#[derive(Debug)]
pub(crate) struct Recent {
    /// When time began.
    origin: Instant,
    /// For each step the number of the step, and below it how many began then: 32 bits each.
    steps: [AtomicU64; STEPS as usize],
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { origin: Instant::now(), steps: Default::default() }
    }
}

impl Recent {
    /// One more begins.
    pub(crate) fn note(&self, now: Instant, interval_ms: u64) {
        let (step, slot) = self.at(now, interval_ms);
        // Of two workers that begin a step at once each may count for itself: one request is lost at worst.
        let known = slot.load(Ordering::Relaxed);
        if known >> 32 == step {
            slot.fetch_add(1, Ordering::Relaxed);
        } else {
            slot.store(step << 32 | 1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub(crate) fn count(&self, now: Instant, interval_ms: u64) -> u64 {
        let (now, _) = self.at(now, interval_ms);
        let counts = self.steps.iter().map(|slot| slot.load(Ordering::Relaxed));
        let within = counts.filter(|count| (now + 1).saturating_sub(STEPS) <= count >> 32 && count >> 32 <= now);
        within.map(|count| count & u64::from(u32::MAX)).sum()
    }

    fn at(&self, now: Instant, interval_ms: u64) -> (u64, &AtomicU64) {
        let now_ms = u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX);
        let step = (now_ms / (interval_ms / STEPS).max(1)) & u64::from(u32::MAX);
        (step, &self.steps[(step % STEPS) as usize])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_leave_descriptors_for_their_requests() {
        for (descriptors, want) in [(None, 50_000), (Some(1_024), 480), (Some(10), 1), (Some(1 << 30), 50_000)] {
            assert_eq!(connections_max(descriptors), want, "{descriptors:?}");
        }
    }

    #[test]
    fn requests_count_for_as_long_as_is_said() {
        let recent = Recent::default();
        let at = |ms| recent.origin + Duration::from_millis(ms);
        for ms in [5_000, 5_050, 5_999] {
            recent.note(at(ms), 1_000);
        }
        for (ms, want) in [(5_999, 3), (6_000, 1), (6_899, 1), (6_900, 0), (90_000, 0)] {
            assert_eq!(recent.count(at(ms), 1_000), want, "at {ms}");
        }
        recent.note(at(6_050), 1_000);
        assert_eq!(recent.count(at(6_060), 1_000), 2, "a step that comes round again begins anew");
    }

    #[test]
    fn a_limit_holds_and_frees_what_ends() {
        let gauge = Arc::new(Gauge::default());
        let one = gauge.admit(2).unwrap();
        let two = gauge.admit(2).unwrap();
        assert!(gauge.admit(2).is_none());
        assert_eq!(gauge.value(), 2, "whoever was not let in is not counted");
        drop(one);
        assert!(gauge.admit(2).is_some());
        drop(two);
        assert!((0..10).map(|_| gauge.admit(0)).all(|admission| admission.is_some()), "0 means no limit");
        assert_eq!(gauge.value(), 0);
    }
}
