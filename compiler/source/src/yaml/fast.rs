//! The fast reader: the block style that people write, in one pass over its bytes.
//!
//! It knows a small part of YAML and is sure of it: block maps and lists, scalars on one line whose type is beyond doubt,
//! short flow collections. At the first byte that it is not sure of it gives up, and the reference reader takes the
//! document. So it never has to be complete, only right: what it returns equals what the reference reader returns,
//! values and places both. A differential fuzz target and a property test hold it to that.
//!
//! May not: report anything. Whatever is wrong with a document is found by the reference reader.

use std::ops::Range;
use std::sync::Arc;

use super::DEPTH_MAX;
use crate::{Data, Span, Tree, TreeBuilder};

/// libyaml refuses keys above 1024 bytes.
const KEY_BYTES_MAX: usize = 1000;

/// Every key is compared with those before it: more of them are left to the reader that keeps them in a set.
const KEYS_MAX: usize = 200;

/// A document that the fast reader leaves to the reference reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unsure;

/// Reads a document, if it is of the kind that this reader is sure of.
pub(super) fn read(text: &Arc<str>, chunk: Range<usize>) -> Option<Tree> {
    let bytes = text[chunk.clone()].as_bytes();
    let base = u32::try_from(chunk.start).ok()?;
    u32::try_from(chunk.end).ok()?;
    let builder = TreeBuilder::for_bytes(text.clone(), bytes.len());
    let mut walk = Walk { bytes, at: 0, base, builder, keys: Vec::new(), ahead: None };
    match walk.document() {
        Ok(()) => Some(walk.builder.finish()),
        Err(Unsure) => None,
    }
}

/// One line that holds something: where its first byte is, and how far it is indented.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    indent: usize,
}

struct Walk<'t> {
    bytes: &'t [u8],
    /// The first byte that was not read yet; between lines it is the first byte of a line.
    at: usize,
    base: u32,
    builder: TreeBuilder,
    /// The keys of the maps that are open, for finding one that stands twice.
    keys: Vec<Range<usize>>,
    /// A key that was seen before it is read: where it begins and ends.
    ahead: Option<(usize, usize)>,
}

/// What a scalar is, where there can be no doubt.
enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Text,
}

impl<'t> Walk<'t> {
    fn document(&mut self) -> Result<(), Unsure> {
        if self.bytes.starts_with(b"---") {
            self.at = 3;
            self.end_of_line()?;
        }
        let Some(line) = self.next_line()? else { return Ok(()) };
        self.block(line, 0)?;
        match self.next_line()? {
            None => Ok(()),
            Some(_) => Err(Unsure),
        }
    }

    /// The next line that holds something; blank lines and comments are passed over, but not the line itself.
    fn next_line(&mut self) -> Result<Option<Line>, Unsure> {
        while self.at < self.bytes.len() {
            let mut end = self.at;
            while self.bytes.get(end) == Some(&b' ') {
                end += 1;
            }
            match self.bytes.get(end) {
                None => {
                    self.at = end;
                }
                Some(b'\n') => self.at = end + 1,
                Some(b'#') => {
                    self.at = end;
                    self.skip_comment()?;
                }
                Some(byte) if is_plain(*byte) => return Ok(Some(Line { start: end, indent: end - self.at })),
                Some(_) => return Err(Unsure),
            }
        }
        Ok(None)
    }

