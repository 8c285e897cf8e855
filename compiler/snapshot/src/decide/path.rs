//! What a path is before it is matched (semantics.md §15): routes and policies see the same one.

use std::borrow::Cow;

use crate::object::PathNormalization;

/// A path that no rule can be asked about; the request gets a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

/// Normalises a path without its query. Nothing is copied if nothing changes.
///
/// # Errors
/// If it does not start with `/`, or has bytes that no path may have (verification.md §4: anything above 0x7e, and `#`), or
/// an escaped zero byte, which Envoy's normalisation refuses.
pub fn normalize<'p>(path: &'p str, how: &PathNormalization) -> Result<Cow<'p, str>, BadPath> {
    if path == "*" {
        return Ok(path.into()); // OPTIONS *
    }
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || 0x7f <= byte || byte == b'#') {
        return Err(BadPath);
    }
    if *how == PathNormalization::None {
        return Ok(path.into());
    }
    if path.contains("%00") {
        return Err(BadPath);
    }
    let mut path = Cow::Borrowed(path);
    if *how == PathNormalization::DecodeAndMergeSlashes && path.contains('%') {
        path = decode_slashes(&path).into();
    }
    if path.contains(['%', '\\']) {
        path = decode_unreserved(&path).into();
    }
    if path.contains("/.") {
        path = without_dot_segments(&path).into();
    }
    if *how != PathNormalization::Base && path.contains("//") {
        path = merge_slashes(&path).into();
    }
    Ok(path)
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    match bytes {
        [b'%', high, low, ..] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

fn map_escapes(path: &str, decode: impl Fn(u8) -> Option<char>) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        match hex_pair(&bytes[at..]).and_then(&decode) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(bytes[at] as char);
                at += 1;
            }
        }
    }
    out
}

fn decode_slashes(path: &str) -> String {
    map_escapes(path, |byte| match byte {
        b'/' => Some('/'),
        b'\\' => Some('\\'),
        _ => None,
    })
}

/// Escapes of unreserved characters become the characters (RFC 3986 §6.2.2.2), and `\` becomes `/`.
fn decode_unreserved(path: &str) -> String {
    let decoded = map_escapes(path, |byte| {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        unreserved.then_some(byte as char)
    });
    decoded.replace('\\', "/")
}

/// RFC 3986 §5.2.4, for a path that starts with `/`.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn paths_are_normalised_as_envoy_does() {
        use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        let table = [
            ("/x/../a/b", Base, "/a/b"), ("/./a", Base, "/a"), ("/%2e%2e/b", Base, "/b"), ("/a\\b", Base, "/a/b"),
            ("/%41", Base, "/A"), ("/a%2Fb", Base, "/a%2Fb"), ("/a%2fb", Base, "/a%2fb"), ("//adm", Base, "//adm"),
            ("/a/..", Base, "/"), ("/a/.", Base, "/a/"), ("/../../a", Base, "/a"), ("/.a/b", Base, "/.a/b"),
            ("//adm", MergeSlashes, "/adm"), ("/a%2Fb", MergeSlashes, "/a%2Fb"),
            ("/a%2F%2fb", DecodeAndMergeSlashes, "/a/b"), ("/a%5Cb", DecodeAndMergeSlashes, "/a/b"),
            ("/x/../a", None, "/x/../a"), ("/%zz%", Base, "/%zz%"),
        ];
        for (path, how, want) in table {
            assert_eq!(normalize(path, &how).unwrap(), want, "{path} {how:?}");
        }
        for bad in ["", "a", "/a#b", "/é", "/a b", "/\u{1}", "/a%00"] {
            assert_eq!(normalize(bad, &Base), Err(BadPath), "{bad}");
        }
    }
}
