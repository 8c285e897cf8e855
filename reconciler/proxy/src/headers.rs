//! What happens to headers on the way.
//!
//! Owns: headers that are for one connection alone (RFC 9110 §7.6.1), the header changes of rules, who forwarded for whom,
//! request ids, and the forms in which a host and a path are written in HTTP/1 and HTTP/2.

pub(crate) mod made;
mod repeated;

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use taut_snapshot::decide::{CorsPolicy, Headers};
use taut_snapshot::object::{HashCookie, HeaderOps, LogPiece, MadeHeader};

use crate::balance::Draws;
use crate::token::Token;

pub(crate) use repeated::join_repeated;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
pub(crate) const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
pub(crate) const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
pub(crate) const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
pub(crate) const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
/// What a gateway calls itself (semantics.md §5.8).
pub(crate) const SERVER: HeaderValue = HeaderValue::from_static("istio-envoy");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Headers, as rules and policies ask for them.
pub(crate) struct Asked<'h> {
    pub(crate) headers: &'h HeaderMap,
    /// What its token says is asked for under names that no header can have.
    pub(crate) token: Option<&'h Token>,
}

impl Headers for Asked<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        if name.starts_with('@') {
            return self.token.and_then(|token| token.any(name, test));
        }
        let mut present = None;
        for value in self.headers.get_all(name) {
            if test(value.as_bytes()) {
                return Some(true);
            }
            present = Some(false);
        }
        present
    }
}

/// Takes away what is for this connection alone: `connection` and all that it names, and those that are so by
/// definition. `te: trailers` stays, because gRPC asks for it end to end.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let listed: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            // Whoever names these would take away what the message is framed and routed by.
            .filter(|name| *name != header::TE && *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    if headers.get(header::TE).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        headers.remove(header::TE);
    }
}

/// What a client wants to upgrade its connection to, if it does (RFC 9110 §7.8). `h2c` is not one that is passed on: the
/// proxy speaks HTTP/2 for itself.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    let names = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
    };
    let listed = headers.get_all(header::CONNECTION).iter().any(names);
    (listed && !wanted.as_bytes().eq_ignore_ascii_case(b"h2c") && !headers.contains_key(HTTP2_SETTINGS))
        .then(|| wanted.clone())
}

/// Asks for an upgrade, or grants one.
pub(crate) fn write_upgrade(headers: &mut HeaderMap, to: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, to);
}

/// The header changes of a rule and of one of its destinations (semantics.md §3.7). A lone destination's come last, so
/// that they win; one of several has them done first, so that the rule's win.
///
/// `make` makes a value of what is known of the request, of which these headers are part.
pub(crate) fn change(
    headers: &mut HeaderMap,
    rule: Option<&HeaderOps>,
    destination: Option<&HeaderOps>,
    destinations: usize,
    make: &Make<'_>,
) {
    if rule.is_none() && destination.is_none() {
        return;
    }
    if destinations <= 1 {
        change_by(headers, &[rule, destination], make);
    } else {
        change_by(headers, &[destination], make);
        change_by(headers, &[rule], make);
    }
}

/// Makes the value of a header.
pub(crate) type Make<'a> = dyn Fn(&HeaderMap, &[LogPiece]) -> String + 'a;

/// Some changes as one list: whatever is made is made of the headers as they are between the first step and the second.
fn change_by(headers: &mut HeaderMap, all: &[Option<&HeaderOps>], make: &Make<'_>) {
    let all = || all.iter().copied().flatten();
    all().for_each(|ops| remove(headers, ops));
    let value = |it: &MadeHeader| {
        let value = make(headers, &it.value);
        let name = HeaderName::from_bytes(it.name.as_bytes()).ok()?;
        // Nothing is known: then nothing is said, as by Envoy.
        (!value.is_empty()).then(|| Some((name, HeaderValue::try_from(value).ok()?, it.adds))).flatten()
    };
    let made: Vec<_> = all().flat_map(|ops| &ops.made).filter_map(value).collect();
    let (added, set): (Vec<_>, Vec<_>) = made.into_iter().partition(|(.., adds)| *adds);
    for (name, value, _) in set {
        headers.insert(name, value);
    }
    all().for_each(|ops| write(headers, ops));
    for (name, value, _) in added {
        headers.append(name, value);
    }
}

fn remove(headers: &mut HeaderMap, ops: &HeaderOps) {
    for name in &ops.remove {
        headers.remove(name.as_str());
    }
}

