//! Where a hash leads: hash rings and Maglev tables, as Envoy builds them (semantics.md §4.7).
//!
//! Invariant: an endpoint that comes or goes moves few other hashes, and two proxies with the same endpoints agree.

use taut_snapshot::decide::hash;
use taut_snapshot::object::HashTable;

/// The most places of a ring: Envoy's `maximum_ring_size`.
const RING_MAX: u64 = 8 << 20;

/// A table from hashes to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Sorted by hash.
    Ring(Vec<(u64, u32)>),
    /// By the remainder of the hash.
    Maglev(Vec<u32>),
}

/// An endpoint in a table: its number, the text that is hashed for it, its weight.
pub(crate) type Entry = (u32, String, u32);

impl Ring {
    /// A table of these endpoints.
    pub(crate) fn new(table: &HashTable, entries: &[Entry]) -> Ring {
        match table {
            HashTable::Ring(size) => Ring::Ring(ring(*size, entries)),
            HashTable::Maglev(size) => Ring::Maglev(maglev(*size, entries)),
        }
    }

    /// The endpoint of a hash. Each further `attempt` leads to another place.
    pub(crate) fn at(&self, hash: u64, attempt: u64) -> Option<u32> {
        // Envoy turns some bits, so that its next attempts all lead to about the same place.
        let hash = if attempt == 0 { hash } else { taut_snapshot::decide::hash(&attempt.to_le_bytes(), hash) };
        match self {
            Ring::Ring(places) => {
                let at = places.partition_point(|(place, _)| *place < hash);
                places.get(at).or(places.first()).map(|(_, number)| *number)
            }
            Ring::Maglev(places) => {
                let at = hash.checked_rem(places.len() as u64)?;
                places.get(usize::try_from(at).ok()?).copied()
            }
        }
    }
}

/// Each endpoint has places in proportion to its weight, so many that the lightest has a whole number of them.
fn ring(size_min: u64, entries: &[Entry]) -> Vec<(u64, u32)> {
    let sum: f64 = entries.iter().map(|(_, _, weight)| f64::from((*weight).max(1))).sum();
    let share = |weight: u32| f64::from(weight.max(1)) / sum;
    let least = entries.iter().map(|(_, _, weight)| share(*weight)).fold(1.0, f64::min);
    let scale = ((least * size_min as f64).ceil() / least).min(RING_MAX as f64);
    let mut places = Vec::with_capacity(scale as usize);
    let (mut wanted, mut made) = (0.0, 0.0);
    for (number, name, weight) in entries {
        wanted += scale * share(*weight);
        let mut place = 0_u64;
        while made < wanted {
            places.push((hash(format!("{name}_{place}").as_bytes(), 0), *number));
            place += 1;
            made += 1.0;
        }
    }
    places.sort_unstable();
    places
}

/// Endpoints take places in turn, each by its own permutation of them, the heavier ones more often (Maglev, NSDI 2016,
/// §3.4).
fn maglev(size: u64, entries: &[Entry]) -> Vec<u32> {
    let size = size.max(2);
    if entries.is_empty() {
        return Vec::new();
    }
    struct Turn {
        number: u32,
        weight: f64,
        target: f64,
        offset: u64,
        skip: u64,
        next: u64,
    }
    let heaviest = entries.iter().map(|(_, _, weight)| f64::from((*weight).max(1))).fold(1.0, f64::max);
    let turn = |(number, name, weight): &Entry| Turn {
        number: *number,
        weight: f64::from((*weight).max(1)),
        target: 0.0,
        offset: hash(name.as_bytes(), 0) % size,
        skip: hash(name.as_bytes(), 1) % (size - 1) + 1,
        next: 0,
    };
    let mut turns: Vec<Turn> = entries.iter().map(turn).collect();
    let mut places: Vec<Option<u32>> = vec![None; size as usize];
    let mut filled = 0;
    let mut round = 1.0;
    while filled < size {
        for turn in &mut turns {
            if filled == size {
                break;
            }
            if round * turn.weight < turn.target {
                continue;
            }
            turn.target += heaviest;
            loop {
                let at = ((u128::from(turn.offset) + u128::from(turn.skip) * u128::from(turn.next)) % u128::from(size))
                    as usize;
                turn.next += 1;
                if places[at].is_none() {
                    places[at] = Some(turn.number);
                    break;
                }
            }
            filled += 1;
        }
        round += 1.0;
    }
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u32) -> Vec<Entry> {
        (0..count).map(|number| (number, format!("10.0.0.{number}:80"), 1)).collect()
    }

    fn tables() -> [HashTable; 2] {
        [HashTable::Ring(1_024), HashTable::Maglev(65_537)]
    }

    #[test]
    fn one_endpoint_less_moves_few_hashes_but_its_own() {
        for table in tables() {
            let whole = Ring::new(&table, &entries(10));
            let less = Ring::new(&table, &entries(9));
            let hashes = (0..10_000_u64).map(|number| hash(&number.to_le_bytes(), 0));
            let moved = hashes.filter(|hash| {
                let before = whole.at(*hash, 0).unwrap();
                before != 9 && less.at(*hash, 0) != Some(before)
            });
            let moved = moved.count();
            // On the smaller ring each of the others gets some places more; Maglev moves a few (its paper, figure 12).
            let most = if matches!(table, HashTable::Ring(_)) { 1_000 } else { 500 };
            assert!(moved <= most, "{table:?} moved {moved} of 10,000");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let weighted = vec![(0, "10.0.0.1:80".to_owned(), 1), (1, "10.0.0.2:80".to_owned(), 3)];
        for table in tables() {
            let ring = Ring::new(&table, &weighted);
            let hashes = (0..10_000_u64).map(|number| hash(&number.to_le_bytes(), 0));
            let light = hashes.filter(|hash| ring.at(*hash, 0) == Some(0)).count();
            assert!((1_800..3_200).contains(&light), "{table:?}: {light} of 10,000 for a quarter of the weight");
        }
    }

    #[test]
    fn another_attempt_leads_elsewhere_and_nobody_is_nowhere() {
        for table in tables() {
            let ring = Ring::new(&table, &entries(10));
            let places: std::collections::BTreeSet<u32> = (0..20).filter_map(|attempt| ring.at(7, attempt)).collect();
            assert!(3 < places.len(), "{places:?}");
            assert_eq!(Ring::new(&table, &[]).at(7, 0), None);
        }
    }
}
