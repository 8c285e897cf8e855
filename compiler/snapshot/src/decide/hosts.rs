//! Which host a request is for: exact names before wildcards, longer wildcards before shorter (semantics.md §1.5).

use std::borrow::Cow;
use std::collections::HashMap;

/// Names and wildcards, each leading to a number.
#[derive(Clone, Debug, Default)]
pub struct HostIndex {
    exact: HashMap<Box<str>, u32>,
    /// Suffixes of wildcards, without the `*`; longest first, ties in order of insertion.
    suffixes: Vec<(Box<str>, u32)>,
}

impl HostIndex {
    /// Adds a name or wildcard, in lower case. Of one name the first stays (semantics.md §3.3).
    pub fn insert(&mut self, host: &str, number: u32) {
        match host.strip_prefix('*') {
            Some(suffix) => {
                if !self.suffixes.iter().any(|(known, _)| **known == *suffix) {
                    let at = self.suffixes.partition_point(|(known, _)| suffix.len() <= known.len());
                    self.suffixes.insert(at, (suffix.into(), number));
                }
            }
            None => {
                self.exact.entry(host.into()).or_insert(number);
            }
        }
    }

    /// The number of the most specific name that a host matches. `host` has no port and is in any case.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<u32> {
        let host = lowercase(host);
        if let Some(number) = self.exact.get(&*host) {
            return Some(*number);
        }
        // `*.foo.com` does not match `foo.com`: something must stand for the star.
        let fits = |suffix: &str| suffix.len() < host.len() && host.ends_with(suffix);
        self.suffixes.iter().find(|(suffix, _)| suffix.is_empty() || fits(suffix)).map(|(_, number)| *number)
    }
}

fn lowercase(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// The host of an authority without its port. Brackets of an IPv6 address stay.
#[must_use]
pub fn host_without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (host.ends_with(']') || !host.contains(':')) => host,
        _ => authority,
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_host_wins() {
        let mut index = HostIndex::default();
        for (number, host) in ["*", "*.com", "*.foo.com", "a.foo.com", "*-x.foo.com"].iter().enumerate() {
            index.insert(host, number as u32);
        }
        #[rustfmt::skip]
        let table = [
            ("a.foo.com", 3), ("A.FOO.com", 3), ("b.foo.com", 2), ("c.b.foo.com", 2), ("foo.com", 1), ("com", 0),
            ("b-x.foo.com", 4), ("org", 0),
        ];
        for (host, want) in table {
            assert_eq!(index.find(host), Some(want), "{host}");
        }
    }

    #[test]
    fn ports_are_taken_off() {
        for (authority, host) in
            [("a", "a"), ("a:80", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1"), ("a:b", "a:b")]
        {
            assert_eq!(host_without_port(authority), host);
        }
    }
}
