//! Names and values as Kubernetes and the Gateway API write them: lower case, and patterns of their own.

use super::{Grammar, is_name, is_token};

pub(super) const ALL: &[&Grammar] = &[
    &NAMESPACE,
    &SUBDOMAIN,
    &LABEL_KEY,
    &LABEL_VALUE,
    &PORT_KEY,
    &SHA256,
    &SELECTOR_KEY,
    &SELECTOR_VALUE,
    &API_GROUP,
    &API_KIND,
    &HOSTNAME,
    &PRECISE_HOSTNAME,
    &CONTROLLER,
    &TOKEN,
    &TOKEN_VALUE,
    &PROTOCOL,
    &ADDRESS_TYPE,
    &CORS_ORIGIN,
    &SHORT_DURATION,
    &WELL_KNOWN_CERTIFICATES,
    &PATH_CHARACTERS,
    &GRPC_SERVICE,
    &GRPC_METHOD,
];

/// A namespace, and any other label of a Kubernetes name.
pub(crate) static NAMESPACE: Grammar = Grammar {
    what: "a namespace",
    help: "write at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends",
    holds: is_lower_label,
    pattern: Some("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"),
};

/// The name of most objects.
pub(crate) static SUBDOMAIN: Grammar = Grammar {
    what: "a name",
    help: "write lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
    holds: is_subdomain,
    pattern: Some(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
};

/// The name of a label or annotation.
pub(crate) static LABEL_KEY: Grammar = Grammar {
    what: "the name of a label",
    help: "write letters, digits, `-`, `_` and `.`, at most 63, with a prefix such as `example.com/` before them or not",
    holds: is_label_key,
    pattern: Some(r"^([a-zA-Z0-9][-a-zA-Z0-9.]*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"),
};

/// The value of a label.
pub(crate) static LABEL_VALUE: Grammar = Grammar {
    what: "the value of a label",
    help: "write at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
    holds: is_label_value,
    pattern: Some(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$"),
};

/// The name of a port of a workload.
pub(crate) static PORT_KEY: Grammar = Grammar {
    what: "the name of a port",
    help: "write at most 62 letters, digits and `-`, with a letter or digit at both ends",
    holds: |text| is_name(text, 62, |byte| byte.is_ascii_alphanumeric(), |byte| *byte == b'-'),
    pattern: Some("^[a-zA-Z0-9]([-a-zA-Z0-9]{0,60}[a-zA-Z0-9])?$"),
};

/// A digest, or nothing.
pub(crate) static SHA256: Grammar = Grammar {
    what: "a SHA-256 digest",
    help: "write 64 lower-case hexadecimal digits",
    holds: |text| {
        text.is_empty()
            || text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    },
    pattern: Some("^([a-f0-9]{64})?$"),
};

/// A label that a selector names.
pub(crate) static SELECTOR_KEY: Grammar = Grammar {
    what: "a label to select by",
    help: "write the name of a label; a star selects nothing",
    holds: |text| !text.is_empty() && !text.contains('*'),
    pattern: Some(r"^[^*]+$"),
};

/// The value of a label that a selector names.
pub(crate) static SELECTOR_VALUE: Grammar = Grammar {
    what: "a value to select by",
    help: "write the whole value: a star selects nothing",
    holds: |text| !text.contains('*'),
    pattern: Some(r"^[^*]*$"),
};

/// A group of kinds; empty for the core one.
pub(crate) static API_GROUP: Grammar = Grammar {
    what: "an API group",
    help: "write a group such as `gateway.networking.k8s.io`, or \"\" for the core one",
    holds: |text| text.is_empty() || is_subdomain(text),
    pattern: Some(r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
};

/// A kind.
pub(crate) static API_KIND: Grammar = Grammar {
    what: "a kind",
    help: "write a kind such as `Service`",
    holds: |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && is_name(text, 63, |byte| byte.is_ascii_alphanumeric(), |byte| *byte == b'-')
    },
    pattern: Some("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"),
};

/// A host whose first label may be a star.
pub(crate) static HOSTNAME: Grammar = Grammar {
    what: "a host name",
    help: "write lower-case letters, digits, `-` and `.`, such as `shop.example.com` or `*.example.com`",
    holds: |text| is_subdomain(text.strip_prefix("*.").unwrap_or(text)) && text.len() <= 253,
    pattern: Some(r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
};

/// A host without a star.
pub(crate) static PRECISE_HOSTNAME: Grammar = Grammar {
    what: "a host name without a star",
    help: "write lower-case letters, digits, `-` and `.`, such as `shop.example.com`",
    holds: is_subdomain,
    pattern: Some(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
};

/// The name of a controller.
pub(crate) static CONTROLLER: Grammar = Grammar {
    what: "the name of a controller",
    help: "write a domain and a path, such as `istio.io/gateway-controller`",
    holds: is_domain_path,
    pattern: Some(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$"),
};

/// A name of a header or query parameter.
pub(crate) static TOKEN: Grammar = Grammar {
    what: "a name of HTTP",
    help: "write letters, digits and any of !#$%&'*+-.^_`|~",
    holds: is_token,
    pattern: Some(r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"),
};

/// The value of a header in the Gateway API.
pub(crate) static TOKEN_VALUE: Grammar = Grammar {
    what: "the value of a header",
    help: "write printable ASCII, with single spaces in between",
    holds: is_spaced,
    pattern: Some(r"^[!-~]+([\t ]?[!-~]+)*$"),
};

/// The protocol of a listener.
pub(crate) static PROTOCOL: Grammar = Grammar {
    what: "a protocol",
    help: "write one of HTTP, HTTPS, TLS, TCP and UDP, or a name such as `example.com/protocol`",
    holds: |text| {
        is_name(text, 255, |byte| byte.is_ascii_alphanumeric(), |byte| *byte == b'-')
            // The API's own pattern is not anchored at its start: whatever ends well passes.
            || text.rsplit_once('/').is_some_and(|(before, name)| {
                ends_a_domain(before) && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
    },
    pattern: Some(
        r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]+$",
    ),
};

/// What an address of a gateway is.
pub(crate) static ADDRESS_TYPE: Grammar = Grammar {
    what: "a type of address",
    help: "write IPAddress or Hostname, or a name such as `example.com/type`",
    holds: |text| {
        // The API's own pattern is an unanchored choice of words: it is taken as it stands.
        text.starts_with("Hostname")
            || text.contains("IPAddress")
            || text.contains("NamedAddress")
            || text.match_indices('/').any(|(at, _)| {
                let path = &text[at + 1..];
                ends_a_domain(&text[..at]) && !path.is_empty() && path.chars().all(is_path_char)
            })
    },
    pattern: Some(
        r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$",
    ),
};

/// An origin, or all of them.
pub(crate) static CORS_ORIGIN: Grammar = Grammar {
    what: "an origin",
    help: "write `https://shop.example.com`, `https://*.example.com` or `*`",
    holds: is_origin,
    pattern: Some(r"(^\*$)|(^(http(s)?)://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"),
};

/// A duration of the Gateway API.
pub(crate) static SHORT_DURATION: Grammar = Grammar {
    what: "a duration",
    help: "write whole numbers with h, m, s or ms, such as `10s` or `1m30s`",
    holds: is_short_duration,
    pattern: Some("^([0-9]{1,5}(h|m|s|ms)){1,4}$"),
};

/// Certificates that are there already.
pub(crate) static WELL_KNOWN_CERTIFICATES: Grammar = Grammar {
    what: "a set of certificates",
    help: "write `System`",
    holds: |text| {
        text == "System"
            || text.split_once('/').is_some_and(|(domain, name)| is_domain(domain) && is_qualified_name(name))
    },
    pattern: Some(
        r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$",
    ),
};

/// The characters of a path.
pub(crate) static PATH_CHARACTERS: Grammar = Grammar {
    what: "a path",
    help: "write letters, digits, `/` and any of -._~!$&'()*+,;=:@, and everything else as `%XX`",
    holds: is_path,
    pattern: Some(r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$"),
};

/// A service of gRPC.
pub(crate) static GRPC_SERVICE: Grammar = Grammar {
    what: "a gRPC service",
    help: "write a name such as `shop.v1.Orders`",
    holds: |text| text.strip_prefix('.').unwrap_or(text).split('.').all(is_identifier),
    pattern: Some(r"^\.?[a-zA-Z_][a-zA-Z_0-9]*(\.[a-zA-Z_][a-zA-Z_0-9]*)*$"),
};

/// A method of gRPC.
pub(crate) static GRPC_METHOD: Grammar = Grammar {
    what: "a gRPC method",
    help: "write a name such as `GetOrder`",
    holds: is_identifier,
    pattern: Some("^[A-Za-z_][A-Za-z_0-9]*$"),
};

fn lower(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

pub(crate) fn is_lower_label(text: &str) -> bool {
    is_name(text, 63, lower, |byte| *byte == b'-')
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && is_domain(text)
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| is_name(label, usize::MAX, lower, |byte| *byte == b'-'))
}

fn ends_a_domain(text: &str) -> bool {
    text.as_bytes().last().is_some_and(lower)
}

fn is_qualified_name(text: &str) -> bool {
    is_name(text, 63, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'-' | b'_' | b'.'))
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => {
            let lower = !prefix.bytes().any(|byte| byte.is_ascii_uppercase());
            let prefix = if lower { is_subdomain(prefix) } else { is_subdomain(&prefix.to_ascii_lowercase()) };
            prefix && is_qualified_name(name)
        }
        None => is_qualified_name(text),
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_name(text)
}

fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c)
}

fn is_domain_path(text: &str) -> bool {
    let Some((domain, path)) = text.split_once('/') else { return false };
    is_domain(domain) && !path.is_empty() && path.chars().all(is_path_char)
}

fn is_spaced(text: &str) -> bool {
    let bytes = text.as_bytes();
    let printable = |byte: &u8| (b'!'..=b'~').contains(byte);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    bytes.first().is_some_and(printable)
        && bytes.last().is_some_and(printable)
        && bytes.iter().all(|byte| printable(byte) || blank(byte))
        && !bytes.windows(2).any(|pair| blank(&pair[0]) && blank(&pair[1]))
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let port = port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()));
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    port && (host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(label))
}

fn is_short_duration(text: &str) -> bool {
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = ["ms", "h", "m", "s"].iter().find(|unit| rest[digits..].starts_with(**unit));
        let Some(unit) = unit.filter(|_| (1..=5).contains(&digits)) else { return false };
        rest = &rest[digits + unit.len()..];
        parts += 1;
    }
    (1..=4).contains(&parts)
}

pub(crate) fn is_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'%' if bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => at += 3,
            byte if byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(byte) => at += 1,
            _ => return false,
        }
    }
    !bytes.is_empty()
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_of_kubernetes() {
        let long = "a".repeat(64);
        #[rustfmt::skip]
        let table: &[(&Grammar, &[&str], &[&str])] = &[
            (&NAMESPACE, &["a", "a-1", &long[..63]], &["", "A", "a.b", "-a", &long]),
            (&SUBDOMAIN, &["a", "a.b-c.1"], &["", "A", "a..b", "a.", "a_b"]),
            (&LABEL_KEY, &["app", "a.b_c-D", "example.com/app", "Example.com/app"], &["", "-a", "a/b/c", "/a", "a/", "ex ample/a", &long]),
            (&LABEL_VALUE, &["", "a", "v1.2_3-x", &long[..63]], &["-a", "a b", "a/b", &long]),
            (&HOSTNAME, &["a.b", "*.a.b", "1.2.3.4"], &["", "*", "a.*", "*a.b", "A.b", "a_b.c"]),
            (&CONTROLLER, &["istio.io/gateway-controller", "a/b/c"], &["", "a", "a/", "/b", "A/b", "a/b c"]),
            (&TOKEN_VALUE, &["a", "a b", "a\tb"], &["", " a", "a ", "a  b", "é"]),
            (&PROTOCOL, &["HTTP", "http-x", "example.com/tcp", "Example.com/tcp"], &["", "-a", "a/", "a b", "/tcp", "a/b-c"]),
            (&CORS_ORIGIN, &["*", "https://a.b", "http://*.a.b:8080", "https://*", "https://a"], &["", "a.b", "ftp://a", "https://a:", "https://a:123456", "https://*a.b", "https://a/", "https://"]),
            (&SHORT_DURATION, &["10s", "1h2m3s4ms", "0s", "99999h"], &["", "1.5s", "100000s", "s", "1d", "1s1s1s1s1s", "-1s"]),
            (&WELL_KNOWN_CERTIFICATES, &["System", "example.com/name"], &["", "system", "a/", "/b"]),
            (&PATH_CHARACTERS, &["/", "/a/b.c~%2F@", "/%41"], &["", "/a b", "/[", "/%4", "/%zz", "/a?b", "/a#b"]),
            (&GRPC_SERVICE, &["a", ".a.B_1"], &["", "1a", "a..b", "a-b", "."]),
            (&GRPC_METHOD, &["Get", "_x1"], &["", "1a", "a.b"]),
            (&API_KIND, &["Service", "a-1"], &["", "1a", "a-", "a.b"]),
            (&PORT_KEY, &["http", "A-1"], &["", "@", "-a", "a.b", &long[..63]]),
        ];
        for (grammar, good, bad) in table {
            for text in *good {
                assert!((grammar.holds)(text), "{text} is {}", grammar.what);
            }
            for text in *bad {
                assert!(!(grammar.holds)(text), "{text} is not {}", grammar.what);
            }
        }
    }
}
