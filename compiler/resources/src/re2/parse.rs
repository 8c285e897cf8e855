//! Reads a pattern by RE2's rules, one byte a character.
//!
//! Each rule here is one of RE2's own parser (`re2/parse.cc`); where RE2 and `regex` disagree, RE2 is right.

use super::Re2Problem;
use super::bytes::{Bytes, perl, posix, unicode};

/// A pattern that has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// One byte of a set.
    Set(Bytes),
    TextBegin,
    TextEnd,
    LineBegin,
    LineEnd,
    WordEdge,
    NoWordEdge,
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    Group {
        captures: bool,
        inner: Box<Tree>,
    },
    Repeat {
        inner: Box<Tree>,
        least: u32,
        most: Option<u32>,
        greedy: bool,
    },
}

impl Tree {
    /// How many steps a machine for it has, repetitions written out.
    pub(super) fn steps(&self) -> usize {
        match self {
            Tree::Set(set) => set.ranges().len().max(1),
            Tree::Sequence(items) | Tree::Either(items) => items.iter().map(|it| it.steps() + 1).sum(),
            Tree::Group { inner, .. } => inner.steps() + 2,
            Tree::Repeat { inner, least, most, .. } => {
                let times = most.unwrap_or(*least).max(1) as usize;
                (inner.steps() + 1).saturating_mul(times)
            }
            _ => 1,
        }
    }

    /// How often the innermost part is repeated at most: RE2 refuses more than a thousand, nested ones multiplied.
    fn repeats_within(&self, budget: u32) -> bool {
        match self {
            Tree::Sequence(items) | Tree::Either(items) => items.iter().all(|it| it.repeats_within(budget)),
            Tree::Group { inner, .. } => inner.repeats_within(budget),
            // `*`, `+` and `?` are no counted repetitions to RE2.
            Tree::Repeat { inner, least: 0 | 1, most: None, .. }
            | Tree::Repeat { inner, least: 0, most: Some(1), .. } => inner.repeats_within(budget),
            Tree::Repeat { inner, least, most, .. } => {
                let times = most.unwrap_or(*least).max(1);
                let left = budget / times;
                0 < left && inner.repeats_within(left)
            }
            _ => true,
        }
    }
}

const REPEATS_MAX: u32 = 1000;

/// Deeper than anyone nests, and what `regex` takes with room to spare.
const DEPTH_MAX: usize = 200;

#[derive(Clone, Copy)]
struct Flags {
    fold: bool,
    lines: bool,
    dot_all: bool,
    lazy: bool,
}

struct Parser<'p> {
    rest: &'p [u8],
    flags: Flags,
    names: Vec<&'p [u8]>,
    depth: usize,
}

type Outcome<T> = Result<T, Re2Problem>;

fn bad<T>(message: impl Into<String>, help: &'static str) -> Outcome<T> {
    Err(Re2Problem { message: message.into(), help })
}

pub(super) fn parse(pattern: &str) -> Outcome<Tree> {
    let flags = Flags { fold: false, lines: false, dot_all: false, lazy: false };
    let mut parser = Parser { rest: pattern.as_bytes(), flags, names: Vec::new(), depth: 0 };
    let tree = parser.either()?;
    if parser.rest.is_empty() {
        return Ok(tree);
    }
    bad("a `)` closes nothing", r"open the group, or write `\)`")
}