fn write(headers: &mut HeaderMap, ops: &HeaderOps) {
    let parsed = |(name, value): &(taut_snapshot::Text, taut_snapshot::Text)| {
        // The compiler carries no name or value that HTTP does not have.
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    for (name, value) in ops.set.iter().filter_map(parsed) {
        headers.insert(name, value);
    }
    for (name, value) in ops.add.iter().filter_map(parsed) {
        headers.append(name, value);
    }
}

/// A new cookie that says where a client belongs: its value, and the header that sets it (Envoy's
/// `Utility::makeSetCookieValue`).
pub(crate) fn new_cookie(cookie: &HashCookie, draw: u64) -> (String, Option<HeaderValue>) {
    let value = format!("{draw:016x}");
    let mut text = format!("{}=\"{value}\"", cookie.name);
    if let Some(seconds) = cookie.lives.filter(|seconds| *seconds != 0) {
        text += &format!("; Max-Age={seconds}");
    }
    if !cookie.path.is_empty() {
        text += &format!("; Path={}", cookie.path);
    }
    for (name, value) in &cookie.attributes {
        text += &if value.is_empty() { format!("; {name}") } else { format!("; {name}={value}") };
    }
    text += "; HttpOnly";
    (value, HeaderValue::try_from(text).ok())
}

/// Names the origin that may read an answer (Envoy's `CorsFilter`: the origin itself, never `*`).
pub(crate) fn allow_origin(headers: &mut HeaderMap, policy: &CorsPolicy, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if policy.said.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// What a page of an origin may read of an answer, whoever gave it.
pub(crate) fn share_answer(headers: &mut HeaderMap, policy: &CorsPolicy, origin: &HeaderValue) {
    allow_origin(headers, policy, origin);
    expose(headers, policy);
}

/// Says which headers a page may read. Envoy says it of every answer, to a preflight too.
pub(crate) fn expose(headers: &mut HeaderMap, policy: &CorsPolicy) {
    if let Some(exposed) = HeaderValue::from_str(&policy.said.exposed).ok().filter(|value| !value.is_empty()) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Adds the client to those that a request was forwarded for, and says how it came (semantics.md §5.8). What the client
/// itself says about either is not believed.
pub(crate) fn forwarded_at_edge(headers: &mut HeaderMap, client: SocketAddr, scheme: &'static str) {
    let value = match headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok()) {
        Some(before) => HeaderValue::try_from(format!("{before},{}", client.ip())),
        None => HeaderValue::try_from(client.ip().to_string()),
    };
    headers.remove(FORWARDED_FOR);
    if let Ok(value) = value {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.remove(FORWARDED_CERT);
    // Proxies use these among themselves.
    let inner: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("x-envoy-")).cloned().collect();
    for name in inner {
        headers.remove(name);
    }
}

/// Says how a request came, unless that is known already.
pub(crate) fn forwarded_within(headers: &mut HeaderMap, scheme: &'static str) {
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
}

/// The scheme that a request had when it came to the first proxy: Envoy takes it for the request's own.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<&'static str> {
    match headers.get(FORWARDED_PROTO)?.as_bytes() {
        b"http" => Some("http"),
        b"https" => Some("https"),
        _ => None,
    }
}

/// Gives a request an id, if it has none: a random UUID.
pub(crate) fn identify(headers: &mut HeaderMap, draws: &Draws) {
    if !headers.contains_key(REQUEST_ID) {
        headers.insert(REQUEST_ID, request_id([draws.draw(), draws.draw()]));
    }
}

fn request_id([high, low]: [u64; 2]) -> HeaderValue {
    // Version 4, variant 1 (RFC 9562 §5.4).
    let high = (high & !0xf000) | 0x4000;
    let low = (low & (u64::MAX >> 2)) | (1 << 63);
    let digits = (u128::from(high) << 64) | u128::from(low);
    let mut text = BytesMut::with_capacity(36);
    for digit in 0..32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            text.extend_from_slice(b"-");
        }
        let value = (digits >> (124 - 4 * digit)) & 0xf;
        text.extend_from_slice(&b"0123456789abcdef"[value as usize..][..1]);
    }
    HeaderValue::from_maybe_shared(text.freeze()).expect("digits are a header's value")
}

/// The host that a request is for.
#[derive(Clone, Debug)]
pub(crate) enum Host<'w> {
    /// As its URI says.
    Uri(Authority),
    /// As its Host header says.
    Header(HeaderValue),
    /// As a rule says.
    Rewritten(&'w str),
}

