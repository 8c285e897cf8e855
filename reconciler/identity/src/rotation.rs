//! When a member renews its certificate.
//!
//! Owns: the schedule: at half of the lifetime, a little earlier or later so that a fleet that was started together
//! does not ask together (semantics.md §16); after a failure again and again, never giving up.
//! May not: read a clock, draw a random number, ask anyone for a certificate. The shell does, and says what came of it.
//! Invariant: there is a moment to wake up at, or a renewal under way; never both.

use std::time::{Duration, SystemTime};

use crate::Validity;

/// The renewal is due when one of this many parts of the lifetime is left: Istio's grace ratio of 0.5.
const GRACE: u32 = 2;

/// The due time is moved by up to one of this many parts of the lifetime, either way: Istio's jitter of 0.01.
const JITTER: u32 = 100;

/// How long the first pause after a failure is, for certificates that live long.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// No pause is a larger part of the lifetime than this, one of so many: a certificate of seconds is retried within less.
const PAUSES_PER_LIFETIME: u32 = 64;

/// How long pauses get. A member that comes back when the authority does should not be minutes behind.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// While the certificate is valid, no pause is a larger part of what is left of it than this, one of so many:
/// the nearer its end, the more often it is tried.
const PAUSES_PER_REST: u32 = 8;

/// What came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The time to wake up has come, or something else woke the shell.
    Tick,
    /// There is a new certificate.
    Renewed {
        /// From when to when it is valid.
        validity: Validity,
        /// A random number, evenly drawn.
        draw: u32,
    },
    /// There is none.
    Failed {
        /// A random number, evenly drawn.
        draw: u32,
    },
}

/// What the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask for a new certificate, and come back with `Renewed` or `Failed`.
    Renew,
}

/// The schedule of one certificate.
#[derive(Clone, Debug)]
pub struct Rotation {
    validity: Validity,
    /// How many attempts have failed since the last that did not.
    failures: u32,
    /// When to ask next; `None` while an answer is awaited.
    wake: Option<SystemTime>,
}

impl Rotation {
    /// Begins with the certificate at hand, which may have expired. `draw` is a random number, evenly drawn.
    #[must_use]
    pub fn new(validity: Validity, draw: u32) -> Rotation {
        Rotation { validity, failures: 0, wake: Some(due(validity, draw)) }
    }

    /// When to come back with a `Tick`; `None` while a renewal is under way.
    #[must_use]
    pub fn wake(&self) -> Option<SystemTime> {
        self.wake
    }

    /// Takes note of what came about, and says what to do.
    pub fn handle(&mut self, now: SystemTime, input: Input) -> Vec<Output> {
        match input {
            Input::Tick if self.wake.is_some_and(|at| at <= now) => {
                self.wake = None;
                vec![Output::Renew]
            }
            Input::Tick => Vec::new(), // too early, or awaiting an answer
            Input::Renewed { validity, draw } => {
                self.validity = validity;
                let due = due(validity, draw);
                if now < due {
                    (self.failures, self.wake) = (0, Some(due));
                } else {
                    // Renewed, and yet due: the clocks differ, or the issuer itself is about to expire. Asking again at
                    // once would go on for ever.
                    self.pause(now, draw);
                }
                Vec::new()
            }
            Input::Failed { draw } => {
                self.pause(now, draw);
                Vec::new()
            }
        }
    }

    fn pause(&mut self, now: SystemTime, draw: u32) {
        let shortest = PAUSE_MIN.min(self.validity.lifetime() / PAUSES_PER_LIFETIME);
        let doubled = shortest.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        let left = self.validity.left(now);
        // Once it has expired, nothing is gained by hurrying.
        let pause = if left.is_zero() { doubled } else { doubled.min(left / PAUSES_PER_REST) }.max(shortest);
        self.failures = self.failures.saturating_add(1);
        // Half of it for certain and up to half by chance, so that those who failed together do not come back together.
        self.wake = Some(now + pause / 2 + fraction(pause / 2, draw));
    }
}

/// When a certificate is to be renewed.
fn due(validity: Validity, draw: u32) -> SystemTime {
    let lifetime = validity.lifetime();
    validity.not_before + (lifetime - lifetime / GRACE) - lifetime / JITTER + fraction(lifetime / JITTER * 2, draw)
}