impl<'p> Parser<'p> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text.as_bytes());
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Alternatives up to a `)` or the end.
    fn either(&mut self) -> Outcome<Tree> {
        let mut alternatives = vec![self.sequence()?];
        while self.take("|") {
            alternatives.push(self.sequence()?);
        }
        Ok(match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Tree::Either(alternatives),
        })
    }

    fn sequence(&mut self) -> Outcome<Tree> {
        let mut items: Vec<Tree> = Vec::new();
        // Whether a repetition was read last: two in a row are refused.
        let mut repeated = false;
        while let Some(first) = self.rest.first().copied() {
            let was_repeated = std::mem::take(&mut repeated);
            match first {
                b'|' | b')' => break,
                b'*' | b'+' | b'?' => {
                    self.next();
                    let (least, most) = match first {
                        b'*' => (0, None),
                        b'+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(&mut items, least, most, was_repeated)?;
                    repeated = true;
                }
                b'{' => match self.count()? {
                    Some((least, most)) => {
                        self.repeat(&mut items, least, most, was_repeated)?;
                        if !items.iter().all(|item| item.repeats_within(REPEATS_MAX)) {
                            return bad(
                                "it repeats more than 1000 times",
                                "nested repetitions count multiplied: repeat less",
                            );
                        }
                        repeated = true;
                    }
                    None => {
                        self.next();
                        items.push(self.literal(b'{'));
                    }
                },
                b'(' => items.extend(self.group()?),
                b'[' => items.push(Tree::Set(self.class()?)),
                b'\\' => self.escape(&mut items)?,
                _ => {
                    self.next();
                    items.push(match first {
                        b'^' if self.flags.lines => Tree::LineBegin,
                        b'^' => Tree::TextBegin,
                        b'$' if self.flags.lines => Tree::LineEnd,
                        b'$' => Tree::TextEnd,
                        b'.' if self.flags.dot_all => Tree::Set(Bytes::ALL),
                        b'.' => Tree::Set(Bytes::of(&[(b'\n', b'\n')]).others()),
                        byte => self.literal(byte),
                    });
                }
            }
        }
        Ok(match items.len() {
            1 => items.remove(0),
            _ => Tree::Sequence(items),
        })
    }

    fn literal(&self, byte: u8) -> Tree {
        Tree::Set(self.folded(Bytes::of(&[(byte, byte)])))
    }

    fn folded(&self, set: Bytes) -> Bytes {
        if self.flags.fold { set.without_case() } else { set }
    }

    fn repeat(&mut self, items: &mut Vec<Tree>, least: u32, most: Option<u32>, stacked: bool) -> Outcome<()> {
        let lazy = self.take("?");
        if stacked {
            return bad("one repetition stands right behind another", "keep one of them, or put a group between them");
        }
        let Some(inner) = items.pop() else {
            return bad("a repetition has nothing before it", r"write what is repeated, or escape it as in `\*`");
        };
        let greedy = lazy == self.flags.lazy;
        items.push(Tree::Repeat { inner: Box::new(inner), least, most, greedy });
        Ok(())
    }

    /// `{2}`, `{2,}` or `{2,3}`; anything else in braces is text.
    fn count(&mut self) -> Outcome<Option<(u32, Option<u32>)>> {
        let Some(end) = self.rest.iter().position(|byte| *byte == b'}') else { return Ok(None) };
        let within = std::str::from_utf8(&self.rest[1..end]).unwrap_or_default();
        let number = |text: &str| -> Option<u32> {
            // RE2 takes no leading zeros, and gives up on numbers of more than eight digits: too many anyway.
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits && (text == "0" || !text.starts_with('0'));
            plain.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let counted = match within.split_once(',') {
            None => number(within).map(|times| (times, Some(times))),
            Some((least, "")) => number(least).map(|least| (least, None)),
            Some((least, most)) => number(least).zip(number(most)).map(|(least, most)| (least, Some(most))),
        };
        let Some((least, most)) = counted else { return Ok(None) };
        if REPEATS_MAX < least || most.is_some_and(|most| REPEATS_MAX < most || most < least) {
            return bad("its counts cannot be repeated", "write at most 1000, the smaller one first");
        }
        self.rest = &self.rest[end + 1..];
        Ok(Some((least, most)))
    }

    /// A group, or flags, which are none.
    fn group(&mut self) -> Outcome<Option<Tree>> {
        self.next();
        let outside = self.flags;
        let mut captures = true;
        if self.rest.starts_with(b"?P<") || self.rest.starts_with(b"?<") {
            self.name()?;
        } else if self.take("?") {
            captures = false;
            if self.set_flags()? {
                return Ok(None);
            }
        }
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return bad("its groups are nested too deep", "nest at most 200 deep");
        }
        let inner = Box::new(self.either()?);
        self.depth -= 1;
        if !self.take(")") {
            return bad("a `(` is not closed", r"close the group, or write `\(`");
        }
        self.flags = outside;
        Ok(Some(Tree::Group { captures, inner }))
    }

    fn name(&mut self) -> Outcome<()> {
        let help = "look-behind is none of RE2's; a name is of letters, digits and `_`, and each is used once";
        let start = if self.take("?P<") { 0 } else { usize::from(self.take("?<")) };
        let Some(end) = self.rest.iter().position(|byte| *byte == b'>') else {
            return bad("a name is not closed", help);
        };
        let name = &self.rest[..end];
        let fits = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !fits || self.names.contains(&name) {
            let what = if start == 1 && !fits { "`(?<` does not begin a name" } else { "a group has a bad name" };
            return bad(what, help);
        }
        self.names.push(name);
        self.rest = &self.rest[end + 1..];
        Ok(())
    }

    /// Flags up to `)` or `:`. True if nothing but flags was there: they hold to the end of the group around them.
    fn set_flags(&mut self) -> Outcome<bool> {
        let help = "RE2 has the flags i, m, s and U, and no look-around";
        let mut flags = self.flags;
        let (mut on, mut any) = (true, false);
        loop {
            match self.next() {
                Some(b'i') => flags.fold = on,
                Some(b'm') => flags.lines = on,
                Some(b's') => flags.dot_all = on,
                Some(b'U') => flags.lazy = on,
                Some(b'-') if on => {
                    (on, any) = (false, false);
                    continue;
                }
                Some(end @ (b':' | b')')) => {
                    if !on && !any {
                        return bad("a minus stands before no flag", help);
                    }
                    self.flags = flags;
                    return Ok(end == b')');
                }
                _ => return bad("`(?` begins something that RE2 does not have", help),
            }
            any = true;
        }
    }

    fn escape(&mut self, items: &mut Vec<Tree>) -> Outcome<()> {
        if let Some(set) = self.named_set()? {
            items.push(Tree::Set(set));
            return Ok(());
        }
        let simple = match self.rest.get(1) {
            Some(b'b') => Tree::WordEdge,
            Some(b'B') => Tree::NoWordEdge,
            Some(b'A') => Tree::TextBegin,
            Some(b'z') => Tree::TextEnd,
            Some(b'C') => Tree::Set(Bytes::ALL),
            Some(b'Q') => {
                self.rest = &self.rest[2..];
                while !self.rest.is_empty() && !self.take(r"\E") {
                    let byte = self.next().unwrap_or_default();
                    items.push(self.literal(byte));
                }
                return Ok(());
            }
            _ => {
                let byte = self.escaped()?;
                items.push(self.literal(byte));
                return Ok(());
            }
        };
        self.rest = &self.rest[2..];
        items.push(simple);
        Ok(())
    }

    /// `\d`, `\pN`, `\p{Name}` and their kin.
    fn named_set(&mut self) -> Outcome<Option<Bytes>> {
        let Some(letter) = self.rest.get(1).copied().filter(|_| self.rest.starts_with(b"\\")) else { return Ok(None) };
        if !matches!(letter, b'p' | b'P') {
            let positive = perl(char::from(letter.to_ascii_lowercase())).filter(|_| perl(char::from(letter)).is_some());
            let Some(positive) = positive else { return Ok(None) };
            self.rest = &self.rest[2..];
            return Ok(Some(self.signed(positive, letter.is_ascii_uppercase())));
        }
        let help = r"write a category such as `\pL` or a script such as `\p{Greek}`";
        let rest = &self.rest[2..];
        let (name, rest) = match rest.first() {
            None => return bad("a class of characters has no name", help),
            Some(b'{') => match rest.iter().position(|byte| *byte == b'}') {
                Some(end) => (&rest[1..end], &rest[end + 1..]),
                None => return bad("the name of a class of characters is not closed", help),
            },
            Some(_) => rest.split_at(1),
        };
        let text = std::str::from_utf8(name).unwrap_or_default();
        let (name, negated) = text.strip_prefix('^').map_or((text, false), |name| (name, true));
        let Some(set) = unicode(name) else { return bad(format!("`{text}` is no class of characters"), help) };
        self.rest = rest;
        Ok(Some(self.signed(set, (letter == b'P') != negated)))
    }

    /// Case is ignored before a set is negated.
    fn signed(&self, set: Bytes, negated: bool) -> Bytes {
        let set = self.folded(set);
        if negated { set.others() } else { set }
    }

    /// One escaped byte.
    fn escaped(&mut self) -> Outcome<u8> {
        self.next();
        let Some(letter) = self.next() else { return bad("it ends in a backslash", r"write `\\` for a backslash") };
        let help = "write the character itself, or `\\x41` for a byte; RE2 has no backreferences";
        let octal = |byte: &u8| (b'0'..=b'7').contains(byte);
        match letter {
            b'1'..=b'7' if !self.rest.first().is_some_and(octal) => bad("backreferences are none of RE2's", help),
            b'0'..=b'7' => {
                let mut code = u32::from(letter - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.rest.first().copied().filter(octal) else { break };
                    self.next();
                    code = code * 8 + u32::from(digit - b'0');
                }
                u8::try_from(code).or_else(|_| bad("an octal number is no byte", help))
            }
            b'x' => self.hexadecimal(),
            b'n' => Ok(b'\n'),
            b'r' => Ok(b'\r'),
            b't' => Ok(b'\t'),
            b'a' => Ok(7),
            b'f' => Ok(12),
            b'v' => Ok(11),
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != b'_' => Ok(letter),
            letter => bad(format!(r"`\{}` means nothing", char::from(letter)), help),
        }
    }

    fn hexadecimal(&mut self) -> Outcome<u8> {
        let help = r"write two hexadecimal digits, as in `\x41`: patterns match bytes";
        let digits = if self.take("{") {
            let end = self.rest.iter().position(|byte| *byte == b'}');
            let Some(end) = end.filter(|end| 0 < *end) else { return bad("a hexadecimal number is not closed", help) };
            let digits = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            digits
        } else {
            let Some(digits) = self.rest.get(..2) else { return bad("a hexadecimal number is cut short", help) };
            self.rest = &self.rest[2..];
            digits
        };
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| plain);
        match code.map(u8::try_from) {
            Some(Ok(byte)) => Ok(byte),
            _ => bad("a hexadecimal number is no byte", help),
        }
    }

    /// `[...]`.
    fn class(&mut self) -> Outcome<Bytes> {
        let help = r"close it with `]`, or write `\[`";
        self.next();
        let negated = self.take("^");
        let mut set = Bytes::NONE;
        let mut first = true;
        loop {
            match self.rest.first() {
                None => return bad("a `[` is not closed", help),
                Some(b']') if !first => break,
                Some(_) => first = false,
            }
            if let Some(named) = self.posix()? {
                set.and_also(named);
            } else if let Some(named) = self.named_set()? {
                set.and_also(named);
            } else {
                let low = self.class_byte()?;
                let range = self.rest.len() >= 2 && self.rest[0] == b'-' && self.rest[1] != b']';
                let high = if range {
                    self.next();
                    self.class_byte()?
                } else {
                    low
                };
                if high < low {
                    return bad("a range of characters ends before it begins", "write the smaller character first");
                }
                set.and_also(self.folded(Bytes::of(&[(low, high)])));
            }
        }
        self.next();
        Ok(if negated { set.others() } else { set })
    }

    fn class_byte(&mut self) -> Outcome<u8> {
        match self.rest.first() {
            Some(b'\\') => self.escaped(),
            Some(_) => Ok(self.next().unwrap_or_default()),
            None => bad("a `[` is not closed", r"close it with `]`, or write `\[`"),
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`; without its end it is text.
    fn posix(&mut self) -> Outcome<Option<Bytes>> {
        let Some(rest) = self.rest.strip_prefix(b"[:") else { return Ok(None) };
        let Some(end) = rest.windows(2).position(|pair| pair == b":]") else { return Ok(None) };
        let text = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        let (name, negated) = text.strip_prefix('^').map_or((text, false), |name| (name, true));
        let Some(set) = posix(name) else {
            return bad(format!("`[:{text}:]` is no class of characters"), "write one such as `[:alpha:]`");
        };
        self.rest = &rest[end + 2..];
        Ok(Some(self.signed(set, negated)))
    }
}
