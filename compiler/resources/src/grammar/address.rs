//! Addresses: IP, blocks of them, sockets in the file system, localities.

use std::net::IpAddr;

use super::{Grammar, is_label};

pub(super) const ALL: &[&Grammar] = &[
    &IP,
    &IP_OR_BLOCK,
    &BIND,
    &UNIX_SOCKET,
    &HOST_AND_PORT,
    &DEFAULT_ENDPOINT,
    &ENTRY_ADDRESS,
    &PORT_TEXT,
    &PROVIDER_SERVICE,
];

/// An IP address.
pub(crate) static IP: Grammar = Grammar {
    what: "an IP address",
    help: "write an address such as `10.0.0.1` or `2001:db8::1`",
    holds: is_ip,
    pattern: Some("^[0-9a-fA-F.:]+$"),
};

/// An IP address, or a block of them.
pub(crate) static IP_OR_BLOCK: Grammar = Grammar {
    what: "an address or a block of addresses",
    help: "write `10.0.0.1` or `10.0.0.0/8`",
    holds: is_ip_or_block,
    pattern: Some("^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"),
};

/// What a listener is bound to.
pub(crate) static BIND: Grammar = Grammar {
    what: "an address to listen on",
    help: "write an IP address, `unix:///path` or `unix://@name`",
    holds: |text| is_ip(text) || is_unix(text),
    pattern: Some("^([0-9a-fA-F.:]+|unix://[/@].*)$"),
};

/// A socket in the file system, or an abstract one.
pub(crate) static UNIX_SOCKET: Grammar = Grammar {
    what: "a socket",
    help: "write `unix:///path/to/socket` or `unix://@name`",
    holds: is_unix,
    pattern: Some("^unix://[/@].*$"),
};

/// `host:port`.
pub(crate) static HOST_AND_PORT: Grammar = Grammar {
    what: "a host with a port",
    help: "write it as `collector.observability:9411`",
    holds: |text| split_port(text).is_some_and(|(host, _)| super::is_fqdn(host) || is_ip(host)),
    pattern: Some(r"^.+:[0-9]{1,5}$"),
};

/// Where a sidecar hands requests to.
pub(crate) static DEFAULT_ENDPOINT: Grammar = Grammar {
    what: "an endpoint of the workload itself",
    help: "write `127.0.0.1:8080`, `0.0.0.0:8080`, `[::1]:8080`, `[::]:8080`, `:8080` or `unix:///path`",
    holds: |text| {
        is_unix(text)
            || split_port(text).is_some_and(|(host, _)| matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "::1" | "::"))
    },
    pattern: Some(r"^(unix://[/@].*|(127\.0\.0\.1|0\.0\.0\.0|\[::1?\])?:[0-9]{1,5})$"),
};

/// The address of a workload: an IP, a name, or a socket.
pub(crate) static ENTRY_ADDRESS: Grammar = Grammar {
    what: "the address of a workload",
    help: "write an IP address, a host name, `unix:///path` or `unix://@name`",
    holds: |text| if text.starts_with("unix://") { is_unix(text) } else { is_ip(text) || super::is_fqdn(text) },
    pattern: Some(r"^([a-zA-Z0-9:][-a-zA-Z0-9.:]*|unix://[/@].*)$"),
};

/// A port written as a string.
pub(crate) static PORT_TEXT: Grammar = Grammar {
    what: "a port",
    help: "write a number from 0 to 65535, quoted",
    holds: is_port_text,
    pattern: Some("^[0-9]+$"),
};

pub(crate) fn is_port_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

pub(crate) fn is_ip(text: &str) -> bool {
    // Most strings that are asked about are names: those need no parser.
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')) && text.parse::<IpAddr>().is_ok()
}

pub(crate) fn is_ip_or_block(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return is_ip(text) };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    digits && (bits == "0" || !bits.starts_with('0')) && bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

pub(crate) fn is_unix(text: &str) -> bool {
    let Some(path) = text.strip_prefix("unix://") else { return false };
    (path.starts_with('@') || path.starts_with('/')) && !path.ends_with('/')
}

