//! Hosts: short names, wildcards, and which of two is more specific (semantics.md §1.4, §1.5).

use crate::{Settings, Text};

/// A full host name in lower case. It may start with `*`.
pub type Host = Text;

/// The full name of a host as it is written in an object of `namespace`. A name without a dot is a service of that
/// namespace; any dot makes it a full name, even `reviews.prod` (the trap of §1.4).
#[must_use]
pub fn expand(written: &str, namespace: &str, settings: &Settings) -> Host {
    if written == "*" || written.contains('.') || written.parse::<std::net::IpAddr>().is_ok() {
        return written.to_ascii_lowercase().into();
    }
    [&written.to_ascii_lowercase(), ".", namespace, ".svc.", &settings.domain_suffix].concat().into()
}

/// Whether a host stands for many.
#[must_use]
pub fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether every name of `narrow` is one of `wide`: plain suffixes, at any depth.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        None => wide == narrow,
        Some(suffix) => match narrow.strip_prefix('*') {
            Some(narrow) => narrow.ends_with(suffix),
            // Something must stand for the star.
            None => suffix.is_empty() || (suffix.len() < narrow.len() && narrow.ends_with(suffix)),
        },
    }
}

/// Whether two hosts have a name in common.
#[must_use]
pub fn overlap(a: &str, b: &str) -> bool {
    covers(a, b) || covers(b, a)
}

/// A key by which more specific hosts sort first: names before wildcards, longer before shorter, then by alphabet.
#[must_use]
pub fn specificity(host: &str) -> (bool, std::cmp::Reverse<usize>, &str) {
    (is_wildcard(host), std::cmp::Reverse(host.len()), host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_services_of_the_objects_namespace() {
        let full = |written| expand(written, "prod", &Settings::default());
        assert_eq!(full("Reviews"), "reviews.prod.svc.cluster.local");
        assert_eq!(full("reviews.prod"), "reviews.prod");
        assert_eq!(full("*"), "*");
        assert_eq!(full("::1"), "::1");
    }

    #[test]
    #[rustfmt::skip]
    fn wildcards_are_plain_suffixes() {
        let table = [
            ("*", "a.b", true), ("*.foo.com", "a.foo.com", true), ("*.foo.com", "b.a.foo.com", true),
            ("*.foo.com", "foo.com", false), ("*.foo.com", "*.a.foo.com", true), ("*.a.foo.com", "*.foo.com", false),
            ("*foo.com", "foo.com", false), ("*foo.com", "xfoo.com", true), ("a.com", "a.com", true), ("a.com", "*", false),
        ];
        for (wide, narrow, want) in table {
            assert_eq!(covers(wide, narrow), want, "{wide} {narrow}");
        }
    }
}
