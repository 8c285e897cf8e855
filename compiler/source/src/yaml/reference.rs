//! The reference reader: `serde_yaml` says what the values are, `libyaml-safer` where they stand.
//!
//! Both have libyaml's grammar, so their events come in one order: the marks are taken first, with the limits checked
//! as they come, and then `serde_yaml` is walked in step with them.
//! Invariant: every value that `serde_yaml` visits has exactly one mark; aliases are followed on both sides.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Arc;

use libyaml_safer::{EventData, Parser};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{DEPTH_MAX, DUPLICATE_KEY, KEY_NOT_TEXT, MERGE_KEY, NODES_MAX, SYNTAX, TAGGED, TOO_DEEP, TOO_LARGE, place};
use crate::{Data, FileId, Place, Problem, Span, Tree, TreeBuilder};

/// Reads the document at `chunk`. None if there is none to use; what is wrong is added to `problems`.
pub(super) fn read(text: &Arc<str>, chunk: Range<usize>, file: FileId, problems: &mut Vec<Problem>) -> Option<Tree> {
    // A byte-order mark may stand before any document; serde_yaml misreads what follows one.
    let bom = text[chunk.clone()].find('\u{feff}').filter(|at| {
        let before = &text[chunk.start..chunk.start + at];
        before.lines().all(|line| line.is_empty() || line.starts_with('#') || line.starts_with("---"))
    });
    let without_bom: String;
    let yaml = match bom {
        // Taken out rather than blanked, since blanks would indent the line; `Base` counts its bytes back in.
        Some(at) => {
            without_bom = format!("{}{}", &text[chunk.start..chunk.start + at], &text[chunk.start + at + 3..chunk.end]);
            without_bom.as_str()
        }
        None => &text[chunk.clone()],
    };
    let base = Base { start: chunk.start, bom, file };
    // libyaml-safer has places where it panics on text that it did not foresee. One document must never end the run.
    let marks = catch_unwind(|| marks(yaml, base)).unwrap_or_else(|_| {
        let message = "not YAML that can be read: the reader gave up on it".to_owned();
        Err(Box::new(SYNTAX.at(base.place(0, yaml.len()), message)))
    });
    let marks = match marks {
        Ok(marks) => marks,
        Err(problem) => {
            problems.push(*problem);
            return None;
        }
    };
    let mut walk = Walk {
        builder: TreeBuilder::new(text.clone()),
        marks: &marks,
        next: 0,
        base,
        problems,
        depth: 0,
        fatal: false,
    };
    let outcome = Value(&mut walk).deserialize(serde_yaml::Deserializer::from_str(yaml));
    let fatal = walk.fatal;
    let tree = walk.builder.finish();
    match outcome {
        Ok(()) => Some(tree),
        Err(_) if fatal => None, // already reported, with a better place
        // serde_yaml counts the steps that aliases cost, and does not say where they ran out.
        Err(error) if error.location().is_none() && error.to_string().contains("repetition limit") => {
            problems.push(too_large(base.place(0, 1)));
            None
        }
        Err(error) => {
            let at = error.location().map_or(0, |location| location.index());
            problems.push(SYNTAX.at(base.place(at, at + 1), error.to_string()));
            None
        }
    }
}

/// How offsets in the text that was parsed become offsets in the file.
#[derive(Clone, Copy)]
struct Base {
    start: usize,
    /// Where, in the parsed text, a byte-order mark was taken out.
    bom: Option<usize>,
    file: FileId,
}

impl Base {
    fn offset(self, at: usize) -> usize {
        self.start + at + if self.bom.is_some_and(|bom| bom <= at) { '\u{feff}'.len_utf8() } else { 0 }
    }

    fn place(self, start: usize, end: usize) -> Place {
        place(self.file, self.offset(start), self.offset(end))
    }
}

enum Mark {
    Value(Span),
    /// The end of a list or map.
    End,
    /// Repeats the value whose mark has this index.
    Alias(usize),
}

