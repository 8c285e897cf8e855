//! URLs, as far as a field that holds one is checked: scheme, authority, escapes.

use super::Grammar;

pub(super) const ALL: &[&Grammar] = &[&HTTP_URL, &MODULE_URL, &URI];

/// Where a key set is fetched from.
pub(crate) static HTTP_URL: Grammar = Grammar {
    what: "a URL with the scheme http or https",
    help: "write it as `https://login.example.com/.well-known/jwks.json`",
    holds: |text| scheme(text).is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https")),
    pattern: Some("^[hH][tT][tT][pP][sS]?:.*$"),
};

/// Where a module is fetched from.
pub(crate) static MODULE_URL: Grammar = Grammar {
    what: "a URL with the scheme oci, http, https or file",
    help: "write it as `oci://registry.example.com/module:1.0`",
    holds: |text| {
        if text.is_empty() {
            return false; // Istio: "url field needs to be set"
        }
        let known =
            |scheme: &str| ["", "http", "https", "file", "oci"].iter().any(|it| scheme.eq_ignore_ascii_case(it));
        // Without a scheme it is a name in a registry.
        scheme(text).map_or_else(|| scheme(&format!("http://{text}")).is_some_and(known), known)
    },
    pattern: Some(r"^\S+.*$"),
};

/// A name that a certificate may have.
pub(crate) static URI: Grammar = Grammar {
    what: "a URI",
    help: "write it as `spiffe://cluster.local/ns/shop/sa/orders`",
    holds: is_uri,
    pattern: Some(r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?"),
};

/// The scheme of a URL, empty for a path; none if the text is no URL. Go's `url.ParseRequestURI` decides what is one.
fn scheme(text: &str) -> Option<&str> {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return None;
    }
    let (scheme, rest) = split_scheme(text)?;
    let path = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() => {
            let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
            if !is_authority(authority) {
                return None;
            }
            path
        }
        _ if rest.starts_with('/') => rest,
        _ if !scheme.is_empty() => return Some(scheme), // `oci:module`: opaque, and not looked at
        _ => return None,
    };
    let path = path.split('?').next().unwrap_or_default();
    has_whole_escapes(path).then_some(scheme)
}

/// Go's rule: letters, then also digits, `+`, `-` and `.`, up to a colon. Anything else before one means: no scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if 0 < at => {}
            b':' if at == 0 => return None,
            b':' => return Some((&text[..at], &text[at + 1..])),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

fn is_authority(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if !address.is_empty() => {
                ("", rest.strip_prefix(':').or(rest.is_empty().then_some("")))
            }
            _ => return false,
        },
        None => host.rsplit_once(':').map_or((host, Some("")), |(host, port)| (host, Some(port))),
    };
    let Some(port) = port else { return false };
    let host_byte =
        |byte: u8| !matches!(byte, b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'%' | b'#');
    port.bytes().all(|byte| byte.is_ascii_digit()) && host.bytes().all(host_byte)
}

fn has_whole_escapes(path: &str) -> bool {
    let mut parts = path.split('%');
    parts.next();
    parts.all(|part| part.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    !scheme.is_empty() && !scheme.contains(['/', '?', '#']) && rest.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_known_scheme() {
        #[rustfmt::skip]
        let table = [
            (&HTTP_URL, "https://a.b/c?d", true), (&HTTP_URL, "http://a:80", true), (&HTTP_URL, "ftp://a", false),
            (&HTTP_URL, "a.b/c", false), (&HTTP_URL, "", false), (&HTTP_URL, "https://a b", false), (&HTTP_URL, "http://a:x", false),
            (&HTTP_URL, "http://a/%zz", false), (&HTTP_URL, "http://[::1]:80/", true), (&HTTP_URL, "http://[::1", false),
            (&MODULE_URL, "oci://a/b:1", true), (&MODULE_URL, "file:///a", true), (&MODULE_URL, "module", true),
            (&MODULE_URL, "registry/module", true), (&MODULE_URL, "ftp://a", false), (&MODULE_URL, "localhost:80/a", false),
            (&MODULE_URL, ":80", true), (&MODULE_URL, "a b", false),
            (&URI, "spiffe://a/b", true), (&URI, "a", false), (&URI, "://a", false), (&URI, "a:b", false),
        ];
        for (grammar, text, want) in table {
            assert_eq!((grammar.holds)(text), want, "{text} as {}", grammar.what);
        }
    }
}
