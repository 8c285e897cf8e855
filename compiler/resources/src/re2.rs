//! RE2 patterns: what is one, and the same pattern in the words of the `regex` crate.
//!
//! Owns: the difference between the two. Envoy runs RE2 in Latin-1, where one byte is one character (verification.md
//! §4), and the data plane runs `regex` over bytes; so a pattern is read by RE2's own rules (`parse`), and written
//! again as one that means the same there: classes as sets of bytes, no flags, no names, no Unicode (`write`).
//! May not: run a pattern.
//! Invariant: what `translate` gives compiles in `regex` with `unicode(false)` within 8 MiB, and matches the bytes that
//! RE2 matches.

mod bytes;
mod parse;
mod write;

use std::fmt;

/// The longest pattern (semantics.md §1.2).
const BYTES_MAX: usize = 1024;

/// The most steps that a pattern may have once its repetitions are written out. RE2 allows 8 MiB, which is about five
/// times as many of its instructions; this many states of `regex` stay below 8 MiB too.
const STEPS_MAX: usize = 60_000;

/// Why a pattern is none that RE2 runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Re2Problem {
    /// What is wrong, in a few words.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl fmt::Display for Re2Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Re2Problem {}

/// The same pattern for the `regex` crate over bytes, without Unicode.
///
/// # Errors
/// If RE2 would refuse the pattern, or the data plane could not run it within its limits.
pub fn translate(pattern: &str) -> Result<String, Re2Problem> {
    check(pattern).map(|tree| write::write(&tree))
}

/// Whether RE2 takes a pattern.
pub(crate) fn check(pattern: &str) -> Result<parse::Tree, Re2Problem> {
    if BYTES_MAX < pattern.len() {
        let message = format!("it has {} bytes", pattern.len());
        return Err(Re2Problem { message, help: "use at most 1024" });
    }
    let tree = parse::parse(pattern)?;
    if STEPS_MAX < tree.steps() {
        let message = "its repetitions make it too large".to_owned();
        return Err(Re2Problem { message, help: "repeat less, or repeat smaller parts" });
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_both_know_stay_as_they_are() {
        for pattern in ["/r/[0-9]+", "a|b", "(a)(?:b)*?", "^a$", ".*", r"a\.b", "", "a{2,3}?", "/[A-Z_a-z]*", "(|a)"] {
            let want =
                pattern.replace('^', r"\A").replace('$', r"\z").replace('.', "[^\\n]").replace("\\[^\\n]", "\\.");
            assert_eq!(translate(pattern).unwrap(), want);
        }
    }

    #[test]
    fn what_only_re2_knows_is_written_in_other_words() {
        #[rustfmt::skip]
        let table = [
            (r"\Qa.b\E+", r"a\.b+"), (r"\Qa.b", r"a\.b"), (r"(?P<n>a)(?<m>b)", "(a)(b)"), (r"\C", r"[\x00-\xff]"),
            (r"\z", r"\z"), (r"\s", r"[\t\n\x0c\r ]"), (r"[[:word:]]", "[0-9A-Z_a-z]"), (r"\pN", r"[0-9\xb2\xb3\xb9\xbc-\xbe]"),
            (r"\p{Greek}", r"[^\x00-\xff]"), (r"\P{^Nd}", "[0-9]"), (r"(?i)a", "[Aa]"), (r"(?i:a)b", "(?:[Aa])b"), (r"(?s).", r"[\x00-\xff]"),
            (r"(?m)^a$", "(?m:^)a(?m:$)"), (r"(?U)a*", "a*?"), (r"(?U)a*?", "a*"), ("é", r"\xc3\xa9"), ("[é]", r"[\xa9\xc3]"),
            ("é+", r"\xc3\xa9+"), (r"[a&&b]", "[&ab]"), (r"[[a]", r"[\[a]"), (r"[]a]", r"[\]a]"), (r"\x{41}\101\n", r"AA\n"),
            ("{", r"\{"), ("a{,2}", r"a\{,2\}"), ("a{x", r"a\{x"), (r"[^\n]", r"[^\n]"), (r"[a\-z]", r"[\-az]"), (r"\/", "/"), ("^*", r"(?:\A)*"),
        ];
        for (pattern, want) in table {
            assert_eq!(translate(pattern).as_deref(), Ok(want), "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        #[rustfmt::skip]
        let table = [
            "(a", "a)", "[a", "[b-a]", "*a", "a**", "a+*", "a{2}{3}", "(*)", "|*", "a{1001}", "a{2,1}", "(a{100}){100}", r"\1", r"(a)\1",
            "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", r"\Z", r"\_", r"\8", r"\q", r"\x{110000}", r"\x{100}", r"\xg", r"a\", "(?x)a", "(?i",
            "(?P<n>a)(?P<n>b)", "(?P<>a)", "(?P<a-b>c)", r"\p{greek}", r"\p{Nope}", r"\pX", "[[:nope:]]", r"[a-\d]", "(?-)a", "(?i-)a", r"[\z]", r"[\b]",
        ];
        for pattern in table {
            assert!(translate(pattern).is_err(), "{pattern} gives {:?}", translate(pattern));
        }
        assert!(translate(&"a".repeat(1024)).is_ok());
        assert!(translate(&"a".repeat(1025)).is_err());
        assert!(translate("((((a|b){10}){10}c){9}[a-z]{900}[^x]{900}){1}").is_ok());
        assert!(translate("(?:(abcdefghijklmnopqrstuvwxyz|[acegikmoqsuwy]{9}|x){999})").is_err());
        assert!(translate(&"(".repeat(600)).is_err());
    }
}