fn marks(yaml: &str, base: Base) -> Result<Vec<Mark>, Box<Problem>> {
    // libyaml-safer panics where a block scalar ends without a line end. One more changes no mark but the last.
    let masked = without_hasty_tags(yaml);
    let text = masked.as_bytes();
    let line_end: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
    let mut parser = Parser::new();
    parser.set_input(text.chain(line_end));
    let mut marks = Vec::new();
    let mut anchors: BTreeMap<String, usize> = BTreeMap::new();
    let mut depth = 0;
    loop {
        let event = parser.parse().map_err(|error| Box::new(syntax(&error, yaml, base)))?;
        let offset = |index: u64| usize::try_from(index).unwrap_or(usize::MAX).min(yaml.len());
        let span = base.place(offset(event.start_mark.index), offset(event.end_mark.index)).span;
        let anchor = match event.data {
            EventData::StreamEnd => return Ok(marks),
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => continue,
            EventData::Alias { anchor } => {
                let Some(target) = anchors.get(&anchor) else {
                    let message = format!("`*{anchor}` names no anchor above it");
                    return Err(Box::new(SYNTAX.at(Place { file: base.file, span }, message)));
                };
                marks.push(Mark::Alias(*target));
                continue;
            }
            EventData::SequenceEnd | EventData::MappingEnd => {
                depth -= 1;
                marks.push(Mark::End);
                continue;
            }
            EventData::Scalar { anchor, .. } => anchor,
            EventData::SequenceStart { anchor, .. } | EventData::MappingStart { anchor, .. } => {
                depth += 1;
                if DEPTH_MAX < depth {
                    let message = format!("more than {DEPTH_MAX} levels deep");
                    return Err(Box::new(TOO_DEEP.at(Place { file: base.file, span }, message)));
                }
                anchor
            }
        };
        if let Some(name) = anchor {
            anchors.insert(name, marks.len());
        }
        marks.push(Mark::Value(span));
        if NODES_MAX < marks.len() {
            return Err(Box::new(too_large(Place { file: base.file, span })));
        }
    }
}

/// The text with every tag that a comma follows at once written over by as many `~`: libyaml-safer panics there. Only
/// marks are taken from it, and no mark moves by it; in what is no tag it changes nothing but the letters.
fn without_hasty_tags(yaml: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(yaml);
    let mut at = 0;
    while let Some(found) = yaml.get(at..).and_then(|rest| rest.find('!')) {
        let start = at + found;
        let of_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_;/?:@&=+$.%!~*'()".contains(byte);
        let tag = &yaml.as_bytes()[start..];
        // `!<verbatim>` may have commas and brackets of its own.
        let verbatim = tag.strip_prefix(b"!<").and_then(|uri| {
            let end = uri.iter().position(|byte| !of_tag(byte) && !b",[]".contains(byte))?;
            (uri[end] == b'>').then_some(b"!<".len() + end + 1)
        });
        let length = verbatim.unwrap_or_else(|| tag.iter().take_while(|byte| of_tag(byte)).count());
        at = start + length;
        if yaml.as_bytes().get(at) == Some(&b',') {
            masked.to_mut().replace_range(start..at, &"~".repeat(length));
        }
    }
    masked
}

fn syntax(error: &libyaml_safer::Error, yaml: &str, base: Base) -> Problem {
    let at = error.problem_mark().map_or_else(
        || yaml.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r')).unwrap_or(0),
        |mark| usize::try_from(mark.index).unwrap_or(0),
    );
    let message = match error.context() {
        Some(context) if !context.is_empty() => format!("not YAML: {} {context}", error.problem()),
        _ => format!("not YAML: {}", error.problem()),
    };
    let end = at + yaml.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let help = match yaml.as_bytes().get(at) {
        Some(b'\t') => "indent with spaces: YAML allows no tabs there".into(),
        _ => "look at the lines above as well: what is wrong often begins there, with an open quote or bracket, or another \
              indentation"
            .into(),
    };
    Problem { help, ..SYNTAX.at(base.place(at, end), message) }
}

fn too_large(at: Place) -> Problem {
    let help = format!("write fewer values, or split the document: {NODES_MAX} values are the most, aliases expanded");
    Problem { help, ..TOO_LARGE.at(at, "too many values in one document".into()) }
}

/// The state of one walk through `serde_yaml`'s values and the marks.
struct Walk<'m> {
    builder: TreeBuilder,
    marks: &'m [Mark],
    next: usize,
    base: Base,
    problems: &'m mut Vec<Problem>,
    depth: usize,
    /// A problem was reported after which the document cannot be used.
    fatal: bool,
}

impl Walk<'_> {
    fn place(&self, span: Span) -> Place {
        Place { file: self.base.file, span }
    }

    /// Adds a scalar at the current mark.
    fn scalar<E: serde::de::Error>(&mut self, data: Data<'_>) -> Result<(), E> {
        let span = self.take()?;
        self.builder.add(data, span);
        Ok(())
    }

    fn take<E: serde::de::Error>(&mut self) -> Result<Span, E> {
        let Some(Mark::Value(span)) = self.marks.get(self.next) else {
            return Err(E::custom("the two YAML readers disagree about this document"));
        };
        let span = *span;
        self.next += 1;
        if NODES_MAX < self.builder.len() {
            return Err(self.stop(too_large(self.place(span))));
        }
        Ok(span)
    }

    fn stop<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        self.problems.push(problem);
        self.fatal = true;
        E::custom("stopped")
    }

    /// The end of a list or map: its value ends where its mark says.
    fn close(&mut self, index: u32) {
        if let Some(Mark::End) = self.marks.get(self.next) {
            self.next += 1;
        }
        self.builder.close(index);
    }
}

