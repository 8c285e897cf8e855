//! How much of a cluster's traffic each group of its endpoints gets: levels by nearness, or shares (semantics.md §4.6).
//!
//! Invariant: as Envoy has it. A level takes 1.4 times what its healthy endpoints are of it; what it cannot take goes to the
//! next, and only if all together cannot take everything is anybody in panic.

/// In percent, how much more than its part a level takes of the traffic (Envoy's over-provisioning factor).
const MORE_PERCENT: usize = 140;

/// Some endpoints that stand alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) total: usize,
    pub(crate) healthy: usize,
    /// Its weight, if it shares the traffic with others rather than waiting for those before it.
    pub(crate) share: Option<u32>,
}

/// What a group gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// In proportion to the others'.
    pub(crate) weight: u32,
    /// Whether all of it are used, whatever their health.
    pub(crate) panic: bool,
}

/// What each group gets, in their order.
pub(crate) fn loads(groups: &[Group], panic_percent: usize) -> Vec<Load> {
    let health = |group: &Group| match group.total {
        0 => 0,
        total => (MORE_PERCENT * group.healthy / total).min(100),
    };
    let all: usize = groups.iter().map(health).sum();
    let is_in_panic = |group: &Group| all < 100 && group.healthy * 100 < panic_percent * group.total;
    if groups.iter().all(|group| group.total == 0 || is_in_panic(group)) {
        // Nobody is better than the others: everybody gets a part.
        let weight = |group: &Group| group.share.unwrap_or(1) * u32::try_from(group.total).unwrap_or(u32::MAX);
        return groups.iter().map(|group| Load { weight: weight(group), panic: true }).collect();
    }
    let mut left = 100_usize;
    let load = |group: &Group| {
        let weight = match group.share {
            Some(share) => usize::try_from(share).unwrap_or(usize::MAX).saturating_mul(health(group)),
            None => {
                let takes = if all < 100 { health(group) * 100 / all.max(1) } else { health(group) }.min(left);
                left -= takes;
                takes
            }
        };
        Load { weight: u32::try_from(weight).unwrap_or(u32::MAX), panic: is_in_panic(group) }
    };
    groups.iter().map(load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_level_cannot_take_goes_to_the_next() {
        type Row<'r> = (&'r [(usize, usize)], usize, &'r [u32], bool);
        let table: [Row<'_>; 7] = [
            (&[(4, 4), (4, 4)], 0, &[100, 0], false),
            (&[(4, 3), (4, 4)], 0, &[100, 0], false), // three of four still take all
            (&[(4, 2), (4, 4)], 0, &[70, 30], false),
            (&[(4, 0), (4, 4)], 0, &[0, 100], false),
            (&[(4, 0), (4, 1)], 0, &[0, 100], false),
            (&[(4, 0), (4, 0)], 0, &[0, 0], false),
            (&[(4, 0), (2, 0)], 50, &[4, 2], true),
        ];
        for (groups, panic_percent, want, panic) in table {
            let groups: Vec<Group> =
                groups.iter().map(|(total, healthy)| Group { total: *total, healthy: *healthy, share: None }).collect();
            let got = loads(&groups, panic_percent);
            assert_eq!(got.iter().map(|load| load.weight).collect::<Vec<_>>(), want, "{groups:?}");
            assert!(got.iter().all(|load| load.panic == panic), "{groups:?}");
        }
    }

    #[test]
    fn shares_shrink_with_the_health_of_those_who_have_them() {
        let group = |share, total, healthy| Group { total, healthy, share: Some(share) };
        let weights = |groups: &[Group]| loads(groups, 0).iter().map(|load| load.weight).collect::<Vec<_>>();
        assert_eq!(weights(&[group(80, 2, 2), group(20, 1, 1)]), [8_000, 2_000]);
        assert_eq!(weights(&[group(80, 2, 1), group(20, 1, 1)]), [5_600, 2_000]);
        assert_eq!(weights(&[group(80, 2, 0), group(20, 1, 1)]), [0, 2_000]);
    }
}
