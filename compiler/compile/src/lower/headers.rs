//! Header changes (semantics.md §3.7): remove, then set, then add; names in lower case and sorted. Values with commands
//! are made for each request.

use std::collections::{BTreeMap, BTreeSet};

use taut_resources::{HeaderOperations, HeaderSide, parse_header_value};
use taut_snapshot::Text;
use taut_snapshot::object::{HeaderOps, LogPiece, MadeHeader};

use super::telemetry::log_piece;

/// Header changes, and the Host that they ask for: `host` and `:authority` are no header edits but a change of host.
pub(super) fn operations(operations: Option<&HeaderOperations>, side: HeaderSide) -> (Option<HeaderOps>, Text) {
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
    let mut made = Vec::new();
    let set = plain(set, side, false, &mut made);
    let add = plain(add, side, true, &mut made);
    (some(HeaderOps { remove: remove.into_iter().collect(), set, add, made }), host)
}

/// The headers whose values are what stands there. The others have their values made.
fn plain(all: BTreeMap<Text, Text>, side: HeaderSide, adds: bool, made: &mut Vec<MadeHeader>) -> Vec<(Text, Text)> {
    let mut kept = Vec::new();
    for (name, value) in all {
        if !value.contains('%') {
            kept.push((name, value));
            continue;
        }
        // What cannot be read was reported.
        let pieces = parse_header_value(&value, side).unwrap_or_default();
        let pieces: Vec<LogPiece> = pieces.into_iter().map(log_piece).collect();
        match pieces.as_slice() {
            [LogPiece::Text(text)] => kept.push((name, text.clone())),
            _ => made.push(MadeHeader { name, value: pieces, adds }),
        }
    }
    kept
}

/// The changes of a rule followed by those of its only destination, as one: the destination's win.
pub(super) fn then(first: Option<HeaderOps>, second: Option<HeaderOps>) -> Option<HeaderOps> {
    let (Some(mut ops), Some(second)) = (first.clone(), second.clone()) else { return first.or(second) };
    let replaced = |name: &Text| {
        second.remove.contains(name)
            || second.set.iter().any(|(set, _)| set == name)
            || second.made.iter().any(|it| !it.adds && it.name == *name)
    };
    ops.set.retain(|(name, _)| !replaced(name));
    ops.add.retain(|(name, _)| !replaced(name));
    ops.made.retain(|it| !replaced(&it.name));
    ops.remove.extend(second.remove);
    ops.set.extend(second.set);
    ops.add.extend(second.add);
    ops.made.extend(second.made);
    ops.remove.sort();
    ops.remove.dedup();
    ops.set.sort();
    // Of one name, what the rule adds comes before what the destination adds.
    ops.add.sort_by(|a, b| a.0.cmp(&b.0));
    ops.made.sort_by(|a, b| (a.adds, &a.name).cmp(&(b.adds, &b.name)));
    some(ops)
}

fn some(ops: HeaderOps) -> Option<HeaderOps> {
    let empty = ops.remove.is_empty() && ops.set.is_empty() && ops.add.is_empty() && ops.made.is_empty();
    if empty { None } else { Some(ops) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Option<HeaderOps> {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let remove = remove.iter().map(|name| (*name).into()).collect();
        Some(HeaderOps { remove, set: pairs(set), add: pairs(add), made: Vec::new() })
    }

    fn made(name: &str, value: &str, adds: bool) -> MadeHeader {
        let value = parse_header_value(value, HeaderSide::Response).unwrap().into_iter().map(log_piece).collect();
        MadeHeader { name: name.into(), value, adds }
    }

    #[test]
    fn the_only_destination_has_the_last_word() {
        let first = ops(&["a"], &[("b", "1"), ("c", "1")], &[("d", "1"), ("e", "1")]);
        let second = ops(&["b", "e"], &[("c", "2")], &[("d", "2")]);
        assert_eq!(then(first.clone(), second), ops(&["a", "b", "e"], &[("c", "2")], &[("d", "1"), ("d", "2")]));
        assert_eq!(then(first.clone(), None), first);
    }

    #[test]
    fn what_is_made_is_replaced_as_what_is_said() {
        let with = |ops: Option<HeaderOps>, made| Some(HeaderOps { made, ..ops.unwrap() });
        let first = with(
            ops(&[], &[("a", "1")], &[]),
            vec![made("b", "%PROTOCOL%", false), made("c", "%PROTOCOL%", true), made("d", "%PROTOCOL%", false)],
        );
        let second = with(ops(&["d"], &[("b", "2")], &[]), vec![made("a", "%RESP(x)%", false)]);
        let want =
            with(ops(&["d"], &[("b", "2")], &[]), vec![made("a", "%RESP(x)%", false), made("c", "%PROTOCOL%", true)]);
        assert_eq!(then(first, second), want);
    }
}
