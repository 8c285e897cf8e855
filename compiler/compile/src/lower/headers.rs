//! Header changes (semantics.md §3.7): remove, then set, then add; names in lower case and sorted.

use std::collections::{BTreeMap, BTreeSet};

use taut_resources::HeaderOperations;
use taut_snapshot::Text;
use taut_snapshot::object::HeaderOps;

/// Header changes, and the Host that they ask for: `host` and `:authority` are no header edits but a change of host.
pub(super) fn operations(operations: Option<&HeaderOperations>) -> (Option<HeaderOps>, Text) {
    let Some(operations) = operations else { return (None, Text::default()) };
    let lower = |name: &str| Text::new(name.to_ascii_lowercase());
    let is_host = |name: &str| name == "host" || name == ":authority";
    let pairs = |labels: &taut_resources::Labels| -> BTreeMap<Text, Text> {
        labels.iter().map(|(name, value)| (lower(name), value.clone())).collect()
    };
    let (mut set, mut add) = (pairs(&operations.set), pairs(&operations.add));
    let mut host = Text::default();
    for pairs in [&mut add, &mut set] {
        for name in ["host", ":authority"] {
            if let Some(value) = pairs.remove(name) {
                host = value; // `set` goes before `add`: it comes last here
            }
        }
    }
    let remove: BTreeSet<Text> =
        operations.remove.iter().map(|name| lower(name)).filter(|name| !is_host(name)).collect();
    set.retain(|name, _| !name.starts_with(':'));
    add.retain(|name, _| !name.starts_with(':'));
    let ops = HeaderOps {
        remove: remove.into_iter().collect(),
        set: set.into_iter().collect(),
        add: add.into_iter().collect(),
    };
    (some(ops), host)
}

/// The changes of a rule followed by those of its only destination, as one: the destination's win.
pub(super) fn then(first: Option<HeaderOps>, second: Option<HeaderOps>) -> Option<HeaderOps> {
    let (Some(mut ops), Some(second)) = (first.clone(), second.clone()) else { return first.or(second) };
    let replaced = |name: &Text| second.remove.contains(name) || second.set.iter().any(|(set, _)| set == name);
    ops.set.retain(|(name, _)| !replaced(name));
    ops.add.retain(|(name, _)| !replaced(name));
    ops.remove.extend(second.remove);
    ops.set.extend(second.set);
    ops.add.extend(second.add);
    ops.remove.sort();
    ops.remove.dedup();
    ops.set.sort();
    // Of one name, what the rule adds comes before what the destination adds.
    ops.add.sort_by(|a, b| a.0.cmp(&b.0));
    some(ops)
}

fn some(ops: HeaderOps) -> Option<HeaderOps> {
    let empty = ops.remove.is_empty() && ops.set.is_empty() && ops.add.is_empty();
    if empty { None } else { Some(ops) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Option<HeaderOps> {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Some(HeaderOps { remove: remove.iter().map(|name| (*name).into()).collect(), set: pairs(set), add: pairs(add) })
    }

    #[test]
    fn the_only_destination_has_the_last_word() {
        let first = ops(&["a"], &[("b", "1"), ("c", "1")], &[("d", "1"), ("e", "1")]);
        let second = ops(&["b", "e"], &[("c", "2")], &[("d", "2")]);
        assert_eq!(then(first.clone(), second), ops(&["a", "b", "e"], &[("c", "2")], &[("d", "1"), ("d", "2")]));
        assert_eq!(then(first.clone(), None), first);
    }
}
