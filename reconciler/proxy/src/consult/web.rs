//! Asking in HTTP: the request without its body, and a status for an answer (Envoy's `ext_authz` with an HTTP service).

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use taut_snapshot::Text;
use taut_snapshot::object::HttpAsk;

use super::{Passing, Said, is_framing, of_proxy};
use crate::forward::upload::Upload;
use crate::headers::{self, Host};

/// The question: the request's own method, path and host, with the headers that the provider names.
pub(super) fn request(how: &HttpAsk, parts: &Parts, host: &Host<'static>, http2: bool) -> Option<Request<Upload>> {
    let own = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = PathAndQuery::try_from(format!("{}{own}", how.path_prefix)).ok()?;
    let mut all = HeaderMap::new();
    for (name, value) in &parts.headers {
        if (*name == AUTHORIZATION || named(&how.request_headers, name)) && !is_framing(name) {
            all.append(name, value.clone());
        }
    }
    for (name, value) in &how.added {
        all.insert(HeaderName::try_from(name.as_str()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    all.insert(CONTENT_LENGTH, HeaderValue::from(0));
    let uri = if http2 {
        headers::write_http2_target(&mut all, path, host.as_str(), Scheme::HTTP)
    } else {
        headers::write_http1_target(&mut all, path, host.as_str())
    };
    Some(of_proxy(parts.method.clone(), uri.ok()?, all, Upload::Empty))
}

/// What the answer says; none if it is an error of the service's own.
pub(super) fn said(how: &HttpAsk, response: Response<Bytes>) -> Option<Said> {
    let (head, body) = response.into_parts();
    if head.status.is_server_error() {
        return None;
    }
    let those = |wanted: &[Text]| {
        let named = head.headers.iter().filter(|(name, _)| named(wanted, name) && !is_framing(name));
        named.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    if head.status.is_success() {
        let upstream = those(&how.upstream_headers).into_iter().map(|(name, value)| (name, value, false)).collect();
        return Some(Said::Pass(Passing { upstream, downstream: those(&how.allow_headers), ..Passing::default() }));
    }
    let all = how.deny_headers.is_empty();
    let always = |name: &HeaderName| *name == WWW_AUTHENTICATE || *name == LOCATION;
    let kept = head.headers.iter().filter(|(name, _)| {
        (all || always(name) || named(&how.deny_headers, name))
            && !is_framing(name)
            && *name != http::header::CONNECTION
    });
    let headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    Some(Said::Refuse(head.status, headers, body))
}

/// Whether a header is among some names: `name`, `begin*` or `*end`, without regard to case.
fn named(wanted: &[Text], name: &HeaderName) -> bool {
    wanted.iter().any(|wanted| match (wanted.strip_suffix('*'), wanted.strip_prefix('*')) {
        (Some(begin), _) => name.as_str().starts_with(begin),
        (None, Some(end)) => name.as_str().ends_with(end),
        (None, None) => name.as_str() == wanted.as_str(),
    })
}
