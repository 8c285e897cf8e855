//! Which endpoint gets the next request (semantics.md §4.7).
//!
//! Owns: the rota, in which each endpoint has as many places as its weight says; drawing from it.
//! May not: know what an endpoint is: it deals in places.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use taut_snapshot::object::{Balancer, HashTable};

use crate::ring::{Entry, Ring};

/// The most places of a rota. Larger weights are scaled down, which rounds shares to a four-thousandth.
const PLACES_MAX: u64 = 4_096;

/// How often a try draws again to avoid endpoints that were tried: Envoy's `host_selection_retry_max_attempts`.
const DRAWS_MAX: usize = 5;

/// Draws of random numbers, without a lock (SplitMix64: each draw is one addition and a mix of it).
#[derive(Debug)]
pub(crate) struct Draws(AtomicU64);

impl Draws {
    /// Draws that begin with a seed.
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(AtomicU64::new(seed))
    }

    /// The next number.
    pub(crate) fn draw(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        // The high half of a product is as even as a remainder, and faster (Lemire).
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }
}

/// Endpoints in the order in which they are served, by their number; each as often as its weight says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rota {
    places: Vec<u32>,
    ring: Option<Ring>,
}

impl Rota {
    /// A rota of endpoints with these numbers and weights. A weight of 0 counts as 1. The places of a heavy endpoint are
    /// spread, not lumped (smooth weighted round robin, as nginx has it).
    pub(crate) fn new(weights: &[(u32, u32)]) -> Rota {
        let weight_of = |weight: u32| u64::from(weight.max(1));
        let divisor = weights.iter().map(|(_, weight)| weight_of(*weight)).fold(0, gcd).max(1);
        let sum: u64 = weights.iter().map(|(_, weight)| weight_of(*weight) / divisor).sum();
        let scaled: Vec<u64> = weights
            .iter()
            .map(|(_, weight)| weight_of(*weight) / divisor)
            .map(|weight| if PLACES_MAX < sum { (weight * PLACES_MAX / sum).max(1) } else { weight })
            .collect();
        let sum: u64 = scaled.iter().sum();
        if sum == weights.len() as u64 {
            return Rota { places: weights.iter().map(|(number, _)| *number).collect(), ring: None };
        }
        let mut credit = vec![0_i64; scaled.len()];
        let places = (0..sum).map(|_| {
            credit.iter_mut().zip(&scaled).for_each(|(credit, weight)| *credit += *weight as i64);
            let next = (0..credit.len()).max_by_key(|index| (credit[*index], usize::MAX - index)).unwrap_or(0);
            credit[next] -= sum as i64;
            weights[next].0
        });
        Rota { places: places.collect(), ring: None }
    }

    /// A rota of endpoints that hashes lead to. Requests without one go to any.
    pub(crate) fn hashed(table: &HashTable, entries: &[Entry]) -> Rota {
        let weights: Vec<(u32, u32)> = entries.iter().map(|(number, _, weight)| (*number, *weight)).collect();
        Rota { ring: Some(Ring::new(table, entries)), ..Rota::new(&weights) }
    }

    /// The endpoint of a hash, or the next one that was not tried.
    pub(crate) fn at(&self, hash: u64, avoid: impl Fn(u32) -> bool) -> Option<u32> {
        let ring = self.ring.as_ref()?;
        let untried =
            (0..=DRAWS_MAX as u64).filter_map(|attempt| ring.at(hash, attempt)).find(|number| !avoid(*number));
        untried.or_else(|| ring.at(hash, 0))
    }

    /// Chooses an endpoint. `load` says how many requests one has under way; `avoid` which ones were tried before.
    pub(crate) fn choose(
        &self,
        balancer: &Balancer,
        turn: &AtomicUsize,
        draws: &Draws,
        load: impl Fn(u32) -> u32,
        avoid: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let one = || match balancer {
            Balancer::RoundRobin => self.places[turn.fetch_add(1, Ordering::Relaxed) % self.places.len()],
            Balancer::Random | Balancer::Hash(_) => self.places[draws.below(self.places.len())],
            Balancer::LeastRequest => {
                let one = self.places[draws.below(self.places.len())];
                let two = self.places[draws.below(self.places.len())];
                if load(two) < load(one) { two } else { one }
            }
        };
        match self.places.as_slice() {
            [] => None,
            [only] => Some(*only),
            places => {
                let drawn = (0..DRAWS_MAX).map(|_| one()).find(|number| !avoid(*number));
                // Envoy gives up here; a look at every place finds the one that was not tried.
                drawn.or_else(|| places.iter().copied().find(|number| !avoid(*number))).or_else(|| Some(one()))
            }
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rota: &Rota, balancer: &Balancer, load: impl Fn(u32) -> u32 + Copy) -> [u32; 3] {
        let (turn, draws) = (AtomicUsize::new(0), Draws::new(7));
        let mut counts = [0; 3];
        for _ in 0..6_000 {
            counts[rota.choose(balancer, &turn, &draws, load, |_| false).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_rota_has_as_many_places_as_weights_say() {
        assert_eq!(Rota::new(&[(0, 1), (1, 1), (2, 1)]).places, [0, 1, 2]);
        assert_eq!(Rota::new(&[(0, 0), (1, 7)]).places.len(), 8, "0 counts as 1");
        assert_eq!(Rota::new(&[(0, 20), (1, 10)]).places, [0, 1, 0], "spread, not lumped");
        let huge = Rota::new(&[(0, u32::MAX), (1, 1)]);
        assert!(huge.places.len() <= PLACES_MAX as usize + 1 && huge.places.contains(&1));
        assert_eq!(Rota::new(&[]).places, [0; 0]);
    }

    #[test]
    fn every_balancer_keeps_to_the_weights() {
        let rota = Rota::new(&[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(counts(&rota, &Balancer::RoundRobin, |_| 0), [1_000, 2_000, 3_000]);
        for balancer in [Balancer::Random, Balancer::LeastRequest] {
            for (count, want) in counts(&rota, &balancer, |_| 0).into_iter().zip([1_000_u32, 2_000, 3_000]) {
                assert!(count.abs_diff(want) < 200, "{balancer:?}: {count} instead of {want}");
            }
        }
    }

    #[test]
    fn of_two_the_less_busy_is_chosen() {
        let rota = Rota::new(&[(0, 1), (1, 1), (2, 1)]);
        let [idle, busy, busier] = counts(&rota, &Balancer::LeastRequest, |number| number);
        // Both draws must fall on the busiest for it to be chosen: one in nine.
        assert!(busier < 800 && busy < idle, "{idle} {busy} {busier}");
    }

    #[test]
    fn what_was_tried_is_avoided() {
        let rota = Rota::new(&[(0, 1), (1, 1)]);
        let (turn, draws) = (AtomicUsize::new(0), Draws::new(1));
        for balancer in [Balancer::RoundRobin, Balancer::Random, Balancer::LeastRequest] {
            for _ in 0..200 {
                assert_eq!(rota.choose(&balancer, &turn, &draws, |_| 0, |number| number == 0), Some(1), "{balancer:?}");
            }
            assert!(rota.choose(&balancer, &turn, &draws, |_| 0, |_| true).is_some(), "if all were tried, any will do");
        }
        assert_eq!(
            Rota::new(&[(4, 1)]).choose(&Balancer::Random, &turn, &draws, |_| 0, |_| true),
            Some(4),
            "the only one is chosen all the same"
        );
        assert_eq!(Rota::default().choose(&Balancer::Random, &turn, &draws, |_| 0, |_| false), None);
    }
}
