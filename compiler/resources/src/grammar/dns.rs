//! DNS names, as Istio reads them: upper-case letters are letters too (semantics.md §1.2).

use super::{Grammar, is_ip, is_name};

pub(super) const ALL: &[&Grammar] =
    &[&LABEL, &FQDN, &DESTINATION_HOST, &WILDCARD_HOST, &GATEWAY_HOST, &EGRESS_HOST, &TRUST_DOMAIN, &FQDN_OR_IP];

const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 255;

/// One label of a name: a namespace, a subset, the name of a port.
pub(crate) static LABEL: Grammar = Grammar {
    what: "a DNS label",
    help: "write at most 63 letters, digits and `-`, with a letter or digit at both ends",
    holds: is_label,
    pattern: Some("^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$"),
};

/// A whole name.
pub(crate) static FQDN: Grammar = Grammar {
    what: "a host name",
    help: "write labels of letters, digits and `-`, separated by dots, such as `orders.shop.svc.cluster.local`",
    holds: is_fqdn,
    pattern: Some(r"^[a-zA-Z0-9][-a-zA-Z0-9.]*$"),
};

/// A whole name, or an address.
pub(crate) static FQDN_OR_IP: Grammar = Grammar {
    what: "a host name or an IP address",
    help: "write a name such as `orders.example.com`, or an address such as `10.0.0.1`",
    holds: |text| is_fqdn(text) || is_ip(text),
    pattern: Some(r"^[a-zA-Z0-9:][-a-zA-Z0-9.:]*$"),
};

/// A name whose first label may be a wildcard.
pub(crate) static WILDCARD_HOST: Grammar = Grammar {
    what: "a host name",
    help: "write a name such as `orders.shop.svc.cluster.local`, or `*.example.com`: a star stands only at the start",
    holds: is_wildcard_host,
    pattern: Some(r"^\*?[-a-zA-Z0-9.]*$"),
};

/// The host of a destination: a name of services, and not all of them.
pub(crate) static DESTINATION_HOST: Grammar = Grammar {
    what: "the host of a service",
    help: "write the name of one service, such as `orders` or `orders.shop.svc.cluster.local`",
    holds: |text| text != "*" && is_wildcard_host(text),
    pattern: Some(r"^\*?[-a-zA-Z0-9.]+$"),
};

/// A host of a gateway's server: `[namespace/]name`.
pub(crate) static GATEWAY_HOST: Grammar = Grammar {
    what: "a host of a server",
    help: "write `name.example.com`, `*.example.com`, `*` or an IP address, with `namespace/` before it or not",
    holds: is_gateway_host,
    pattern: Some(r"^([-a-zA-Z0-9.*]+/)?[-a-zA-Z0-9.:*]+$"),
};

/// A host that sidecars import: `namespace/name`.
pub(crate) static EGRESS_HOST: Grammar = Grammar {
    what: "a host to import",
    help: "write `namespace/name`, where each may be `*`: `./*` is everything in this namespace",
    holds: is_egress_host,
    pattern: Some(r"^[-a-zA-Z0-9.*~]+/[-a-zA-Z0-9.*]+$"),
};

/// The name of a trust domain.
pub(crate) static TRUST_DOMAIN: Grammar = Grammar {
    what: "a trust domain",
    help: "write labels of letters, digits and `-`, separated by dots, such as `cluster.local`",
    holds: is_trust_domain,
    pattern: Some(r"^[a-zA-Z0-9][-a-zA-Z0-9.]*$"),
};

