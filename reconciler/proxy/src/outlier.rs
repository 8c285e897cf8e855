//! When an endpoint is taken out because it fails, and for how long (semantics.md §4.1, 'OutlierDetection').
//!
//! Owns: Envoy's arithmetic: consecutive errors, growth of the ejection, how many may be out.
//! May not: read a clock, choose an endpoint. Whoever calls it says what time it is.
//! Invariant: counting takes no lock. Many workers count into one `Health`.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use taut_snapshot::object::Outlier;

/// No ejection is longer than this, unless the first one already is: Envoy's `max_ejection_time`.
const EJECTION_MAX: Duration = Duration::from_secs(300);

/// How a try ended, as far as its endpoint is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered with this status.
    Answered(u16),
    /// It could not be reached, or went away without an answer.
    Unreachable,
    /// It took too long.
    TimedOut,
}

/// What is known of one endpoint. It outlives snapshots.
#[derive(Debug, Default)]
pub(crate) struct Health {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
    /// How often it was taken out; each interval in which it is in takes one off.
    ejections: AtomicU32,
    /// When it was taken out, in milliseconds since the proxy began, plus one; 0 while it is in.
    ejected_at: AtomicU64,
}

impl Health {
    /// Whether it is taken out.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_at.load(Ordering::Relaxed) != 0
    }

    /// Counts a try. True if the endpoint should be taken out now.
    pub(crate) fn count(&self, policy: &Outlier, outcome: Outcome) -> bool {
        let status = match (outcome, policy.split) {
            (Outcome::Answered(status), _) => {
                self.local_failures.store(0, Ordering::Relaxed);
                status
            }
            (_, true) => return reached(&self.local_failures, policy.consecutive_local_failures),
            // Without a split, what came from nowhere counts as what the proxy answers for it.
            (Outcome::Unreachable, false) => 503,
            (Outcome::TimedOut, false) => 504,
        };
        if !is_error(policy, status) {
            self.errors.store(0, Ordering::Relaxed);
            self.gateway_errors.store(0, Ordering::Relaxed);
            return false;
        }
        let gateway = if (502..=504).contains(&status) {
            reached(&self.gateway_errors, policy.consecutive_gateway_errors)
        } else {
            self.gateway_errors.store(0, Ordering::Relaxed);
            false
        };
        reached(&self.errors, policy.consecutive_errors) || gateway
    }

    /// Takes it out. False if it is out already.
    fn eject(&self, now: Duration) -> bool {
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let fresh = self.ejected_at.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if fresh {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
        fresh
    }

    /// Looks at it, once an interval. True if it comes back in.
    pub(crate) fn sweep(&self, policy: &Outlier, now: Duration) -> bool {
        let at = self.ejected_at.load(Ordering::Relaxed);
        let ejections = self.ejections.load(Ordering::Relaxed);
        if at == 0 {
            self.ejections.store(ejections.saturating_sub(1), Ordering::Relaxed);
            return false;
        }
        let base = Duration::from_millis(policy.base_ejection_ms);
        let term = base.saturating_mul(ejections).min(EJECTION_MAX.max(base));
        if now < Duration::from_millis(at - 1) + term {
            return false;
        }
        // A fresh start: what was counted before it went out must not send it back at its first error.
        for counter in [&self.errors, &self.gateway_errors, &self.local_failures] {
            counter.store(0, Ordering::Relaxed);
        }
        self.ejected_at.store(0, Ordering::Relaxed);
        true
    }
}

/// Whether a status is an error: all of 5xx are, or the policy's own list is.
fn is_error(policy: &Outlier, status: u16) -> bool {
    match policy.statuses.as_slice() {
        [] => (500..600).contains(&status),
        listed => listed.binary_search(&status).is_ok(),
    }
}

/// Counts one more; true if that makes as many as are enough. 0 means that there never are.
fn reached(counter: &AtomicU32, enough: u32) -> bool {
    let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
    enough != 0 && enough <= count
}

/// Whether one more of `total` endpoints may be out beside those that are. One always may (semantics.md §4.1).
fn may_eject(policy: &Outlier, ejected: usize, total: usize) -> bool {
    ejected == 0 || (ejected + 1) * 100 <= usize::from(policy.max_ejection_percent) * total
}

/// Lets one worker at a time take endpoints of a cluster out, so that two cannot both take the last one that may go. A
/// worker that finds another one at it does not wait: the next error of the same endpoint asks again.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    busy: AtomicBool,
}

