//! Grammars of strings: names, hosts, addresses, headers (semantics.md §1.2).
//!
//! Owns: what each kind of string looks like, as a function, and as a regular expression for editors.
//! May not: use a regular expression itself: these run for every string of every document.
//! Invariant: whatever a grammar's function accepts, its pattern accepts too. The pattern may accept more where the
//! rule is none of characters (a length, a number's range).

mod address;
mod authorization;
mod dns;
mod header;
mod kubernetes;
mod url;

pub(crate) use address::*;
pub(crate) use authorization::*;
pub(crate) use dns::*;
pub(crate) use header::*;
pub(crate) use kubernetes::*;
pub(crate) use url::*;

/// The grammar of a string.
#[derive(Debug)]
pub struct Grammar {
    /// What a string of it is called, as in `a DNS label`.
    pub what: &'static str,
    /// What to type.
    pub help: &'static str,
    /// Whether a string follows it.
    pub holds: fn(&str) -> bool,
    /// The same as a regular expression, as far as one can say it.
    pub pattern: Option<&'static str>,
}

/// Every grammar, for the tests that hold functions and patterns together.
#[must_use]
pub fn grammars() -> Vec<&'static Grammar> {
    [dns::ALL, address::ALL, header::ALL, kubernetes::ALL, url::ALL, authorization::ALL].concat()
}

/// Letters, digits and more in between: the shape of most names. Neither end may be one of the inner characters.
pub(crate) fn is_name(text: &str, most: usize, ends: fn(&u8) -> bool, inner: fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= most && ends(first) && ends(last) && bytes.iter().all(|byte| ends(byte) || inner(byte))
}
