//! Answers that the proxy gives itself, with Envoy's statuses, flags and texts (semantics.md §12.4).

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use taut_snapshot::Text;
use taut_snapshot::decide::CorsPolicy;
use taut_snapshot::object::{AbortStatus, DirectResponse};

use crate::exchange::{Exchange, Outgoing};
use crate::telemetry::metrics::Spoken;
use crate::telemetry::record::{Details, Flags};
use crate::token::Bad;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// An answer of the proxy's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) flags: Flags,
    pub(crate) details: Details,
    pub(crate) body: Cow<'static, [u8]>,
    pub(crate) headers: HeaderMap,
    /// What a gRPC client is told, if that is not what the status stands for.
    pub(crate) grpc: Option<u8>,
}

impl Reply {
    fn new(status: StatusCode, flags: Flags, details: &'static str, body: impl Into<Cow<'static, str>>) -> Reply {
        let body = match body.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Reply { status, flags, details: Details::Word(details), body, headers: HeaderMap::new(), grpc: None }
    }

    /// No snapshot is active yet.
    pub(crate) fn not_ready() -> Reply {
        let body = "this proxy has no configuration yet: it is waiting for its first snapshot\n";
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flags::NO_ROUTE, "no_snapshot", body)
    }

    /// The request is not one.
    pub(crate) fn bad_request(details: &'static str) -> Reply {
        Reply::new(StatusCode::BAD_REQUEST, Flags::CLIENT_PROTOCOL, details, "")
    }

    /// It has more headers than anybody reads.
    pub(crate) fn too_many_headers() -> Reply {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Reply::new(status, Flags::CLIENT_PROTOCOL, "http2.too_many_headers", "")
    }

    /// What it asks for is not done here.
    pub(crate) fn not_implemented(body: &'static str) -> Reply {
        Reply::new(StatusCode::NOT_IMPLEMENTED, Flags::NONE, "not_implemented", body)
    }

    /// No rule is for it.
    pub(crate) fn no_route() -> Reply {
        Reply::new(StatusCode::NOT_FOUND, Flags::NO_ROUTE, "route_not_found", "")
    }

    /// The rule names a cluster that does not exist.
    pub(crate) fn no_cluster() -> Reply {
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flags::NO_CLUSTER, "cluster_not_found", "")
    }

    /// The same, with the status that a rule says.
    pub(crate) fn missing(status: u16) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Reply::new(status, Flags::NO_CLUSTER, "cluster_not_found", "")
    }

    /// The mesh knows no such service. There is no address to pass the request through to, so that what
    /// `outboundTrafficPolicy` says makes no difference here.
    pub(crate) fn unknown_service(host: &str, port: u16) -> Reply {
        let body = format!(
            "no service of the mesh is called `{host}` on port {port}: add a ServiceEntry for it, or correct the name\n"
        );
        Reply::new(StatusCode::BAD_GATEWAY, Flags::NONE, "direct_response", body)
    }

    /// A policy denies it; none in particular if no ALLOW policy matches.
    pub(crate) fn denied(policy: Option<&Text>) -> Reply {
        let reply = Reply::new(StatusCode::FORBIDDEN, Flags::NONE, "", "RBAC: access denied");
        Reply { details: Details::Denied(policy.cloned()), ..reply }
    }

    /// A service that was asked about it refuses it, in its own words.
    pub(crate) fn refused_elsewhere(status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Reply {
        let reply = Reply::new(status, Flags::REFUSED_ELSEWHERE, "ext_authz_denied", "");
        Reply { headers, body: Cow::Owned(body), ..reply }
    }

    /// Nobody answered who was to be asked about it.
    pub(crate) fn nobody_answered(status: u16) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        Reply::new(status, Flags::REFUSED_ELSEWHERE, "ext_authz_error", "")
    }

    /// Its token is no good (Envoy's `jwt_authn`).
    pub(crate) fn bad_token(bad: Bad, challenge: Option<HeaderValue>) -> Reply {
        let status = if bad == Bad::Audience { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let mut reply = Reply::new(status, Flags::NONE, bad.details(), bad.text());
        if let Some(challenge) = challenge {
            reply.headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        reply
    }

    /// Its sender is told to go elsewhere.
    pub(crate) fn redirect(status: u16, location: &str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
        let mut reply = Reply::new(status, Flags::NONE, "direct_response", "");
        // What the client sent is in it; whatever cannot be a header's value would not have been a path.
        if let Ok(location) = HeaderValue::from_str(location) {
            reply.headers.insert(header::LOCATION, location);
        }
        reply
    }

    /// The rule answers it.
    pub(crate) fn direct(response: &DirectResponse) -> Reply {
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
        let reply = Reply::new(status, Flags::NONE, "direct_response", "");
        Reply { body: Cow::Owned(response.body.0.to_vec()), ..reply }
    }

    /// It fails on purpose.
    pub(crate) fn aborted(status: &AbortStatus) -> Reply {
        let (status, grpc) = match status {
            AbortStatus::Http(status) => (*status, None),
            // Whoever does not speak gRPC gets Envoy's words with the status that gRPC has.
            AbortStatus::Grpc(code) => (200, Some(*code)),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply { grpc, ..Reply::new(status, Flags::FAULT, "fault_filter_abort", "fault filter abort") }
    }

    /// What a page of another origin may do, as a policy says; without one, nothing.
    pub(crate) fn preflight(policy: Option<&CorsPolicy>, origin: Option<&HeaderValue>) -> Reply {
        let mut reply = Reply::new(StatusCode::OK, Flags::NONE, "cors_response", "");
        if let (Some(policy), Some(origin)) = (policy, origin) {
            crate::headers::share_answer(&mut reply.headers, policy, origin);
            let said = &policy.said;
            for (name, text) in [
                (header::ACCESS_CONTROL_ALLOW_METHODS, &said.methods),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, &said.headers),
                (header::ACCESS_CONTROL_MAX_AGE, &said.max_age),
            ] {
                if let Some(value) = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty()) {
                    reply.headers.insert(name, value);
                }
            }
        }
        reply
    }

    /// No endpoint is healthy.
    pub(crate) fn no_healthy_upstream() -> Reply {
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flags::NO_HEALTHY, "no_healthy_upstream", "no healthy upstream")
    }

    /// A limit of the cluster is reached.
    pub(crate) fn overflow() -> Reply {
        let mut reply = Reply::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Flags::OVERFLOW,
            "upstream_reset_before_response_started{overflow}",
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        );
        reply.headers.insert(crate::headers::OVERLOADED, HeaderValue::from_static("true"));
        reply
    }

    /// The endpoint could not be reached.
    pub(crate) fn connect_failure() -> Reply {
        Reply::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Flags::CONNECT_FAILURE,
            "upstream_reset_before_response_started{remote_connection_failure}",
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
        )
    }

    /// The endpoint closed the connection, or reset the stream, without an answer.
    pub(crate) fn reset(stream_only: bool) -> Reply {
        let (flags, details, body) = if stream_only {
            (
                Flags::UPSTREAM_RESET,
                "upstream_reset_before_response_started{remote_reset}",
                "upstream connect error or disconnect/reset before headers. reset reason: remote reset",
            )
        } else {
            (
                Flags::UPSTREAM_CLOSED,
                "upstream_reset_before_response_started{connection_termination}",
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            )
        };
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, flags, details, body)
    }

    /// The same at the end of several tries: the client is told that there were some.
    pub(crate) fn retried(mut self) -> Reply {
        const ONE_TRY: &[u8] = b"headers. reset reason: ";
        if let Some(at) = self.body.windows(ONE_TRY.len()).position(|part| part == ONE_TRY) {
            let (before, reason) = (&self.body[..at], &self.body[at + ONE_TRY.len()..]);
            self.body = [before, b"headers. retried and the latest reset reason: ", reason].concat().into();
        }
        self
    }

    /// The answer took too long: that of one try, or all of the exchange.
    pub(crate) fn timeout(one_try: bool) -> Reply {
        let details = if one_try { "upstream_per_try_timeout" } else { "upstream_response_timeout" };
        Reply::new(StatusCode::GATEWAY_TIMEOUT, Flags::TIMEOUT, details, "upstream request timeout")
    }

    /// The response. A gRPC client is told in gRPC: with status 200, and what the status stands for in a header.
    pub(crate) fn into_response(self, mut exchange: Box<Exchange>) -> Response<Outgoing> {
        let record = &mut exchange.record;
        let grpc = record.key.protocol == Spoken::Grpc;
        record.details = self.details;
        record.key.flags = record.key.flags.with(self.flags);
        let mut headers = self.headers;
        if grpc {
            let code = self.grpc.unwrap_or_else(|| grpc_code(self.status));
            record.key.status = 200;
            record.key.grpc_status = Some(code);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
            if let Some(message) = grpc_message(&self.body) {
                headers.insert(GRPC_MESSAGE, message);
            }
            let mut response = Response::new(Outgoing::empty());
            *response.headers_mut() = headers;
            return response;
        }
        record.key.status = self.status.as_u16();
        record.bytes_sent = self.body.len() as u64;
        if !self.body.is_empty() {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        }
        let body = match self.body {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let mut response = Response::new(Outgoing::full(body, exchange));
        (*response.status_mut(), *response.headers_mut()) = (self.status, headers);
        response
    }
}

/// What an HTTP status is in gRPC (Envoy's `Grpc::Utility::httpToGrpcStatus`).
fn grpc_code(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// A message as gRPC wants it: percent-encoded, but for printable ASCII.
fn grpc_message(text: &[u8]) -> Option<HeaderValue> {
    let mut out = String::new();
    for byte in text.trim_ascii_end() {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    if out.is_empty() { None } else { HeaderValue::try_from(out).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_code_in_grpc() {
        for (status, want) in [(403, 7), (404, 12), (503, 14), (504, 14), (400, 13), (500, 2)] {
            assert_eq!(grpc_code(StatusCode::from_u16(status).unwrap()), want, "{status}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(grpc_message("50 % é\n".as_bytes()).unwrap(), "50 %25 %C3%A9");
        assert_eq!(grpc_message(b""), None);
    }

    #[test]
    fn an_unknown_service_says_what_to_do() {
        let reply = Reply::unknown_service("api.example.com", 443);
        assert!(String::from_utf8_lossy(&reply.body).contains("`api.example.com` on port 443: add a ServiceEntry"));
    }
}