/// As much of a duration as `draw` is of the 2^32 numbers that could be drawn.
fn fraction(whole: Duration, draw: u32) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(draw)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const MIDDLE: u32 = 1 << 31;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn valid(from: u64, to: u64) -> Validity {
        Validity { not_before: at(from), not_after: at(to) }
    }

    /// Seconds from the start of the table, rounded.
    fn wake(rotation: &Rotation) -> Option<u64> {
        rotation.wake().map(|it| (it.duration_since(at(0)).unwrap().as_secs_f64()).round() as u64)
    }

    fn play(first: Validity, table: &[(u64, Input, &[Output], Option<u64>)]) {
        let mut rotation = Rotation::new(first, MIDDLE);
        for (seconds, input, outputs, next) in table {
            assert_eq!(rotation.handle(at(*seconds), *input), *outputs, "at {seconds}s: {input:?}");
            assert_eq!(wake(&rotation), *next, "at {seconds}s: {input:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn half_of_the_lifetime_passes_before_each_renewal() {
        let renewed = |validity| Input::Renewed { validity, draw: MIDDLE };
        play(valid(0, 10_000), &[
            (     0, Input::Tick,                  &[],              Some(5_000)), // too early
            ( 4_999, Input::Tick,                  &[],              Some(5_000)),
            ( 5_000, Input::Tick,                  &[Output::Renew], None),
            ( 5_001, Input::Tick,                  &[],              None),        // one at a time
            ( 5_002, renewed(valid(5_000, 15_000)),&[],              Some(10_000)),
            (10_000, Input::Tick,                  &[Output::Renew], None),
        ]);
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn failures_are_retried_less_often_and_towards_the_end_more_often_for_ever() {
        let failed = Input::Failed { draw: u32::MAX }; // pauses of their full length
        play(valid(0, 10_000), &[
            ( 5_000, Input::Tick, &[Output::Renew], None),
            ( 5_000, failed,      &[],              Some(5_001)),
            ( 5_001, Input::Tick, &[Output::Renew], None),
            ( 5_001, failed,      &[],              Some(5_003)),
            ( 5_003, failed,      &[],              Some(5_007)),
            ( 5_007, failed,      &[],              Some(5_015)),
            ( 5_015, failed,      &[],              Some(5_031)),
            ( 5_031, failed,      &[],              Some(5_063)),
            ( 5_063, failed,      &[],              Some(5_127)),
            ( 5_127, failed,      &[],              Some(5_255)),
            ( 5_255, failed,      &[],              Some(5_511)),
            ( 5_511, failed,      &[],              Some(5_811)), // the longest pause
            ( 8_000, failed,      &[],              Some(8_250)), // an eighth of what is left
            ( 9_200, failed,      &[],              Some(9_300)),
            ( 9_960, failed,      &[],              Some(9_965)),
            ( 9_999, failed,      &[],              Some(10_000)), // the shortest
            (20_000, failed,      &[],              Some(20_300)), // expired: no hurry any more
            (20_300, Input::Tick, &[Output::Renew], None),         // and no end
            (20_300, Input::Renewed { validity: valid(20_300, 30_300), draw: MIDDLE }, &[], Some(25_300)),
            (25_300, failed,      &[],              Some(25_301)), // and again from the start
        ]);
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn a_renewal_that_is_due_at_once_is_not_repeated_at_once() {
        let renewed = Input::Renewed { validity: valid(5_000, 5_100), draw: u32::MAX };
        play(valid(0, 10_000), &[
            ( 5_090, Input::Tick, &[Output::Renew], None),
            ( 5_090, renewed,     &[],              Some(5_091)),
            ( 5_091, renewed,     &[],              Some(5_092)),
            ( 9_000, renewed,     &[],              Some(9_004)), // this clock is ahead: it looks expired
            ( 9_004, renewed,     &[],              Some(9_012)),
        ]);
    }

    #[test]
    fn an_expired_certificate_is_renewed_at_once() {
        let mut rotation = Rotation::new(valid(0, 10), MIDDLE);
        assert_eq!(rotation.handle(at(1_000), Input::Tick), [Output::Renew]);
    }

    #[test]
    fn the_draw_moves_the_due_time_by_a_hundredth_of_the_lifetime() {
        let day = valid(0, 86_400);
        assert_eq!(due(day, 0), at(43_200 - 864));
        assert_eq!(due(day, MIDDLE), at(43_200));
        assert!(at(43_200 + 863) < due(day, u32::MAX) && due(day, u32::MAX) < at(43_200 + 864));
    }

    #[test]
    fn pauses_of_certificates_of_seconds_are_of_milliseconds() {
        let mut rotation = Rotation::new(valid(0, 2), MIDDLE);
        for _ in 0..8 {
            let now = rotation.wake().unwrap();
            assert_eq!(rotation.handle(now, Input::Tick), [Output::Renew]);
            rotation.handle(now, Input::Failed { draw: 0 });
            assert!(rotation.wake().unwrap() < at(2));
        }
    }

    #[test]
    fn dates_without_sense_do_not_make_it_panic() {
        for (from, to) in [(10, 0), (0, 0), (0, u32::MAX.into())] {
            for draw in [0, MIDDLE, u32::MAX] {
                let mut rotation = Rotation::new(valid(from, to), draw);
                for _ in 0..100 {
                    rotation.handle(at(5), Input::Failed { draw });
                    rotation.handle(UNIX_EPOCH, Input::Renewed { validity: valid(from, to), draw });
                }
            }
        }
    }
}
