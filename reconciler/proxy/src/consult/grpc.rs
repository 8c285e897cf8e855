//! Asking in gRPC: `envoy.service.auth.v3.Authorization/Check`. The messages have the numbers of Envoy's API, as far as they
//! are used; generated names end in this file.

use std::collections::HashMap;
use std::time::SystemTime;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use prost::Message;

use super::{Passing, Said, is_framing, of_proxy};
use crate::downstream::Connection;
use crate::exchange::grpc_status;
use crate::forward::upload::Upload;
use crate::headers::{self, Host};
use crate::upstream::Upstream;

/// The method that is called.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "2")]
    destination: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<Asked>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
    #[prost(string, tag = "4")]
    principal: String,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(message, optional, tag = "1")]
    time: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(int64, tag = "9")]
    size: i64,
    #[prost(string, tag = "10")]
    protocol: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    passed: Option<Passed>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Passed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, repeated, tag = "5")]
    remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    downstream: Vec<HeaderOption>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(message, optional, tag = "2")]
    append: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw: Vec<u8>,
}

/// The question.
pub(super) fn request(
    connection: &Connection,
    parts: &Parts,
    host: &Host<'static>,
    upstream: &Upstream,
) -> Option<Request<Upload>> {
    let mut texts: HashMap<String, String> = HashMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Of a header that stands twice, both are told.
        let known = texts.entry(name.as_str().to_owned()).or_default();
        *known = if known.is_empty() { value.into_owned() } else { format!("{known},{value}") };
    }
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let pseudo = [(":method", parts.method.as_str()), (":path", path), (":authority", host.as_str())];
    texts.extend(pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let protocol = match parts.version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let address = |at: std::net::SocketAddr| Address {
        socket: Some(SocketAddress { address: at.ip().to_string(), port: u32::from(at.port()) }),
    };
    let own = connection.worker.shared.labels.principals.value(connection.worker.shared.principal);
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let http = HttpRequest {
        id: text(&headers::REQUEST_ID).to_owned(),
        method: parts.method.to_string(),
        headers: texts,
        path: path.to_owned(),
        host: host.as_str().to_owned(),
        scheme: connection.scheme().to_owned(),
        size: -1, // no body is sent with it
        protocol: protocol.to_owned(),
    };
    let question = CheckRequest {
        attributes: Some(Attributes {
            source: Some(Peer {
                address: Some(address(connection.remote)),
                principal: connection.peer().map(|peer| peer.id.to_string()).unwrap_or_default(),
            }),
            destination: Some(Peer { address: Some(address(connection.local)), principal: own.to_string() }),
            request: Some(Asked { time: Some(SystemTime::now().into()), http: Some(http) }),
        }),
    };
    let mut body = BytesMut::new();
    body.put_u8(0); // it is not compressed
    body.put_u32(u32::try_from(question.encoded_len()).ok()?);
    question.encode(&mut body).ok()?;
    let mut all = HeaderMap::new();
    all.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    all.insert(http::header::TE, HeaderValue::from_static("trailers"));
    let authority = format!("{}:{}", upstream.cluster.host, upstream.cluster.port);
    let path = PathAndQuery::from_static(CHECK);
    let uri = headers::write_http2_target(&mut all, path, &authority, Scheme::HTTP).ok()?;
    let mut request = of_proxy(Method::POST, uri, all, Upload::Whole(Some(body.freeze())));
    *request.version_mut() = Version::HTTP_2;
    Some(request)
}

/// What the answer says; none if it is an error.
pub(crate) fn said(response: &Response<Bytes>, trailers: Option<&HeaderMap>) -> Option<Said> {
    let status = trailers.and_then(grpc_status).or_else(|| grpc_status(response.headers()));
    let message = response.body().get(5..).filter(|_| status == Some(0))?;
    let answer = CheckResponse::decode(message).ok()?;
    if answer.status.map_or(0, |status| status.code) == 0 {
        let passed = answer.passed.unwrap_or_default();
        let of = |option: &HeaderOption| pair(option).map(|(name, value)| (name, value, option.append == Some(true)));
        return Some(Said::Pass(Passing {
            upstream: passed.headers.iter().filter_map(of).collect(),
            remove: passed.remove.iter().filter_map(|name| named(name)).collect(),
            downstream: passed.downstream.iter().filter_map(pair).collect(),
            before_routing: false,
        }));
    }
    let denied = answer.denied.unwrap_or_default();
    let code = denied.status.map_or(0, |status| status.code);
    let status = u16::try_from(code).ok().filter(|code| *code != 0).unwrap_or(403);
    let headers = denied.headers.iter().filter_map(pair).collect();
    Some(Said::Refuse(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN), headers, denied.body.into()))
}

fn named(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok().filter(|name| !is_framing(name))
}

fn pair(option: &HeaderOption) -> Option<(HeaderName, HeaderValue)> {
    let header = option.header.as_ref()?;
    let value = if header.raw.is_empty() { header.value.as_bytes() } else { &header.raw };
    Some((named(&header.key)?, HeaderValue::from_bytes(value).ok()?))
}
