//! What of a request says where it belongs (semantics.md §4.7, 'consistentHash').
//!
//! The function is Envoy's, so that proxies of both kinds send a client to the same endpoint.

use std::net::IpAddr;

use twox_hash::XxHash64;

use super::Request;
use crate::object::HashKey;

/// The hash of some bytes: XXH64.
#[must_use]
pub fn hash(bytes: &[u8], seed: u64) -> u64 {
    XxHash64::oneshot(seed, bytes)
}

/// The hash of a request; none if it lacks what is hashed. `source` is the client's address.
#[must_use]
pub fn hash_of(key: &HashKey, request: &Request<'_>, source: IpAddr) -> Option<u64> {
    match key {
        HashKey::Header(name) if name == ":authority" || name == "host" => Some(hash(request.authority.as_bytes(), 0)),
        HashKey::Header(name) => {
            let mut found = None;
            request.headers.any(name, &mut |value| {
                found = Some(hash(value, 0));
                true
            });
            found
        }
        HashKey::Cookie(cookie) => {
            let mut found = None;
            request.headers.any("cookie", &mut |value| {
                found = cookie_value(value, cookie.name.as_bytes()).map(|value| hash(value, 0));
                found.is_some()
            });
            found
        }
        HashKey::SourceIp => Some(hash(source.to_string().as_bytes(), 0)),
        HashKey::Query(name) => request.query_parameter(name).map(|value| hash(value.as_bytes(), 0)),
    }
}

/// Whether the proxy is to make the cookie that a request lacks.
#[must_use]
pub fn needs_cookie(key: &HashKey, found: Option<u64>) -> bool {
    found.is_none() && matches!(key, HashKey::Cookie(cookie) if cookie.lives.is_some())
}

fn cookie_value<'v>(header: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    header.split(|byte| *byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let value = pair[at + 1..].strip_prefix(b"\"").unwrap_or(&pair[at + 1..]);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        (&pair[..at] == name && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::HashCookie;

    #[test]
    fn each_key_is_found_where_it_is() {
        let headers =
            vec![("cookie".to_owned(), "other=1; user=\"7\"".to_owned()), ("x-user".to_owned(), "7".to_owned())];
        let request = Request {
            method: "GET",
            scheme: "http",
            authority: "orders",
            path: "/",
            query: Some("a=1&user=7"),
            headers: &headers,
        };
        let seven = Some(hash(b"7", 0));
        let cookie = |name: &str, lives| {
            HashKey::Cookie(HashCookie { name: name.into(), path: "".into(), lives, attributes: vec![] })
        };
        let of = |key: &HashKey| hash_of(key, &request, [10, 0, 0, 7].into());
        assert_eq!(of(&HashKey::Header("x-user".into())), seven);
        assert_eq!(of(&HashKey::Query("user".into())), seven);
        assert_eq!(of(&cookie("user", None)), seven);
        assert_eq!(of(&HashKey::SourceIp), Some(hash(b"10.0.0.7", 0)));
        assert_eq!(of(&HashKey::Header("x-other".into())), None);
        assert!(needs_cookie(&cookie("none", Some(0)), None) && !needs_cookie(&cookie("none", None), None));
    }

    #[test]
    fn the_function_is_xxh64() {
        assert_eq!(hash(b"", 0), 0xef46_db37_51d8_e999, "the published vector of the empty input");
    }
}