/// The host and port of `host:port` or `[host]:port`.
fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    match host.strip_prefix('[') {
        Some(host) => Some((host.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

/// `region`, `region/zone` or `region/zone/subzone`; a star only as the end.
pub(crate) fn is_locality(text: &str) -> bool {
    let stars = text.matches('*').count();
    (stars == 0 || stars == 1 && text.ends_with('*')) && text.splitn(3, '/').all(|part| !part.is_empty())
}

/// `[namespace/]host` of a service that a provider names.
pub(crate) static PROVIDER_SERVICE: Grammar = Grammar {
    what: "a service",
    help: "write `collector.observability.svc.cluster.local`, with `namespace/` before it or not",
    holds: |text| match text.split_once('/') {
        None => super::is_fqdn(text) || is_ip(text),
        Some((namespace, host)) => {
            (matches!(namespace, "*" | "." | "~") || is_label(namespace)) && super::is_fqdn(host)
        }
    },
    pattern: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_blocks() {
        #[rustfmt::skip]
        let table = [
            ("10.0.0.1", true), ("10.0.0.0/8", true), ("10.1.2.3/8", true), ("::1/128", true), ("0.0.0.0/0", true),
            ("10.0.0.1/33", false), ("10.0.0.1/", false), ("10.0.0.1/08", false), ("10.0.0", false), ("010.0.0.1", false),
            ("10.0.0.1/8/8", false), ("::1/129", false), ("a", false), ("", false), ("10.0.0.0/+8", false),
        ];
        for (text, want) in table {
            assert_eq!(is_ip_or_block(text), want, "{text}");
        }
    }

    #[test]
    fn sockets_and_endpoints() {
        #[rustfmt::skip]
        let table = [
            (&UNIX_SOCKET, "unix:///a/b", true), (&UNIX_SOCKET, "unix://@a", true), (&UNIX_SOCKET, "unix://a", false),
            (&UNIX_SOCKET, "unix:///a/", false), (&UNIX_SOCKET, "unix://", false), (&UNIX_SOCKET, "/a", false),
            (&DEFAULT_ENDPOINT, "127.0.0.1:80", true), (&DEFAULT_ENDPOINT, ":80", true), (&DEFAULT_ENDPOINT, "[::1]:80", true),
            (&DEFAULT_ENDPOINT, "unix:///a", true), (&DEFAULT_ENDPOINT, "10.0.0.1:80", false), (&DEFAULT_ENDPOINT, "80", false),
            (&DEFAULT_ENDPOINT, ":0", false), (&DEFAULT_ENDPOINT, ":70000", false), (&DEFAULT_ENDPOINT, "::1:80", false),
            (&HOST_AND_PORT, "zipkin:9411", true), (&HOST_AND_PORT, "[::1]:9411", true), (&HOST_AND_PORT, "zipkin", false),
            (&HOST_AND_PORT, "zip_kin:1", false), (&PORT_TEXT, "0", true), (&PORT_TEXT, "65536", false), (&PORT_TEXT, "+1", false),
            (&ENTRY_ADDRESS, "a.b", true), (&ENTRY_ADDRESS, "10.0.0.1", true), (&ENTRY_ADDRESS, "unix://a", false),
            (&ENTRY_ADDRESS, "a_b", false), (&BIND, "a.b", false), (&BIND, "::", true),
        ];
        for (grammar, text, want) in table {
            assert_eq!((grammar.holds)(text), want, "{text} as {}", grammar.what);
        }
    }

    #[test]
    fn localities_have_a_star_at_the_end_alone() {
        for text in ["a", "a/b", "a/b/c", "*", "a/*", "a/b/*", "a/b/c/d"] {
            assert!(is_locality(text), "{text}");
        }
        for text in ["", "a/", "/b", "*/b", "a//c", "a/*/c", "**"] {
            assert!(!is_locality(text), "{text}");
        }
    }
}