impl Host<'_> {
    /// The host of a request: its URI's authority counts more than its header. None if there is none, more than one, or
    /// one that no host can be.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Host<'static>> {
        let mut named = headers.get_all(header::HOST).iter();
        let host = match (uri.authority(), named.next(), named.next()) {
            (_, _, Some(_)) | (None, None, None) => return None,
            (Some(authority), _, None) => Host::Uri(authority.clone()),
            (None, Some(value), None) => Host::Header(value.clone()),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
        (!host.as_str().is_empty() && host.as_str().bytes().all(fits)).then_some(host)
    }

    /// Its text, port included; empty if it is none.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Host::Uri(authority) => authority.as_str(),
            Host::Header(value) => value.to_str().unwrap_or_default(),
            Host::Rewritten(text) => text,
        }
    }
}

/// The port of an authority, if it names one.
pub(crate) fn port_of(authority: &str) -> Option<u16> {
    let host = taut_snapshot::decide::host_without_port(authority);
    authority.get(host.len()..)?.strip_prefix(':')?.parse().ok()
}

/// A request's target as an HTTP/1 endpoint is sent it: the path, with the host in its header.
///
/// # Errors
/// If the host cannot be one.
pub(crate) fn write_http1_target(headers: &mut HeaderMap, path: PathAndQuery, host: &str) -> Result<Uri, http::Error> {
    // In most requests the Host stays what it was.
    if headers.get(header::HOST).is_none_or(|old| old.as_bytes() != host.as_bytes()) {
        headers.insert(header::HOST, HeaderValue::from_str(host)?);
    }
    Ok(Uri::from(path))
}

/// A request's target as an HTTP/2 endpoint is sent it: scheme, host and path, and no Host.
///
/// # Errors
/// If the host cannot be one.
pub(crate) fn write_http2_target(
    headers: &mut HeaderMap,
    path: PathAndQuery,
    host: &str,
    scheme: Scheme,
) -> Result<Uri, http::Error> {
    headers.remove(header::HOST);
    let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()))?;
    let mut parts = http::uri::Parts::default();
    (parts.scheme, parts.authority, parts.path_and_query) = (Some(scheme), Some(authority), Some(path));
    Ok(Uri::from_parts(parts)?)
}

/// Adds who is at the other end to what earlier proxies said, which is one list (Envoy's APPEND_FORWARD). Over plaintext nobody
/// is believed.
pub(crate) fn write_forwarded_cert(headers: &mut HeaderMap, element: Option<&HeaderValue>) {
    let Some(element) = element else { return drop(headers.remove(FORWARDED_CERT)) };
    let before = headers.get_all(FORWARDED_CERT).iter().map(HeaderValue::as_bytes).filter(|value| !value.is_empty());
    let all: Vec<&[u8]> = before.chain([element.as_bytes()]).collect();
    let joined = if all.len() == 1 { None } else { HeaderValue::from_bytes(&all.join(&b","[..])).ok() };
    headers.insert(FORWARDED_CERT, joined.unwrap_or_else(|| element.clone()));
}

#[cfg(test)]
mod tests {
    use taut_snapshot::Text;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        list.iter().map(pair).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn text(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join("; ")
    }