    /// Passes over a comment and its line end.
    fn skip_comment(&mut self) -> Result<(), Unsure> {
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'\n' => return Ok(()),
                byte if is_plain(*byte) || *byte == b' ' => {}
                _ => return Err(Unsure),
            }
        }
        Ok(())
    }

    /// Passes over what may follow a value: blanks, a comment after at least one of them, the line end.
    fn end_of_line(&mut self) -> Result<(), Unsure> {
        let start = self.at;
        while self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            None => Ok(()),
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            Some(b'#') if start < self.at => self.skip_comment(),
            Some(_) => Err(Unsure),
        }
    }

    /// A map or list that begins on this line, at its indentation.
    fn block(&mut self, line: Line, depth: usize) -> Result<(), Unsure> {
        if DEPTH_MAX / 2 < depth {
            return Err(Unsure);
        }
        self.at = line.start;
        match self.bytes[line.start..] {
            [b'-', b' ', ..] => {
                let list = self.builder.add(Data::List, self.span(self.at, self.at));
                self.items(line.indent, depth)?;
                self.builder.close(list);
                Ok(())
            }
            _ => self.map(line.indent, depth),
        }
    }

    /// The items of a list whose first dash is at `at`; every item's dash has the same indentation.
    fn items(&mut self, indent: usize, depth: usize) -> Result<(), Unsure> {
        loop {
            self.at += 1;
            let blanks = self.blanks();
            match self.bytes.get(self.at) {
                // An item on the next line, or none, or a list in a list: rare, and subtle.
                None | Some(b'\n' | b'#') => return Err(Unsure),
                Some(b'-') if matches!(self.bytes.get(self.at + 1), None | Some(b' ' | b'\n')) => return Err(Unsure),
                Some(_) => {}
            }
            let item_indent = indent + 1 + blanks;
            if self.begins_key()? {
                self.map(item_indent, depth + 1)?;
            } else {
                self.value(depth + 1)?;
                self.end_of_line()?;
            }
            match self.next_line()? {
                Some(line) if line.indent == indent && self.is_dash(line.start) => self.at = line.start,
                // Deeper: the rest of a scalar on several lines, or an error.
                Some(line) if indent < line.indent => return Err(Unsure),
                _ => return Ok(()),
            }
        }
    }

    fn is_dash(&self, at: usize) -> bool {
        matches!(self.bytes[at..], [b'-', b' ', ..])
    }

    /// A map whose first key is at `at`; every key has the same indentation.
    fn map(&mut self, indent: usize, depth: usize) -> Result<(), Unsure> {
        if DEPTH_MAX / 2 < depth {
            return Err(Unsure);
        }
        let map = self.builder.add(Data::Map, self.span(self.at, self.at));
        let first_key = self.keys.len();
        loop {
            self.key(first_key)?;
            let colon = self.at; // after the colon
            let blanks = self.blanks();
            match self.bytes.get(self.at) {
                None | Some(b'\n') => {
                    self.end_of_line()?;
                    self.nested(indent, colon, depth)?;
                }
                Some(b'#') if 0 < blanks => {
                    self.skip_comment()?;
                    self.nested(indent, colon, depth)?;
                }
                Some(_) if 0 < blanks => {
                    self.value(depth + 1)?;
                    self.end_of_line()?;
                }
                Some(_) => return Err(Unsure),
            }
            match self.next_line()? {
                Some(line) if line.indent == indent && !self.is_dash(line.start) => self.at = line.start,
                Some(line) if indent < line.indent => return Err(Unsure),
                _ => break,
            }
        }
        self.keys.truncate(first_key);
        self.builder.close(map);
        Ok(())
    }

    /// The value of a key with nothing after its colon: a block on the next lines, or null.
    fn nested(&mut self, indent: usize, colon: usize, depth: usize) -> Result<(), Unsure> {
        match self.next_line()? {
            Some(line) if indent < line.indent => {
                // A scalar on a line of its own may go on on the next: rare.
                self.at = line.start;
                let block = self.is_dash(line.start) || self.begins_key()?;
                if block { self.block(line, depth + 1) } else { Err(Unsure) }
            }
            // A list may stand at the indentation of its key.
            Some(line) if line.indent == indent && self.is_dash(line.start) => {
                self.at = line.start;
                // To libyaml such a list has a place, its first dash; one that is indented has that of its first item.
                let list = self.builder.add(Data::List, self.span(self.at, self.at + 1));
                self.items(indent, depth + 1)?;
                self.builder.close(list);
                Ok(())
            }
            _ => {
                self.builder.add(Data::Null, self.span(colon, colon));
                Ok(())
            }
        }
    }

    fn blanks(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        self.at - start
    }

    /// The end of the key at `at`, before its colon; none if there stands something else.
    fn key_end(&mut self) -> Result<Option<usize>, Unsure> {
        if let Some((at, end)) = self.ahead
            && at == self.at
        {
            return Ok(Some(end));
        }
        let end = match self.bytes.get(self.at) {
            Some(quote @ (b'"' | b'\'')) => self.quoted_end(*quote)?,
            Some(byte) if is_name(*byte) => self.name_end(),
            _ => return Ok(None),
        };
        let is_key = self.bytes.get(end) == Some(&b':') && matches!(self.bytes.get(end + 1), None | Some(b' ' | b'\n'));
        if is_key {
            self.ahead = Some((self.at, end));
        }
        Ok(is_key.then_some(end))
    }

    /// Where the name at `at` ends.
    fn name_end(&self) -> usize {
        let length = self.bytes[self.at..].iter().position(|byte| !is_name(*byte));
        length.map_or(self.bytes.len(), |length| self.at + length)
    }

    /// Whether a key and its colon stand at `at`.
    fn begins_key(&mut self) -> Result<bool, Unsure> {
        Ok(self.key_end()?.is_some())
    }

    /// Reads a key and its colon.
    fn key(&mut self, first_key: usize) -> Result<(), Unsure> {
        let Some(end) = self.key_end()? else { return Err(Unsure) };
        let start = self.at;
        let text = match self.bytes[start] {
            b'"' | b'\'' => start + 1..end - 1,
            _ => {
                // A key that is no string becomes its text: only whole numbers are sure to be written as they are.
                match scalar(&self.bytes[start..end])? {
                    Scalar::Text | Scalar::Int(_) => {}
                    Scalar::Null | Scalar::Bool(_) => return Err(Unsure),
                }
                start..end
            }
        };
        if KEY_BYTES_MAX < end - start || KEYS_MAX < self.keys.len() - first_key {
            return Err(Unsure);
        }
        let name = &self.bytes[text.clone()];
        let twice = self.keys[first_key..].iter().any(|key| self.bytes[key.clone()] == *name);
        if twice || name == b"<<" {
            return Err(Unsure);
        }
        self.text(text.clone(), self.span(start, end));
        self.keys.push(text);
        self.at = end + 1;
        Ok(())
    }

    /// A value that begins at `at` and ends on the same line.
    fn value(&mut self, depth: usize) -> Result<(), Unsure> {
        match self.bytes.get(self.at) {
            Some(quote @ (b'"' | b'\'')) => self.quoted(*quote),
            Some(b'[' | b'{') => self.flow(depth),
            Some(byte) if begins_plain(*byte) => self.plain(),
            _ => Err(Unsure),
        }
    }

    /// A scalar without quotes, to the end of the line or the comment.
    fn plain(&mut self) -> Result<(), Unsure> {
        let start = self.at;
        let mut end = start; // after the last byte that is no blank
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => break,
                b' ' => {
                    if self.bytes.get(self.at + 1) == Some(&b'#') {
                        break;
                    }
                }
                // A colon before a blank makes a key of what stands before it.
                b':' if matches!(self.bytes.get(self.at + 1), None | Some(b' ' | b'\n')) => return Err(Unsure),
                byte if is_plain(*byte) => end = self.at + 1,
                _ => return Err(Unsure),
            }
            self.at += 1;
        }
        self.at = end;
        self.scalar(start..end)
    }

    fn scalar(&mut self, range: Range<usize>) -> Result<(), Unsure> {
        let span = self.span(range.start, range.end);
        match scalar(&self.bytes[range.clone()])? {
            Scalar::Null => {
                self.builder.add(Data::Null, span);
            }
            Scalar::Bool(value) => {
                self.builder.add(Data::Bool(value), span);
            }
            Scalar::Int(value) => {
                self.builder.add(Data::Int(value), span);
            }
            Scalar::Text => self.text(range, span),
        }
        Ok(())
    }

    fn quoted(&mut self, quote: u8) -> Result<(), Unsure> {
        let start = self.at;
        let end = self.quoted_end(quote)?;
        self.at = end;
        self.text(start + 1..end - 1, self.span(start, end));
        Ok(())
    }

    /// The end of a quoted scalar on one line without escapes, after its closing quote.
    fn quoted_end(&self, quote: u8) -> Result<usize, Unsure> {
        let mut at = self.at + 1;
        loop {
            match self.bytes.get(at) {
                Some(byte) if *byte == quote => {
                    // Two single quotes are one.
                    let doubled = self.bytes.get(at + 1) == Some(&quote);
                    return if doubled { Err(Unsure) } else { Ok(at + 1) };
                }
                Some(b'\\') if quote == b'"' => return Err(Unsure),
                Some(byte) if is_plain(*byte) || *byte == b' ' => at += 1,
                _ => return Err(Unsure),
            }
        }
    }

    /// A flow collection on one line: `[a, "b"]`, `{a: b, c: [d]}`.
    fn flow(&mut self, depth: usize) -> Result<(), Unsure> {
        if DEPTH_MAX / 2 < depth {
            return Err(Unsure);
        }
        let open = self.at;
        let map = self.bytes[open] == b'{';
        let (data, close) = if map { (Data::Map, b'}') } else { (Data::List, b']') };
        let node = self.builder.add(data, self.span(open, open + 1));
        let first_key = self.keys.len();
        self.at += 1;
        self.blanks();
        if self.bytes.get(self.at) != Some(&close) {
            loop {
                if map {
                    self.key(first_key)?;
                    if self.blanks() == 0 {
                        return Err(Unsure);
                    }
                }
                self.flow_value(depth)?;
                self.blanks();
                match self.bytes.get(self.at) {
                    Some(b',') => {
                        self.at += 1;
                        self.blanks();
                    }
                    Some(byte) if *byte == close => break,
                    _ => return Err(Unsure),
                }
            }
        }
        self.at += 1;
        self.keys.truncate(first_key);
        self.builder.close(node);
        Ok(())
    }

    fn flow_value(&mut self, depth: usize) -> Result<(), Unsure> {
        match self.bytes.get(self.at) {
            Some(quote @ (b'"' | b'\'')) => self.quoted(*quote),
            Some(b'[' | b'{') => self.flow(depth + 1),
            Some(byte) if begins_plain(*byte) => {
                let start = self.at;
                let inner = |byte: u8| is_name(byte) || matches!(byte, b'*' | b'=' | b'@' | b'%' | b'+');
                let length = self.bytes[start..].iter().position(|byte| !inner(*byte)).ok_or(Unsure)?;
                self.at = start + length;
                // What may end a scalar here; anything else is left alone.
                match self.bytes[self.at] {
                    b',' | b']' | b'}' | b' ' => self.scalar(start..start + length),
                    _ => Err(Unsure),
                }
            }
            _ => Err(Unsure),
        }
    }

    /// Adds a string that stands in the text as it is. Only ASCII is ever read here, so every range is one of
    /// characters.
    fn text(&mut self, range: Range<usize>, span: Span) {
        let text = self.span(range.start, range.end);
        self.builder.add_text_at(text, span);
    }

    fn span(&self, start: usize, end: usize) -> Span {
        // `read` has seen that the chunk ends below 4 GiB.
        let offset = |at: usize| self.base + u32::try_from(at).unwrap_or(u32::MAX - self.base);
        Span { start: offset(start), end: offset(end) }
    }
}

