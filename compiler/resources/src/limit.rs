//! What a value may be beyond its type: lengths, counts, ranges, grammars, uniqueness.
//!
//! Owns: the limits that a field of a `message!` can declare, and how each is checked and reported.
//! May not: allocate where nothing is wrong: every field of every document passes here.
//! Invariant: of the limits of one field, the first that is broken is reported and the others are not looked at, so
//! that one mistake is one problem.

use taut_source::{Data, Node};

use crate::grammar::Grammar;
use crate::read::{Reader, shortened};
use crate::rules;

/// One thing that a value must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// How many characters a text has, or each text of a list or map.
    Chars { least: usize, most: usize },
    /// How many items a list or map has.
    Items { least: usize, most: usize },
    /// How large a number is.
    Range { least: f64, most: f64 },
    /// What a text looks like, or each text of a list or map.
    Is { grammar: &'static Grammar, or_empty: bool },
    /// What the keys of a map look like.
    Keys(&'static Grammar),
    /// The items of a list differ in these fields; without any, they differ as a whole.
    Unique(&'static [&'static str]),
    /// The field is an old one, and what replaces it.
    Deprecated(&'static str),
}

impl Reader<'_> {
    /// Reports the first limit that a value breaks.
    pub(crate) fn limits(&mut self, node: Node<'_>, limits: &[Limit]) {
        let before = self.problems.len();
        for limit in limits {
            self.limit(node, limit);
            if before < self.problems.len() {
                return;
            }
        }
    }

    fn limit(&mut self, node: Node<'_>, limit: &Limit) {
        match limit {
            Limit::Chars { least, most } => self.each_text(node, |cx, node, text| cx.chars(node, text, *least, *most)),
            Limit::Items { least, most } => self.count(node, *least, *most),
            Limit::Range { least, most } => self.each(node, |cx, node| cx.range(node, *least, *most)),
            Limit::Is { grammar, or_empty } => self.each_text(node, |cx, node, text| {
                if !(*or_empty && text.is_empty()) {
                    cx.grammar(node, text, grammar);
                }
            }),
            Limit::Keys(grammar) => {
                for (key, _) in node.pairs() {
                    if let Some(text) = key.text() {
                        self.grammar(key, text, grammar);
                    }
                }
            }
            Limit::Unique(keys) => self.unique(node, keys),
            Limit::Deprecated(instead) => {
                let message = format!("`{}` is an old field", node.path());
                self.report(&rules::DEPRECATED, node.span(), message, (*instead).to_owned());
            }
        }
    }

    fn each(&mut self, node: Node<'_>, mut of: impl FnMut(&mut Self, Node<'_>)) {
        match node.data() {
            Data::List => node.items().for_each(|item| of(self, item)),
            Data::Map => node.pairs().for_each(|(_, value)| of(self, value)),
            _ => of(self, node),
        }
    }

    fn each_text(&mut self, node: Node<'_>, mut of: impl FnMut(&mut Self, Node<'_>, &str)) {
        self.each(node, |cx, node| {
            if let Some(text) = node.text() {
                of(cx, node, text);
            }
        });
    }

    fn chars(&mut self, node: Node<'_>, text: &str, least: usize, most: usize) {
        // Bytes are at least as many as characters: most texts need no counting.
        let few = text.len() <= most && (least == 0 || least == 1 && !text.is_empty());
        if few {
            return;
        }
        let count = text.chars().count();
        if count < least && count == 0 {
            let message = format!("`{}` is empty", node.path());
            self.report(&rules::SIZE, node.span(), message, "write at least one character, or leave it out".into());
        } else if most == 0 {
            let message = format!("`{}` must be empty", node.path());
            self.report(&rules::SIZE, node.span(), message, "leave it out".into());
        } else if count < least || most < count {
            let message = format!("`{}` has {count} characters", node.path());
            let help = match (least, most) {
                (_, usize::MAX) => format!("write at least {least}"),
                (0 | 1, _) => format!("write at most {most}"),
                _ => format!("write {least} to {most}"),
            };
            self.report(&rules::SIZE, node.span(), message, help);
        }
    }

    fn count(&mut self, node: Node<'_>, least: usize, most: usize) {
        let count = match node.data() {
            Data::List => node.items().count(),
            Data::Map => node.pairs().count(),
            _ => return,
        };
        if count < least {
            let message = format!("`{}` has {count} items", node.path());
            let help = if least == 1 { "write at least one".into() } else { format!("write at least {least}") };
            self.report(&rules::SIZE, node.span(), message, help);
        } else if most < count {
            let message = format!("`{}` has {count} items", node.path());
            self.report(&rules::SIZE, node.span(), message, format!("write at most {most}"));
        }
    }

    fn range(&mut self, node: Node<'_>, least: f64, most: f64) {
        let value = match node.data() {
            Data::Int(value) => value as f64,
            Data::UInt(value) => value as f64,
            Data::Float(value) => value,
            _ => return,
        };
        if !(least <= value && value <= most) {
            let (range, help) = match most.is_finite() {
                true => (format!("outside {least} to {most}"), format!("write a number from {least} to {most}")),
                false => (format!("below {least}"), format!("write {least} or more")),
            };
            let message = format!("`{}` is {}, {range}", node.path(), node.written());
            self.report(&rules::OUT_OF_RANGE, node.span(), message, help);
        }
    }

    /// Reports a text that does not follow a grammar. True if it does.
    pub(crate) fn grammar(&mut self, node: Node<'_>, text: &str, grammar: &Grammar) -> bool {
        let holds = (grammar.holds)(text);
        if !holds {
            let message = format!("`{}` is `{}`, not {}", node.path(), shortened(text), grammar.what);
            self.report(&rules::BAD_VALUE, node.span(), message, grammar.help.to_owned());
        }
        holds
    }

    fn unique(&mut self, list: Node<'_>, keys: &'static [&'static str]) {
        if list.items().nth(1).is_none() {
            return;
        }
        let mut seen: Vec<(Vec<Scalar<'_>>, usize)> = Vec::new();
        for (index, item) in list.items().enumerate() {
            let whole = [item];
            let values: Vec<Node<'_>> = match keys {
                [] => whole.to_vec(),
                _ => keys.iter().filter_map(|key| item.get(key)).collect(),
            };
            let scalars: Vec<Scalar<'_>> = values.iter().filter_map(|value| Scalar::of(*value)).collect();
            if scalars.is_empty() || scalars.len() < keys.len() {
                continue; // reported as missing or of a wrong type
            }
            seen.push((scalars, index));
        }
        seen.sort_unstable();
        let twice = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let mut later: Vec<usize> = twice.map(|pair| pair[1].1).collect();
        later.sort_unstable();
        for (index, item) in list.items().enumerate() {
            if later.binary_search(&index).is_err() {
                continue;
            }
            let at = keys.first().and_then(|key| item.get(key)).unwrap_or(item);
            let message = format!("`{}` is `{}`, as another item of the list has it", at.path(), at.written());
            let help = match keys {
                [] => "write each once".to_owned(),
                _ => format!("give each item a `{}` of its own", keys.join("`, `")),
            };
            self.report(&rules::DUPLICATE, at.span(), message, help);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scalar<'a> {
    Int(i64),
    Text(&'a str),
}

impl<'a> Scalar<'a> {
    fn of(node: Node<'a>) -> Option<Scalar<'a>> {
        match node.data() {
            Data::Int(value) => Some(Scalar::Int(value)),
            Data::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(Scalar::Int(value as i64)),
            Data::Text(text) => Some(Scalar::Text(text)),
            _ => None,
        }
    }
}
