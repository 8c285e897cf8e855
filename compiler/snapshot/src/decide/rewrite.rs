//! What a path and an address become (semantics.md §3.9).

use std::borrow::Cow;

use regex::bytes::Regex;

use crate::decide::Request;
use crate::object::{PathRewrite, Redirect, RedirectPath, RedirectPort};

/// The path that the service sees. `matched` is the prefix that the rule matched: all of the path after an exact or
/// pattern match, `/` if the rule has no condition on the path.
#[must_use]
pub fn rewritten_path<'a>(
    path: &'a str,
    matched: usize,
    rewrite: &PathRewrite,
    pattern: Option<&Regex>,
) -> Cow<'a, str> {
    match rewrite {
        PathRewrite::Full(to) => to.to_string().into(),
        PathRewrite::Matched(to) => format!("{to}{}", path.get(matched..).unwrap_or_default()).into(),
        PathRewrite::Segments(to) => segments(path, matched, to).into(),
        PathRewrite::Regex(to) => match pattern {
            Some(pattern) => {
                let replacement = dollars(&to.rewrite);
                String::from_utf8_lossy(&pattern.replace_all(path.as_bytes(), replacement.as_bytes()))
                    .into_owned()
                    .into()
            }
            None => path.into(),
        },
    }
}

/// RE2 writes groups as `\1`, the regex crate as `${1}`.
fn dollars(rewrite: &str) -> String {
    let mut out = String::new();
    let mut chars = rewrite.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                out.push_str("${");
                out.push(*digit);
                out.push('}');
                chars.next();
            }
            ('\\', Some('\\')) => {
                out.push('\\');
                chars.next();
            }
            ('$', _) => out.push_str("$$"),
            _ => out.push(c),
        }
    }
    out
}

/// A prefix replaced by whole segments: `/` takes it away without leaving `//` (semantics.md §18.4).
fn segments(path: &str, matched: usize, to: &str) -> String {
    let rest = path.get(matched..).unwrap_or_default().trim_start_matches('/');
    let to = to.trim_end_matches('/');
    match (to.is_empty(), rest.is_empty()) {
        (_, true) if to.is_empty() => "/".to_owned(),
        (_, true) => to.to_owned(),
        _ => format!("{to}/{rest}"),
    }
}

/// The `location` of a redirect. `port` is the one that the request came to.
#[must_use]
pub fn location(redirect: &Redirect, request: &Request<'_>, matched: usize, port: u16) -> String {
    let scheme = if redirect.scheme.is_empty() { request.scheme } else { &redirect.scheme };
    let default_port = if scheme == "https" { 443 } else { 80 };
    let host_only = if redirect.host.is_empty() { super::host_without_port(request.authority) } else { &redirect.host };
    let with_port = |port: u16| if port == default_port { host_only.to_owned() } else { format!("{host_only}:{port}") };
    let host = match redirect.port {
        RedirectPort::Keep if redirect.host.is_empty() => {
            // A change of scheme takes the old scheme's own port away; any other stays (Envoy's `processRequestHost`).
            let default_before = if request.scheme == "https" { ":443" } else { ":80" };
            match request.authority.strip_suffix(default_before) {
                Some(without) if scheme != request.scheme => without.to_owned(),
                _ => request.authority.to_owned(),
            }
        }
        RedirectPort::Keep | RedirectPort::SchemeDefault => host_only.to_owned(),
        RedirectPort::Number(number) => with_port(number),
        RedirectPort::Request => with_port(port),
    };
    let path: Cow<'_, str> = match &redirect.path {
        RedirectPath::Keep => request.path.into(),
        RedirectPath::Full(path) => path.as_str().into(),
        RedirectPath::Prefix(to) => format!("{to}{}", request.path.get(matched..).unwrap_or_default()).into(),
        RedirectPath::Segments(to) => segments(request.path, matched, to).into(),
    };
    // A path that has a query of its own replaces the request's.
    match request.query {
        Some(query) if !path.contains('?') => format!("{scheme}://{host}{path}?{query}"),
        _ => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::RegexRewrite;

    #[test]
    fn paths_are_rewritten_as_istio_does() {
        let matched = |to: &str| PathRewrite::Matched(to.into());
        assert_eq!(rewritten_path("/foo/bar", 4, &matched("/"), None), "//bar", "the trap of semantics.md §3.9");
        assert_eq!(rewritten_path("/foo/bar", 4, &matched("/x"), None), "/x/bar");
        assert_eq!(rewritten_path("/foo", 4, &matched("/x"), None), "/x");
        let segments = |to: &str| PathRewrite::Segments(to.into());
        assert_eq!(rewritten_path("/foo/bar", 4, &segments("/"), None), "/bar");
        assert_eq!(rewritten_path("/foo", 4, &segments("/"), None), "/");
        assert_eq!(rewritten_path("/foo/bar", 4, &segments("/x/"), None), "/x/bar");
        let regex =
            PathRewrite::Regex(RegexRewrite { pattern: "/([a-z]+)/([0-9]+)".into(), rewrite: r"/\2/\1$".into() });
        let pattern = crate::decide::pattern::compile("/([a-z]+)/([0-9]+)").unwrap();
        assert_eq!(rewritten_path("/ab/12/c", 0, &regex, Some(&pattern)), "/12/ab$/c");
    }

    #[test]
    fn redirects_keep_what_they_do_not_name() {
        let headers: Vec<(String, String)> = Vec::new();
        let request = Request {
            method: "GET",
            scheme: "http",
            authority: "a.com:8080",
            path: "/x/y",
            query: Some("q=1"),
            headers: &headers,
        };
        let plain = Redirect {
            status: 301,
            scheme: "".into(),
            host: "".into(),
            port: RedirectPort::Keep,
            path: RedirectPath::Keep,
        };
        assert_eq!(location(&plain, &request, 0, 80), "http://a.com:8080/x/y?q=1");
        let https = Redirect { scheme: "https".into(), ..plain.clone() };
        assert_eq!(location(&https, &request, 0, 80), "https://a.com:8080/x/y?q=1");
        let own_port = Request { authority: "a.com:80", ..request };
        assert_eq!(location(&https, &own_port, 0, 80), "https://a.com/x/y?q=1", "a scheme's own port goes with it");
        let elsewhere = Redirect { host: "b.com".into(), path: RedirectPath::Prefix("/z".into()), ..plain.clone() };
        assert_eq!(location(&elsewhere, &request, 2, 80), "http://b.com/z/y?q=1");
        let port = Redirect { port: RedirectPort::Number(80), path: RedirectPath::Full("/p".into()), ..plain };
        assert_eq!(location(&port, &request, 0, 80), "http://a.com/p?q=1");
    }
}