fn alphanumeric(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

pub(crate) fn is_label(text: &str) -> bool {
    is_name(text, LABEL_MAX, alphanumeric, |byte| *byte == b'-')
}

/// A name without a wildcard. One dot may end it; the last label is no number.
pub(crate) fn is_fqdn(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_MAX && is_labels(text)
}

fn is_labels(text: &str) -> bool {
    let named = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    !numeric && (text.is_empty() || named.split('.').all(is_label))
}

/// `*`, `*.x`, `*-x.y`, `*x.y` or a name.
pub(crate) fn is_wildcard_host(text: &str) -> bool {
    if text.is_empty() || NAME_MAX < text.len() {
        return false;
    }
    let (first, rest) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let label = match first.strip_prefix('*') {
        Some("") => true,
        Some(label) => first.len() <= LABEL_MAX && is_label(label.strip_prefix('-').unwrap_or(label)),
        None => is_label(first),
    };
    label && rest.is_none_or(is_labels)
}

/// A star that stands for a part of a label.
pub(crate) fn has_partial_wildcard(text: &str) -> bool {
    text.contains('*') && text != "*" && !text.starts_with("*.")
}

fn is_gateway_host(text: &str) -> bool {
    let name = |name: &str| {
        (name == "*" || name.contains('.') || is_ip(name))
            && (is_wildcard_host(name) || is_ip(name))
            && !has_partial_wildcard(name)
    };
    match text.split_once('/') {
        None => name(text),
        Some((namespace, host)) => (matches!(namespace, "*" | ".") || is_label(namespace)) && name(host),
    }
}

fn is_egress_host(text: &str) -> bool {
    let Some((namespace, name)) = text.split_once('/') else { return false };
    // `~namespace/name` leaves a host out again.
    let known = |namespace: &str| matches!(namespace, "*" | "." | "~") || is_label(namespace);
    let place = known(namespace) || namespace.strip_prefix('~').is_some_and(known);
    place && (name == "*" || name.contains('.')) && is_wildcard_host(name) && !has_partial_wildcard(name)
}

fn is_trust_domain(text: &str) -> bool {
    let named = text.strip_suffix('.').unwrap_or(text);
    !named.is_empty() && named.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(grammar: &Grammar, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((grammar.holds)(text), "{text} is {}", grammar.what);
        }
        for text in bad {
            assert!(!(grammar.holds)(text), "{text} is not {}", grammar.what);
        }
    }

    #[test]
    fn labels_and_names() {
        let long = "a".repeat(64);
        check(&LABEL, &["a", "a-b", "A1", "0", &long[..63]], &["", "-a", "a-", "a.b", "a_b", "*", "é", &long]);
        check(&FQDN, &["a", "a.b.", "a.1b", "1.b", "A.B"], &["", ".", "a..b", "a.1", "1", "*.a", "a.b/c", ".a"]);
        check(&TRUST_DOMAIN, &["cluster.local", "a", "td.1", "a."], &["", ".", "a..b", "a_b", "spiffe://a"]);
        check(&FQDN_OR_IP, &["a.b", "10.0.0.1", "2001:db8::1"], &["", "10.0.0.300", "a:b"]);
    }

    #[test]
    fn wildcards_stand_at_the_start() {
        let good = ["*", "*.a.b", "*-a.b", "*a.b", "*a", "a", "a.b.c", "12"];
        check(&WILDCARD_HOST, &good, &["", "a*", "a.*", "*.*", "**.a", "*_a.b", "a.*.b", "*.1", ".a"]);
        check(&DESTINATION_HOST, &["orders", "*.a"], &["*", "", "a b"]);
    }

    #[test]
    fn hosts_of_gateways_and_sidecars() {
        #[rustfmt::skip]
        check(
            &GATEWAY_HOST,
            &["*", "a.b", "*.a.b", "10.0.0.1", "ns/a.b", "*/a.b", "./*", "2001:db8::1"],
            &["", "orders", "*a.b", "ns/orders", "/a.b", "ns/", "~/a.b", "n_s/a.b", "a/b/c.d"],
        );
        #[rustfmt::skip]
        check(
            &EGRESS_HOST,
            &["*/*", "./*", "~/*", "ns/a.b", "ns/*.a.b", "~ns/*", "*/a.b"],
            &["", "*", "a.b", "ns/", "/a.b", "ns/orders", "ns/*a.b", "n_s/*", "ns/10.0.0.1x/"],
        );
    }
}