/// Reads one value into the tree.
struct Value<'w, 'm>(&'w mut Walk<'m>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let walk = self.0;
        walk.depth += 1;
        if DEPTH_MAX < walk.depth {
            let span = walk.marks.iter().take(walk.next + 1).rev().find_map(|mark| match mark {
                Mark::Value(span) => Some(*span),
                _ => None,
            });
            let message = format!("more than {DEPTH_MAX} levels deep once its aliases are expanded");
            return Err(walk.stop(TOO_DEEP.at(walk.place(span.unwrap_or_default()), message)));
        }
        let resume = match walk.marks.get(walk.next) {
            Some(Mark::Alias(target)) => Some((walk.next + 1, *target)),
            _ => None,
        };
        if let Some((_, target)) = resume {
            walk.next = target;
        }
        deserializer.deserialize_any(Value(walk))?;
        if let Some((next, _)) = resume {
            walk.next = next;
        }
        walk.depth -= 1;
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.scalar(Data::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.0.scalar(Data::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.0.scalar(i64::try_from(value).map_or(Data::UInt(value), Data::Int))
    }

    // A whole number of more than 64 bits is no integer of any field: it stays a number, and is refused by its range.
    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<(), E> {
        self.0.scalar(Data::Float(value as f64))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<(), E> {
        self.0.scalar(Data::Float(value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.0.scalar(Data::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.0.scalar(Data::Text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        // A document without content has no event of its own on either side.
        if self.0.marks.is_empty() {
            return Ok(());
        }
        self.0.scalar(Data::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let span = self.0.take()?;
        let index = self.0.builder.add(Data::List, span);
        while items.next_element_seed(Value(self.0))?.is_some() {}
        self.0.close(index);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let walk = self.0;
        let span = walk.take()?;
        let index = walk.builder.add(Data::Map, span);
        let mut seen = BTreeSet::new();
        while let Some((name, at)) = pairs.next_key_seed(Key(walk))? {
            if name == "<<" {
                let help = "write the fields out; Kubernetes does not expand merge keys".into();
                let problem = MERGE_KEY.at(at, "`<<` is a merge key, which no resource has".into());
                walk.problems.push(Problem { help, ..problem });
            } else if !seen.insert(name.clone()) {
                let help = format!("keep one `{name}`");
                walk.problems
                    .push(Problem { help, ..DUPLICATE_KEY.at(at, format!("`{name}` stands twice in this map")) });
            }
            pairs.next_value_seed(Value(walk))?;
        }
        walk.close(index);
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let walk = self.0;
        let span = match walk.marks.get(walk.next) {
            Some(Mark::Value(span)) => *span,
            _ => Span::default(),
        };
        let (tag, value) = tagged.variant::<String>()?;
        let help = format!("take the tag `!{tag}` away");
        walk.problems
            .push(Problem { help, ..TAGGED.at(walk.place(span), format!("`!{tag}` is a tag, which no resource has")) });
        value.newtype_variant_seed(Value(walk))
    }
}

/// Reads one key into the tree, as text, and gives the text and its place.
struct Key<'w, 'm>(&'w mut Walk<'m>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = (String, Place);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let walk = self.0;
        let resume = match walk.marks.get(walk.next) {
            Some(Mark::Alias(target)) => Some((walk.next + 1, *target)),
            _ => None,
        };
        if let Some((_, target)) = resume {
            walk.next = target;
        }
        let key = deserializer.deserialize_any(Key(walk))?;
        if let Some((next, _)) = resume {
            walk.next = next;
        }
        Ok(key)
    }
}

impl Key<'_, '_> {
    fn add<E: serde::de::Error>(self, text: &str) -> Result<(String, Place), E> {
        let span = self.0.take()?;
        self.0.builder.add(Data::Text(text), span);
        Ok((text.to_owned(), self.0.place(span)))
    }

    fn refuse<E: serde::de::Error>(self, what: &str) -> E {
        let span = match self.0.marks.get(self.0.next) {
            Some(Mark::Value(span)) => *span,
            _ => Span::default(),
        };
        let at = self.0.place(span);
        let problem = KEY_NOT_TEXT.at(at, format!("a key is {what}"));
        self.0.stop(Problem { help: "write a string".into(), ..problem })
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = (String, Place);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.add(if value { "true" } else { "false" })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.add(&value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.add(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        self.add(&value.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.add(value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Err(self.refuse("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("a map"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("tagged"))
    }
}
