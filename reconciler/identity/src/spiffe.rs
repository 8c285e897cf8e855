//! SPIFFE ids of workloads: `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT` (semantics.md §16).
//!
//! Owns: the grammar of an id (that of the SPIFFE ID standard, §2, narrowed to the workload form).
//! May not: decide who may have an id, or whether a peer is trusted.
//! Invariant: a `SpiffeId` has a trust domain of lower-case letters, digits, `.`, `-` and `_`, and a namespace and a
//! service account that are path segments of SPIFFE. Nothing in it needs escaping.

use std::fmt;
use std::str::FromStr;

/// What every id begins with.
const SCHEME: &str = "spiffe://";

/// The most bytes of an id (SPIFFE ID §2.3).
const ID_BYTES_MAX: usize = 2048;

/// The most bytes of a trust domain (SPIFFE ID §2.3).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The identity of a workload, or of a part of Taut itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(Box<str>);

/// Why a text is not the SPIFFE id of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpiffeId {
    /// It begins with something else than `spiffe://`.
    #[error("`{text}` does not begin with `spiffe://`")]
    Scheme {
        /// The text.
        text: String,
    },
    /// It is longer than any id may be.
    #[error("a SPIFFE id of {bytes} bytes: the most is {ID_BYTES_MAX}")]
    Long {
        /// Its length.
        bytes: usize,
    },
    /// Its path is not that of a workload.
    #[error("`{text}` is not of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`")]
    Form {
        /// The text.
        text: String,
    },
    /// Its trust domain breaks the rules.
    #[error(
        "the trust domain `{text}`: it takes 1 to {TRUST_DOMAIN_BYTES_MAX} lower-case letters, digits, `.`, `-` or `_`"
    )]
    TrustDomain {
        /// The trust domain.
        text: String,
    },
    /// Its namespace or service account breaks the rules.
    #[error("the {part} `{text}`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`")]
    Segment {
        /// `namespace` or `service account`.
        part: &'static str,
        /// What it is.
        text: String,
    },
}

impl SpiffeId {
    /// Reads an id.
    ///
    /// # Errors
    /// If it is not the id of a workload.
    pub fn parse(text: &str) -> Result<SpiffeId, BadSpiffeId> {
        if ID_BYTES_MAX < text.len() {
            return Err(BadSpiffeId::Long { bytes: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| BadSpiffeId::Scheme { text: text.to_owned() })?;
        match *rest.split('/').collect::<Vec<_>>() {
            [trust_domain, "ns", namespace, "sa", account] => SpiffeId::workload(trust_domain, namespace, account),
            _ => Err(BadSpiffeId::Form { text: text.to_owned() }),
        }
    }

    /// The id of a service account.
    ///
    /// # Errors
    /// If a part breaks the rules of SPIFFE.
    pub fn workload(trust_domain: &str, namespace: &str, service_account: &str) -> Result<SpiffeId, BadSpiffeId> {
        check_trust_domain(trust_domain)?;
        check_segment("namespace", namespace)?;
        check_segment("service account", service_account)?;
        let text = format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}");
        if ID_BYTES_MAX < text.len() {
            return Err(BadSpiffeId::Long { bytes: text.len() });
        }
        Ok(SpiffeId(text.into()))
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.part(0)
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.part(2)
    }

    /// The service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        self.part(4)
    }

    fn part(&self, index: usize) -> &str {
        self.0[SCHEME.len()..].split('/').nth(index).expect("`workload` writes five parts")
    }
}

fn check_trust_domain(text: &str) -> Result<(), BadSpiffeId> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    match (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits) {
        true => Ok(()),
        false => Err(BadSpiffeId::TrustDomain { text: text.to_owned() }),
    }
}

fn check_segment(part: &'static str, text: &str) -> Result<(), BadSpiffeId> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    match !text.is_empty() && text != "." && text != ".." && text.bytes().all(fits) {
        true => Ok(()),
        false => Err(BadSpiffeId::Segment { part, text: text.to_owned() }),
    }
}

impl FromStr for SpiffeId {
    type Err = BadSpiffeId;

    fn from_str(text: &str) -> Result<SpiffeId, BadSpiffeId> {
        SpiffeId::parse(text)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_three_names() {
        let id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/orders").unwrap();
        assert_eq!((id.trust_domain(), id.namespace(), id.service_account()), ("cluster.local", "shop", "orders"));
        assert_eq!(id, SpiffeId::workload("cluster.local", "shop", "orders").unwrap());
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/orders");
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn whatever_is_not_the_id_of_a_workload_is_refused_and_told_why() {
        let table = [
            ("",                                      "`` does not begin with `spiffe://`"),
            ("https://td/ns/a/sa/b",                  "`https://td/ns/a/sa/b` does not begin with `spiffe://`"),
            ("SPIFFE://td/ns/a/sa/b",                 "`SPIFFE://td/ns/a/sa/b` does not begin with `spiffe://`"),
            ("spiffe://td",                           "`spiffe://td` is not of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`"),
            ("spiffe://td/ns/a/sa/b/",                "`spiffe://td/ns/a/sa/b/` is not of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`"),
            ("spiffe://td/ns/a/SA/b",                 "`spiffe://td/ns/a/SA/b` is not of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`"),
            ("spiffe:///ns/a/sa/b",                   "the trust domain ``: it takes 1 to 255 lower-case letters, digits, `.`, `-` or `_`"),
            ("spiffe://Td/ns/a/sa/b",                 "the trust domain `Td`: it takes 1 to 255 lower-case letters, digits, `.`, `-` or `_`"),
            ("spiffe://td:80/ns/a/sa/b",              "the trust domain `td:80`: it takes 1 to 255 lower-case letters, digits, `.`, `-` or `_`"),
            ("spiffe://me@td/ns/a/sa/b",              "the trust domain `me@td`: it takes 1 to 255 lower-case letters, digits, `.`, `-` or `_`"),
            ("spiffe://td/ns//sa/b",                  "the namespace ``: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
            ("spiffe://td/ns/../sa/b",                "the namespace `..`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
            ("spiffe://td/ns/a/sa/b?c",               "the service account `b?c`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
            ("spiffe://td/ns/a/sa/b#c",               "the service account `b#c`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
            ("spiffe://td/ns/a/sa/%62",               "the service account `%62`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
            ("spiffe://td/ns/a/sa/b\0",               "the service account `b\0`: it takes letters, digits, `.`, `-` or `_`, and may not be `.` or `..`"),
        ];
        for (text, want) in table {
            assert_eq!(SpiffeId::parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }

    #[test]
    fn length_has_a_limit() {
        let domain = "d".repeat(256);
        assert!(matches!(SpiffeId::workload(&domain, "a", "b"), Err(BadSpiffeId::TrustDomain { .. })));
        let account = "b".repeat(2048);
        assert!(matches!(SpiffeId::workload("td", "a", &account), Err(BadSpiffeId::Long { .. })));
        assert!(matches!(SpiffeId::parse(&format!("spiffe://td/ns/a/sa/{account}")), Err(BadSpiffeId::Long { .. })));
    }
}
