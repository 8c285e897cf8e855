//! Names and values of HTTP headers (semantics.md §1.2).

use super::Grammar;

pub(super) const ALL: &[&Grammar] = &[
    &MATCHED_HEADER,
    &REQUEST_HEADER,
    &OTHER_HEADER,
    &CORS_HEADER,
    &HEADER_VALUE,
    &PLAIN_HEADER,
    &METHOD,
    &CORS_METHOD,
];

/// A header that a rule looks at: a token, a pseudo header, or a claim of a token.
pub(crate) static MATCHED_HEADER: Grammar = Grammar {
    what: "a header",
    help: "write a header such as `x-env`, `:authority`, or a claim such as `@request.auth.claims.group`",
    holds: |text| is_token(text) || is_pseudo(text) || claim(text).is_some(),
    pattern: Some(r"^[!-~]+$"),
};

/// A header that a rule sets on requests: the host may be changed, other pseudo headers may not.
pub(crate) static REQUEST_HEADER: Grammar = Grammar {
    what: "a header that can be set",
    help: "write a header such as `x-env`; of the pseudo headers only `:authority` can be set",
    holds: |text| is_token(text) || text.eq_ignore_ascii_case(":authority"),
    pattern: Some(r"^:?[-!#$%&'*+.^_`|~0-9A-Za-z]+$"),
};

