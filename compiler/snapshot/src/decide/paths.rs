//! Which rules of a long table a path can be for, without a look at all of them.
//!
//! Owns: the literal beginnings of paths in a table, and which of them a path has.
//! May not: decide. What it leaves out cannot match; what it names must still be asked, and the first in order that
//! matches counts.

use crate::Text;

/// Tables with fewer alternatives are looked through from the beginning: that is as fast.
const ENTRIES_MIN: usize = 16;

/// No entry.
const NONE: u32 = u32::MAX;

/// Numbers of a table's entries, by how a path must begin for them.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    /// In the order of their texts.
    beginnings: Vec<Beginning>,
    /// Entries for paths that begin in any way, in order.
    any: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Beginning {
    text: Text,
    /// The longest other beginning that this one begins with.
    within: u32,
    /// The entries, in order.
    entries: Vec<u32>,
}

impl Paths {
    /// Entries in their order, each with how a path must begin for it; with nothing, any path may do. None if there are too
    /// few of them.
    pub(super) fn new<'t>(entries: impl Iterator<Item = Option<&'t Text>>) -> Option<Paths> {
        let (mut keyed, mut any) = (Vec::new(), Vec::new());
        for (number, text) in entries.enumerate() {
            let number = u32::try_from(number).ok().filter(|number| *number != NONE)?;
            match text {
                Some(text) => keyed.push((text, number)),
                None => any.push(number),
            }
        }
        if keyed.len() + any.len() < ENTRIES_MIN {
            return None;
        }
        keyed.sort();
        let mut beginnings: Vec<Beginning> = Vec::new();
        for (text, number) in keyed {
            if let Some(last) = beginnings.last_mut().filter(|last| last.text == *text) {
                last.entries.push(number);
                continue;
            }
            // Whatever this one begins with stands before it, and is what the one before it begins with, or that itself.
            let before = u32::try_from(beginnings.len()).unwrap_or(NONE).wrapping_sub(1);
            let within = chain(&beginnings, before).find(|at| text.starts_with(beginnings[*at].text.as_str()));
            let within = within.map_or(NONE, |at| at as u32);
            beginnings.push(Beginning { text: text.clone(), within, entries: vec![number] });
        }
        Some(Paths { beginnings, any })
    }

    /// The first entry in order that this path can be for, and that matches.
    pub(super) fn first(&self, path: &str, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = NONE;
        let mut look = |entries: &[u32]| {
            let earlier = entries.iter().take_while(|number| **number < best);
            if let Some(number) = earlier.copied().find(|number| matches(*number)) {
                best = number;
            }
        };
        look(&self.any);
        // All that the path begins with stands before it, and each of those begins with the next.
        let before = self.beginnings.partition_point(|it| it.text.as_str() <= path);
        let before = u32::try_from(before).unwrap_or(NONE).wrapping_sub(1);
        for at in chain(&self.beginnings, before).skip_while(|at| !path.starts_with(self.beginnings[*at].text.as_str()))
        {
            look(&self.beginnings[at].entries);
        }
        (best != NONE).then_some(best)
    }
}

/// A beginning, the one that it begins with, and so on.
fn chain(beginnings: &[Beginning], at: u32) -> impl Iterator<Item = usize> {
    let known = move |at: u32| (at != NONE).then_some(at as usize);
    std::iter::successors(known(at), move |at| known(beginnings[*at].within))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that a failure names its seed (SplitMix64).
    struct Draws(u64);

    impl Draws {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)) % bound
        }

        /// Few letters, so that texts begin with each other.
        fn text(&mut self) -> String {
            let length = self.below(6);
            (0..length).map(|_| ['/', 'a', 'b', 'é'][self.below(4) as usize]).collect()
        }
    }

    #[test]
    fn nothing_is_left_out_that_a_look_at_all_would_find() {
        for seed in 0..500 {
            let mut draws = Draws(seed);
            let entries: Vec<Option<Text>> = (0..ENTRIES_MIN as u64 + draws.below(60))
                .map(|_| (draws.below(8) != 0).then(|| Text::from(draws.text())))
                .collect();
            // Beside its path, a request may not fit for other reasons.
            let fits: Vec<bool> = entries.iter().map(|_| draws.below(3) != 0).collect();
            let paths = Paths::new(entries.iter().map(Option::as_ref)).unwrap();
            for _ in 0..50 {
                let path = draws.text();
                let begins = |at: usize| entries[at].as_ref().is_none_or(|text| path.starts_with(text.as_str()));
                let want = (0..entries.len()).find(|at| begins(*at) && fits[*at]);
                let found = paths.first(&path, |number| {
                    assert!(begins(number as usize), "seed {seed}: {path:?} does not begin with {number}");
                    fits[number as usize]
                });
                assert_eq!(found.map(|number| number as usize), want, "seed {seed}: {path:?} in {entries:?}");
            }
        }
    }

    #[test]
    fn short_tables_are_looked_through() {
        let text = Text::from("/a");
        assert!(Paths::new(std::iter::repeat_n(Some(&text), ENTRIES_MIN - 1)).is_none());
        assert!(Paths::new(std::iter::repeat_n(Some(&text), ENTRIES_MIN)).is_some());
    }
}