impl Gate {
    /// Takes an endpoint out, if not too many of all are. True if it did.
    pub(crate) fn eject<'h>(
        &self,
        policy: &Outlier,
        health: &Health,
        all: impl ExactSizeIterator<Item = &'h Health>,
        now: Duration,
    ) -> bool {
        if self.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        let total = all.len();
        let ejected = all.filter(|health| health.is_ejected()).count();
        let done = may_eject(policy, ejected, total) && health.eject(now);
        self.busy.store(false, Ordering::Release);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Outlier {
        Outlier {
            consecutive_errors: 3,
            consecutive_gateway_errors: 0,
            split: false,
            consecutive_local_failures: 0,
            interval_ms: 10_000,
            base_ejection_ms: 30_000,
            max_ejection_percent: 10,
            panic_percent: 0,
            statuses: vec![],
        }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn only_errors_in_a_row_count() {
        use Outcome::{Answered, TimedOut, Unreachable};
        let listed = Outlier { statuses: vec![429, 503], ..policy() };
        assert!(is_error(&listed, 429) && is_error(&listed, 503) && !is_error(&listed, 500), "only what is listed");
        let gateway = Outlier { consecutive_errors: 0, consecutive_gateway_errors: 2, ..policy() };
        let split = Outlier { split: true, consecutive_local_failures: 2, ..policy() };
        let off = Outlier { consecutive_errors: 0, ..policy() };
        let table = [
            (policy(),        vec![Answered(500), Answered(503), Answered(599)],                      true),
            (policy(),        vec![Answered(500), Answered(500), Answered(404), Answered(500)],       false),
            (policy(),        vec![Answered(500), Unreachable,   TimedOut],                           true),
            (gateway.clone(), vec![Answered(502), Answered(504)],                                     true),
            (gateway.clone(), vec![Answered(502), Answered(500), Answered(503)],                      false),
            (gateway,         vec![Unreachable,   TimedOut],                                          true),
            (split.clone(),   vec![Unreachable,   Unreachable],                                       true),
            (split.clone(),   vec![Unreachable,   Answered(500), Unreachable],                        false),
            (split,           vec![Answered(500), Answered(500), TimedOut, Answered(500)],            true),
            (off,             vec![Answered(500); 50],                                                false),
        ];
        for (policy, outcomes, want) in table {
            let health = Health::default();
            let got = outcomes.iter().fold(false, |_, outcome| health.count(&policy, *outcome));
            assert_eq!(got, want, "{policy:?} after {outcomes:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn ejections_grow_and_decay() {
        let (health, policy) = (Health::default(), policy());
        let table = [
            (  0, true,  false, "the first time for 30 s"),
            ( 29, false, false, ""),
            ( 30, false, true,  "back"),
            ( 30, true,  false, "the second time for 60 s"),
            ( 89, false, false, ""),
            ( 90, false, true,  "back; two ejections are remembered"),
            (100, false, false, "in for an interval: one is left"),
            (110, false, false, "none is left"),
            (120, true,  false, "so 30 s again"),
            (149, false, false, ""),
            (150, false, true,  "back"),
        ];
        for (at, eject, back, why) in table {
            if eject {
                assert!(health.eject(seconds(at)));
            }
            assert_eq!(health.sweep(&policy, seconds(at)), back, "at {at} s: {why}");
        }
    }

    #[test]
    fn no_ejection_is_longer_than_five_minutes_unless_the_first_is() {
        for (base, times, want) in [(30, 20, 300), (400, 3, 400)] {
            let policy = Outlier { base_ejection_ms: base * 1_000, ..policy() };
            let health = Health::default();
            health.ejections.store(times, Ordering::Relaxed);
            assert!(health.eject(seconds(0)));
            assert!(!health.sweep(&policy, seconds(want - 1)), "base {base}");
            assert!(health.sweep(&policy, seconds(want)), "base {base}");
        }
    }

    #[test]
    fn whoever_comes_back_starts_afresh() {
        let (health, policy) = (Health::default(), policy());
        for _ in 0..3 {
            health.count(&policy, Outcome::Answered(500));
        }
        health.eject(seconds(0));
        assert!(health.sweep(&policy, seconds(30)));
        assert!(!health.count(&policy, Outcome::Answered(500)));
    }

    #[test]
    #[rustfmt::skip]
    fn not_too_many_are_out_but_one_may_be() {
        let table = [
            ( 10,  0,  1, true),  // one always may
            ( 10,  1,  2, false),
            ( 10,  1, 20, true),
            ( 10,  2, 20, false),
            (100,  1,  2, true),
            ( 50,  1,  3, false), // two of three are more than half
            (  0,  0,  5, true),
        ];
        for (percent, ejected, total, want) in table {
            let policy = Outlier { max_ejection_percent: percent, ..policy() };
            assert_eq!(may_eject(&policy, ejected, total), want, "{ejected} of {total} out, {percent} % may be");
        }
    }

    #[test]
    fn a_gate_lets_as_many_out_as_may_go() {
        let all: Vec<Health> = (0..4).map(|_| Health::default()).collect();
        let (gate, policy) = (Gate::default(), Outlier { max_ejection_percent: 50, ..policy() });
        let out = all.iter().filter(|health| gate.eject(&policy, health, all.iter(), seconds(1))).count();
        assert_eq!(out, 2);
        assert!(!gate.eject(&policy, &all[0], all.iter(), seconds(2)), "it is out already");
    }
}
