//! Which destination a request is drawn for (semantics.md §3.7).

/// The index of the destination that a draw falls to. Weights are proportional; one destination takes everything,
/// whatever its weight. None if there is no destination, or several without any weight.
#[must_use]
pub fn split(weights: impl ExactSizeIterator<Item = u32> + Clone, draw: u64) -> Option<usize> {
    if weights.len() == 1 {
        return Some(0);
    }
    let sum: u64 = weights.clone().map(u64::from).sum();
    let mut left = draw.checked_rem(sum)?;
    for (index, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_falls_to_a_destination_in_proportion() {
        let mut counts = [0; 3];
        for draw in 0..1000 {
            counts[split([95, 0, 5].into_iter(), draw).unwrap()] += 1;
        }
        assert_eq!(counts, [950, 0, 50]);
        assert_eq!(split([0].into_iter(), 7), Some(0), "a lone destination takes everything");
        assert_eq!(split([0, 0].into_iter(), 7), None);
        assert_eq!(split([].into_iter(), 7), None);
    }
}
