//! Writes a pattern for the `regex` crate, so that it means over bytes what it means to RE2.

use std::fmt::Write as _;

use super::bytes::Bytes;
use super::parse::Tree;

pub(super) fn write(tree: &Tree) -> String {
    let mut text = String::new();
    add(tree, &mut text);
    text
}

fn add(tree: &Tree, text: &mut String) {
    match tree {
        Tree::Set(set) => add_set(set, text),
        Tree::TextBegin => text.push_str(r"\A"),
        Tree::TextEnd => text.push_str(r"\z"),
        Tree::LineBegin => text.push_str("(?m:^)"),
        Tree::LineEnd => text.push_str("(?m:$)"),
        Tree::WordEdge => text.push_str(r"\b"),
        Tree::NoWordEdge => text.push_str(r"\B"),
        Tree::Sequence(items) => items.iter().for_each(|item| add_item(item, text)),
        Tree::Either(alternatives) => {
            for (index, alternative) in alternatives.iter().enumerate() {
                if 0 < index {
                    text.push('|');
                }
                add(alternative, text);
            }
        }
        Tree::Group { captures, inner } => {
            text.push_str(if *captures { "(" } else { "(?:" });
            add(inner, text);
            text.push(')');
        }
        Tree::Repeat { inner, least, most, greedy } => {
            let alone = matches!(**inner, Tree::Set(_) | Tree::Group { .. });
            if alone {
                add(inner, text);
            } else {
                text.push_str("(?:");
                add(inner, text);
                text.push(')');
            }
            let count = match (least, most) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (least, None) => format!("{{{least},}}"),
                (least, Some(most)) if least == most => format!("{{{least}}}"),
                (least, Some(most)) => format!("{{{least},{most}}}"),
            };
            text.push_str(&count);
            if !greedy {
                text.push('?');
            }
        }
    }
}

fn add_item(item: &Tree, text: &mut String) {
    match item {
        Tree::Either(_) => {
            text.push_str("(?:");
            add(item, text);
            text.push(')');
        }
        _ => add(item, text),
    }
}

fn add_set(set: &Bytes, text: &mut String) {
    let ranges = set.ranges();
    if let [(low, high)] = ranges.as_slice()
        && low == high
    {
        return add_byte(*low, false, text);
    }
    // The shorter of the set and its complement; all bytes and none are written as ranges.
    let negated = 128 < set.count() && set.count() < 256 || set.count() == 0;
    let ranges = if negated { set.others().ranges() } else { ranges };
    text.push_str(if negated { "[^" } else { "[" });
    for (low, high) in ranges {
        add_byte(low, true, text);
        if low < high {
            if low + 1 < high {
                text.push('-');
            }
            add_byte(high, true, text);
        }
    }
    text.push(']');
}

fn add_byte(byte: u8, in_class: bool, text: &mut String) {
    let special: &[u8] = if in_class { br"\]-^[" } else { br"\.+*?()|[]{}^$" };
    match byte {
        b'\n' => text.push_str(r"\n"),
        b'\r' => text.push_str(r"\r"),
        b'\t' => text.push_str(r"\t"),
        b' '..=b'~' => {
            // `&&` and `~~` are operators in a class of `regex`; here no byte of a class stands twice.
            if special.contains(&byte) {
                text.push('\\');
            }
            text.push(char::from(byte));
        }
        _ => {
            let written = write!(text, r"\x{byte:02x}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }
}
