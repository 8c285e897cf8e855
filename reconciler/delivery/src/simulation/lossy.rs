//! A world with one thread, virtual time, and links that lose, double, delay and reorder.

use std::collections::BTreeMap;
use std::time::Duration;

/// Events by time. The same seed gives the same history, so a failure can be replayed.
#[derive(Debug)]
pub struct World<E> {
    /// The time.
    pub now: Duration,
    /// What happened, for whoever reads a failure.
    pub trace: Vec<String>,
    /// How many events there were. A test bounds them: a livelock is a finding, not a hang.
    pub steps: usize,
    events: BTreeMap<(Duration, u64), E>,
    order: u64,
    draws: u64,
}

/// How bad a link is, in thousandths of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Lost.
    pub lost: u64,
    /// Doubled.
    pub doubled: u64,
    /// The shortest delay and the longest. Two messages with different delays change places.
    pub delay: (Duration, Duration),
}

impl Link {
    /// A link in order.
    pub const GOOD: Link = Link { lost: 0, doubled: 0, delay: (Duration::from_millis(2), Duration::from_millis(2)) };
    /// A link that nobody would want.
    pub const BAD: Link = Link { lost: 200, doubled: 100, delay: (Duration::ZERO, Duration::from_millis(400)) };
    /// No link at all.
    pub const CUT: Link = Link { lost: 1000, doubled: 0, delay: (Duration::ZERO, Duration::ZERO) };
}

impl<E: Clone + std::fmt::Debug> World<E> {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(seed: u64) -> World<E> {
        World {
            now: Duration::ZERO,
            trace: Vec::new(),
            steps: 0,
            events: BTreeMap::new(),
            order: 0,
            // Mixed, since neighbouring seeds would otherwise draw the same numbers, one draw apart.
            draws: mix(seed),
        }
    }

    /// A number below `end` (SplitMix64).
    pub fn draw(&mut self, end: u64) -> u64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.draws) % end.max(1)
    }

    /// A time up to `most`.
    pub fn draw_time(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.draw(most.as_micros() as u64 + 1))
    }

    /// Lets something happen later.
    pub fn after(&mut self, wait: Duration, event: E) {
        self.order += 1;
        self.events.insert((self.now + wait, self.order), event);
    }

    /// Sends something over a link: it arrives late, twice, or never.
    pub fn send(&mut self, link: Link, event: &E) {
        let copies = if self.draw(1000) < link.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let (least, most) = link.delay;
            let wait = least + self.draw_time(most - least);
            if self.draw(1000) < link.lost {
                self.note(&format!("lost: {event:?}"));
            } else {
                self.after(wait, event.clone());
            }
        }
    }

    /// The next event, if there is one until `end`.
    pub fn next(&mut self, end: Duration) -> Option<E> {
        let (at, _) = *self.events.first_key_value().filter(|((at, _), _)| *at <= end)?.0;
        let (_, event) = self.events.pop_first()?;
        self.now = at;
        self.steps += 1;
        Some(event)
    }

    /// Writes something down for whoever reads a failure.
    pub fn note(&mut self, line: &str) {
        self.trace.push(format!("{:>9.3}s {line}", self.now.as_secs_f64()));
    }

    /// The end of the history.
    #[must_use]
    pub fn last(&self, lines: usize) -> String {
        self.trace[self.trace.len().saturating_sub(lines)..].join("\n")
    }
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
