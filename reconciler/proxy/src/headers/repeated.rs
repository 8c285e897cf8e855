//! Headers that come more than once and mean one list.
//!
//! Envoy joins these as it reads them, and leaves all others apart; so rules, policies and applications see one value of
//! the first and several of the second (verification.md §4, and seen on Envoy 1.40 for each name).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{FORWARDED_FOR, FORWARDED_PROTO};

const JOINED: [HeaderName; 25] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::PRAGMA,
    header::REFERER,
    header::USER_AGENT,
    header::VIA,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-client-trace-id"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-accept-encoding"),
];

/// Makes one value of those that are repeated.
pub(crate) fn join_repeated(headers: &mut HeaderMap) {
    // Almost no request has any.
    if headers.len() == headers.keys_len() {
        return;
    }
    for name in JOINED {
        let values: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if values.len() < 2 {
            continue;
        }
        if let Ok(joined) = HeaderValue::from_bytes(&values.join(&b","[..])) {
            headers.insert(name, joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_and_the_rest_stays_apart() {
        let mut headers = HeaderMap::new();
        for name in ["accept", "x-other", "cookie"] {
            for value in ["a", "b"] {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        join_repeated(&mut headers);
        let values = |name: &str| headers.get_all(name).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(
            (values("accept"), values("x-other"), values("cookie")),
            (vec!["a,b"], vec!["a", "b"], vec!["a", "b"])
        );
    }
}