/// A header that a rule removes, or sets on responses.
pub(crate) static OTHER_HEADER: Grammar = Grammar {
    what: "a header that can be changed here",
    help: "write a header such as `x-env`; neither `host` nor pseudo headers can be changed here",
    holds: |text| is_token(text) && !text.eq_ignore_ascii_case("host"),
    pattern: Some(r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"),
};

/// A header that other origins may send or see, or all of them.
pub(crate) static CORS_HEADER: Grammar = Grammar {
    what: "a header",
    help: "write a header such as `x-env`, or `*`",
    holds: |text| text == "*" || is_plain(text),
    pattern: Some(r"^(\*|[-_A-Za-z0-9]+)$"),
};

/// A header of letters, digits, `-` and `_` alone.
pub(crate) static PLAIN_HEADER: Grammar = Grammar {
    what: "a header",
    help: "write letters, digits, `-` and `_`",
    holds: is_plain,
    pattern: Some("^[-_A-Za-z0-9]+$"),
};

/// What a header is set to.
pub(crate) static HEADER_VALUE: Grammar = Grammar {
    what: "the value of a header",
    help: "double each `%` that is one, or close it as in `%DOWNSTREAM_REMOTE_ADDRESS%`; control characters cannot stand here",
    holds: is_value,
    pattern: Some(r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$"),
};

/// A method of HTTP.
pub(crate) static METHOD: Grammar = Grammar {
    what: "a method of HTTP",
    help: "write one of: GET, HEAD, POST, PUT, PATCH, DELETE, CONNECT, OPTIONS, TRACE",
    holds: is_method,
    pattern: Some("^(GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE)$"),
};

/// A method of HTTP, or all of them.
pub(crate) static CORS_METHOD: Grammar = Grammar {
    what: "a method of HTTP",
    help: "write one of: GET, HEAD, POST, PUT, PATCH, DELETE, CONNECT, OPTIONS, TRACE, *",
    holds: |text| text == "*" || is_method(text),
    pattern: Some(r"^(\*|GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE)$"),
};

fn is_method(text: &str) -> bool {
    matches!(text, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE")
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_pseudo(text: &str) -> bool {
    [":method", ":scheme", ":authority", ":path", ":status"].iter().any(|name| text.eq_ignore_ascii_case(name))
}

/// The path of a claim that a match names: `@request.auth.claims.a.b` or `@request.auth.claims[a][b]` (§3.5).
pub(crate) fn claim(text: &str) -> Option<&str> {
    const PREFIX: &str = "@request.auth.claims";
    let start = text.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))?;
    let rest = &text[start.len()..];
    if let Some(dotted) = rest.strip_prefix('.') {
        return Some(rest).filter(|_| dotted.split('.').all(|part| !part.is_empty()));
    }
    let bracketed = rest.strip_prefix('[')?.strip_suffix(']')?;
    Some(rest).filter(|_| bracketed.split("][").all(|part| !part.is_empty() && !part.contains(['[', ']'])))
}

/// Envoy's grammar of values: a percent sign opens a command operator or is doubled.
fn is_value(text: &str) -> bool {
    let control = |byte: u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
    !text.bytes().any(control) && (!text.contains('%') || has_closed_operators(text.as_bytes()))
}

/// Reads `%NAME%`, `%NAME(arguments)%` and `%NAME(["a", "b"])%` as Envoy's own parser of header values does.
fn has_closed_operators(bytes: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Within {
        Text,
        Name,
        Opened,
        Item,
        AfterItem,
        Quoted,
        Close,
        End,
    }
    let mut within = Within::Text;
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        within = match (within, byte) {
            (Within::Text, b'%') if bytes.get(at + 1) == Some(&b'%') => {
                at += 1;
                Within::Text
            }
            (Within::Text, b'%') => Within::Name,
            (Within::Name, b'%') => Within::Text,
            (Within::Name, b'(') => Within::Opened,
            (Within::Opened, b'[') => Within::Item,
            (Within::Opened | Within::Item | Within::AfterItem | Within::Close | Within::End, b' ') => within,
            (Within::Opened, _) => Within::Quoted,
            (Within::Item, b'"') => Within::Quoted,
            (Within::Quoted, b'\\') if at + 1 == bytes.len() => return false,
            (Within::Quoted, b'\\') => {
                at += 1;
                Within::Quoted
            }
            (Within::Quoted, b')') => Within::End,
            (Within::Quoted, b'"') => Within::AfterItem,
            (Within::AfterItem, b',') => Within::Item,
            (Within::AfterItem, b']') => Within::Close,
            (Within::Close, b')') => Within::End,
            (Within::End, b'%') => Within::Text,
            (Within::Item | Within::AfterItem | Within::Close | Within::End, _) => return false,
            (Within::Text | Within::Name | Within::Quoted, _) => within,
        };
        at += 1;
    }
    within == Within::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_close_their_operators() {
        #[rustfmt::skip]
        let table = [
            ("", true), ("plain", true), ("100%%", true), ("%HOST%", true), ("a %HOST% b", true), ("%REQ(x-a)%", true),
            ("%REQ(x-a):5%", false), (r#"%META(["a", "b"])%"#, true), (r#"%META( [ "a" ] ) %"#, true),
            ("100%", false), ("%HOST", false), ("%HOST%%", false), ("a%b", false), ("%REQ(x-a%", false), ("%REQ(x)b%", false),
            (r#"%META(["a" "b"])%"#, false), ("tab\tis fine", true), ("no\nline", false), ("no\u{7f}", false), ("é", true),
        ];
        for (text, want) in table {
            assert_eq!(is_value(text), want, "{text}");
        }
    }

    #[test]
    fn names_depend_on_what_is_done_with_them() {
        #[rustfmt::skip]
        let table = [
            (&MATCHED_HEADER, "x-env", true), (&MATCHED_HEADER, ":method", true), (&MATCHED_HEADER, ":other", false),
            (&MATCHED_HEADER, "@request.auth.claims.a.b", true), (&MATCHED_HEADER, "@request.auth.claims[a][b]", true),
            (&MATCHED_HEADER, "@request.auth.claims", false), (&MATCHED_HEADER, "@request.auth.claims[a]b", false),
            (&MATCHED_HEADER, "@request.auth.claims..a", false), (&MATCHED_HEADER, "x env", false), (&MATCHED_HEADER, "", false),
            (&REQUEST_HEADER, "host", true), (&REQUEST_HEADER, ":authority", true), (&REQUEST_HEADER, ":path", false),
            (&OTHER_HEADER, "host", false), (&OTHER_HEADER, "Host", false), (&OTHER_HEADER, ":authority", false),
            (&OTHER_HEADER, "x-env", true), (&CORS_HEADER, "*", true), (&CORS_HEADER, "x.y", false), (&PLAIN_HEADER, "a_b", true),
        ];
        for (grammar, text, want) in table {
            assert_eq!((grammar.holds)(text), want, "{text} as {}", grammar.what);
        }
    }
}