/// What a byte may be part of.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let name = alphanumeric || matches!(byte, b'_' | b'-' | b'.' | b'/');
        let begins = alphanumeric || matches!(byte, b'_' | b'/' | b'-');
        let plain = if byte.is_ascii_graphic() { PLAIN } else { 0 };
        let name = if name { NAME } else { 0 };
        let begins = if begins { BEGINS } else { 0 };
        classes[byte as usize] = plain | name | begins;
        byte += 1;
    }
    classes
};

const PLAIN: u8 = 1;
const NAME: u8 = 2;
const BEGINS: u8 = 4;

/// A printable ASCII byte that is no blank.
fn is_plain(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & PLAIN != 0
}

/// A byte of a key, or of a scalar in a flow collection: nothing that means anything in YAML.
fn is_name(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME != 0
}

/// A byte that a scalar without quotes may begin with, and that begins nothing else.
fn begins_plain(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & BEGINS != 0
}

/// What a scalar without quotes is; unsure of everything that could be read in two ways.
fn scalar(text: &[u8]) -> Result<Scalar, Unsure> {
    match text {
        b"true" => return Ok(Scalar::Bool(true)),
        b"false" => return Ok(Scalar::Bool(false)),
        b"null" => return Ok(Scalar::Null),
        [] => return Err(Unsure),
        _ => {}
    }
    let first = text[0];
    if first.is_ascii_alphabetic() || first == b'_' || first == b'/' {
        // Words that would mean something without their case. `yes` and `on` are strings in any.
        const WORDS: &[&[u8]] = &[b"true", b"false", b"null"];
        let doubtful = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
        return if doubtful { Err(Unsure) } else { Ok(Scalar::Text) };
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        // Leading zeros make a string of it, and 19 digits may not fit.
        if (1 < digits.len() && digits[0] == b'0') || 18 < digits.len() || (negative && digits == b"0") {
            return Err(Unsure);
        }
        let value = digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Ok(Scalar::Int(if negative { -value } else { value }));
    }
    if negative || !first.is_ascii_digit() {
        return Err(Unsure);
    }
    // A digit first: a string if it has a letter that no number has, or is an address with three dots.
    let in_numbers = |byte: &u8| {
        byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'X' | b'o' | b'O' | b'_' | b'+' | b'-' | b'.' | b':')
    };
    let address = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && 1 < text.iter().filter(|byte| **byte == b'.').count();
    if text.iter().any(|byte| !in_numbers(byte)) || address { Ok(Scalar::Text) } else { Err(Unsure) }
}
