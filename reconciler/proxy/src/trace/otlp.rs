//! Spans and records of logs in OTLP: `opentelemetry.proto.collector.trace.v1` and `logs.v1`. The messages have the numbers of OpenTelemetry's, as far as they
//! are used; generated names end in this file.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::{Finished, Tracer};

/// The method that is called.
pub(super) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The same, for logs.
pub(crate) const EXPORT_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const FAILED: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_ns: u64,
    #[prost(fixed64, tag = "8")]
    end_ns: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

/// Of all kinds of values, texts are used alone.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsRequest {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<LogsOfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct LogsOfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<LogsOfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct LogsOfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    records: Vec<OneRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct OneRecord {
    #[prost(fixed64, tag = "1")]
    at_ns: u64,
    #[prost(message, optional, tag = "5")]
    body: Option<Value>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partly: Option<Partly>,
}

#[derive(Clone, PartialEq, Message)]
struct Partly {
    #[prost(int64, tag = "1")]
    refused: i64,
}

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute { key: key.to_owned(), value: Some(Value { text: Some(value.to_owned()) }) }
}

/// A record of a log.
pub(crate) struct LogRecord {
    pub(crate) at: SystemTime,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(String, String)>,
}

/// The message for some records that are from one place.
pub(crate) fn logs_message(from: &[(&str, &str)], records: impl Iterator<Item = LogRecord>) -> Vec<u8> {
    let record = |record: LogRecord| OneRecord {
        at_ns: since_1970(record.at),
        body: Some(Value { text: Some(record.body) }),
        attributes: record.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
    };
    let scope = LogsOfScope { scope: Some(Scope { name: "taut".to_owned() }), records: records.map(record).collect() };
    let resource = Resource { attributes: from.iter().map(|(name, value)| attribute(name, value)).collect() };
    ExportLogsRequest { resources: vec![LogsOfResource { resource: Some(resource), scopes: vec![scope] }] }
        .encode_to_vec()
}

/// The message for some spans of one tracer.
pub(super) fn message(tracer: &Tracer, spans: &[Finished]) -> Vec<u8> {
    let span = |span: &Finished| Span {
        trace_id: span.context.trace.to_be_bytes().to_vec(),
        span_id: span.context.span.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: if span.server { SERVER } else { CLIENT },
        start_ns: since_1970(span.start),
        end_ns: since_1970(span.start + span.took),
        attributes: span.tags.iter().map(|(name, value)| attribute(name, value)).collect(),
        status: span.failed.then_some(Status { code: FAILED }),
    };
    let scope = OfScope { scope: Some(Scope { name: "taut".to_owned() }), spans: spans.iter().map(span).collect() };
    let resource = Resource { attributes: vec![attribute("service.name", &tracer.service)] };
    ExportRequest { resources: vec![OfResource { resource: Some(resource), scopes: vec![scope] }] }.encode_to_vec()
}

fn since_1970(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// A message as gRPC frames it.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0); // it is not compressed
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    body.freeze()
}

/// How many spans or records an answer says were refused.
pub(crate) fn refused(answer: &[u8]) -> u64 {
    let partly = ExportResponse::decode(answer).ok().and_then(|answer| answer.partly);
    partly.map_or(0, |partly| u64::try_from(partly.refused).unwrap_or(0))
}
