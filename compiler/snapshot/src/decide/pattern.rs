//! RE2 patterns over bytes.
//!
//! Envoy runs RE2 in Latin-1: one byte is one character (verification.md §4), so patterns are compiled without Unicode
//! and match bytes. A match covers the whole value.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    whole: Regex,
}

/// A pattern that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(String);

impl BadPattern {
    pub(super) fn new(why: &str) -> BadPattern {
        BadPattern(why.to_owned())
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

/// The most memory that one compiled pattern may take. RE2's own default budget is 8 MiB.
const PATTERN_BYTES_MAX: usize = 8 << 20;

pub(super) fn compile(text: &str) -> Result<Regex, BadPattern> {
    let built = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| BadPattern(error.to_string().lines().last().unwrap_or_default().to_owned()))
}

impl Pattern {
    /// A pattern that must match all of a value.
    ///
    /// # Errors
    /// If it is no pattern, or one that would take too much memory.
    pub fn whole(text: &str) -> Result<Pattern, BadPattern> {
        compile(text)?; // alone first, so that `a)(b` is not mended by the group around it
        Ok(Pattern { whole: compile(&format!(r"\A(?:{text})\z"))? })
    }

    /// Whether all of the value matches.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        self.whole.is_match(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_all_of_a_value_byte_by_byte() {
        #[rustfmt::skip]
        let table = [
            ("/r/[0-9]+", &b"/r/12"[..], true),
            ("/r/[0-9]+", b"/r/12/x", false),
            ("a|b", b"ab", false),
            (".", "é".as_bytes(), false),
            ("..", "é".as_bytes(), true),
            (".", b"\xff", true),
            ("", b"", true),
        ];
        for (pattern, value, want) in table {
            assert_eq!(Pattern::whole(pattern).unwrap().matches(value), want, "{pattern} on {value:?}");
        }
        assert!(Pattern::whole("a)(b").is_err());
        assert!(Pattern::whole("(a{1000}){1000}").is_err(), "a pattern that explodes is refused");
    }
}
