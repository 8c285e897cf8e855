//! Which requests fail on purpose (semantics.md §3.11), and which are drawn for a share in general.

use crate::object::{AbortStatus, Fault};

/// Shares are counted in parts of this.
const WHOLE: u64 = 1_000_000;

/// Whether a draw falls into a share of a million.
#[must_use]
pub fn drawn(share: u32, draw: u64) -> bool {
    draw % WHOLE < u64::from(share)
}

/// What is done to one request on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults<'f> {
    /// It waits, in milliseconds.
    pub delay_ms: Option<u64>,
    /// It fails, after it has waited.
    pub abort: Option<&'f AbortStatus>,
}

/// What is done to a request. Delay and failure are drawn for apart from each other.
#[must_use]
pub fn faults(fault: &Fault, draw: impl Fn() -> u64) -> Faults<'_> {
    let delay = fault.delay.as_ref().filter(|delay| drawn(delay.share, draw()));
    let abort = fault.abort.as_ref().filter(|abort| drawn(abort.share, draw()));
    Faults { delay_ms: delay.map(|delay| delay.ms), abort: abort.map(|abort| &abort.status) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::object::{Abort, Delay};

    #[test]
    fn shares_are_kept_to_a_millionth() {
        for (share, want) in [(0, 0), (1, 1), (250_000, 250_000), (1_000_000, 1_000_000)] {
            let hits = (0..WHOLE).filter(|draw| drawn(share, *draw)).count();
            assert_eq!(hits, want);
        }
    }

    #[test]
    fn delay_and_failure_are_drawn_for_apart() {
        let fault = Fault {
            delay: Some(Delay { ms: 5, share: 500_000 }),
            abort: Some(Abort { status: AbortStatus::Http(503), share: 500_000 }),
        };
        for (draws, delayed, aborted) in [
            ([0, 0], true, true),
            ([0, 900_000], true, false),
            ([900_000, 0], false, true),
            ([900_000; 2], false, false),
        ] {
            let next = Cell::new(0);
            let found = faults(&fault, || draws[next.replace(next.get() + 1)]);
            assert_eq!((found.delay_ms.is_some(), found.abort.is_some()), (delayed, aborted), "{draws:?}");
        }
    }
}