    fn ops(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderOps {
        let pairs = |list: &[(&str, &str)]| -> Vec<(Text, Text)> {
            list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let remove = remove.iter().map(|name| (*name).into()).collect();
        HeaderOps { remove, set: pairs(set), add: pairs(add), made: Vec::new() }
    }

    #[test]
    fn what_is_for_one_connection_is_not_passed_on() {
        let mut all = headers(&[
            ("connection", "keep-alive, X-Mine"),
            ("connection", "te, content-length, close"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-yours", "2"),
        ]);
        strip_hop_by_hop(&mut all);
        assert_eq!(text(&all), "content-length: 3; te: trailers; x-yours: 2");
        let mut te = headers(&[("te", "gzip")]);
        strip_hop_by_hop(&mut te);
        assert!(te.is_empty());
    }

    #[test]
    #[rustfmt::skip]
    fn header_changes_are_done_in_istios_order() {
        let rule = ops(&["a"], &[("b", "rule")], &[("c", "rule")]);
        let destination = ops(&["c"], &[("b", "destination")], &[("c", "destination")]);
        let before = [("a", "0"), ("b", "0"), ("c", "0")];
        let table = [
            (Some(&rule), None,               1, "b: rule; c: 0; c: rule"),
            (None,        Some(&destination), 1, "a: 0; b: destination; c: destination"),
            (Some(&rule), Some(&destination), 1, "b: destination; c: destination; c: rule"),
            (Some(&rule), Some(&destination), 2, "b: rule; c: destination; c: rule"),
            (None,        None,               2, "a: 0; b: 0; c: 0"),
        ];
        for (rule, destination, destinations, want) in table {
            let mut all = headers(&before);
            change(&mut all, rule, destination, destinations, &|_, _| String::new());
            assert_eq!(text(&all), want, "{rule:?} {destination:?} {destinations}");
        }
    }

    #[test]
    fn at_the_edge_nobody_is_believed() {
        let client = SocketAddr::from(([192, 0, 2, 7], 999));
        let mut all = headers(&[("x-forwarded-for", "10.1.1.1"), ("x-forwarded-proto", "https")]);
        all.insert(FORWARDED_CERT, HeaderValue::from_static("URI=spiffe://td/ns/a/sa/b"));
        forwarded_at_edge(&mut all, client, "http");
        assert_eq!(text(&all), "x-forwarded-for: 10.1.1.1,192.0.2.7; x-forwarded-proto: http");
        let mut all = HeaderMap::new();
        forwarded_at_edge(&mut all, client, "https");
        assert_eq!(text(&all), "x-forwarded-for: 192.0.2.7; x-forwarded-proto: https");
        let mut all = headers(&[("x-forwarded-proto", "https")]);
        forwarded_within(&mut all, "http");
        assert_eq!(text(&all), "x-forwarded-proto: https", "within the mesh it is");
    }

    #[test]
    fn certificates_are_forwarded_only_over_mtls() {
        let element = HeaderValue::from_static("By=spiffe://td/ns/a/sa/me;URI=spiffe://td/ns/a/sa/you");
        let mut all = headers(&[("x-forwarded-client-cert", "URI=spiffe://td/ns/a/sa/earlier")]);
        write_forwarded_cert(&mut all, Some(&element));
        assert!(text(&all).ends_with("earlier,By=spiffe://td/ns/a/sa/me;URI=spiffe://td/ns/a/sa/you"));
        let mut several = headers(&[
            ("x-forwarded-client-cert", "a"),
            ("x-forwarded-client-cert", ""),
            ("x-forwarded-client-cert", "b"),
        ]);
        write_forwarded_cert(&mut several, Some(&element));
        assert!(text(&several).starts_with("x-forwarded-client-cert: a,b,By="), "{}", text(&several));
        write_forwarded_cert(&mut all, None);
        assert!(all.is_empty());
    }

    #[test]
    fn ids_are_random_uuids() {
        assert_eq!(request_id([u64::MAX, u64::MAX]).to_str().unwrap(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(request_id([0, 0]).to_str().unwrap(), "00000000-0000-4000-8000-000000000000");
        let mut all = headers(&[("x-request-id", "mine")]);
        identify(&mut all, &Draws::new(0));
        assert_eq!(text(&all), "x-request-id: mine");
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let host = |uri: &str, hosts: &[&str]| {
            let list: Vec<(&str, &str)> = hosts.iter().map(|host| ("host", *host)).collect();
            Host::of(&uri.parse().unwrap(), &headers(&list)).map(|host| host.as_str().to_owned())
        };
        assert_eq!(host("/", &["a:80"]).as_deref(), Some("a:80"));
        assert_eq!(host("http://b/", &["a"]).as_deref(), Some("b"), "RFC 9112 §3.2.2");
        for (uri, hosts) in [("/", &[][..]), ("/", &["a", "a"]), ("/", &[""]), ("/", &["a/b"]), ("http://u@a/", &[])] {
            assert_eq!(host(uri, hosts), None, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn ports_are_read_from_hosts() {
        for (authority, want) in [
            ("a", None),
            ("a:80", Some(80)),
            ("[::1]:8080", Some(8080)),
            ("[::1]", None),
            ("a:99999", None),
            ("a:", None),
        ] {
            assert_eq!(port_of(authority), want, "{authority}");
        }
    }

    #[test]
    fn upgrades_are_seen() {
        let wanted = |list: &[(&str, &str)]| upgrade(&headers(list)).map(|value| value.to_str().unwrap().to_owned());
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(wanted(&websocket).as_deref(), Some("websocket"));
        assert_eq!(wanted(&[("upgrade", "websocket")]), None);
        assert_eq!(
            wanted(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "x")]),
            None
        );
    }
}
