//! Services that are told of requests and connections: in Envoy's protocol (`envoy.service.accesslog.v3`) or in OTLP.
//!
//! Owns: which of them wants what, and the messages. Generated names end in this file. `trace::export` sends them, as it sends
//! spans.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Version};
use prost::Message;
use prost_types::{Duration, Timestamp};
use taut_snapshot::object::{LogService, Told, ToldHeaders};

use super::format::told;
use super::log::Entry;
use super::record::{Details, Flags, Line};
use crate::trace::otlp::{self, LogRecord};
use crate::upstream::Upstream;

/// One of them, for one side of a workload's requests.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) service: LogService,
    /// Where it is.
    pub(crate) upstream: Arc<Upstream>,
    /// The name of this proxy.
    pub(crate) node: String,
    /// The name that collectors know the workload by.
    pub(crate) of: String,
}

impl Sink {
    /// Whether it is told of such things.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let is_request = entry.record.line.as_ref().is_some_and(|line| line.method.is_some());
        match self.service.takes {
            Told::Requests(_) => is_request,
            Told::Connections => !is_request,
            Told::Otlp(_) => true,
        }
    }

    /// The method that is called.
    pub(crate) fn method(&self) -> &'static str {
        match self.service.takes {
            Told::Requests(_) | Told::Connections => "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
            Told::Otlp(_) => otlp::EXPORT_LOGS,
        }
    }

    /// The message for some entries.
    pub(crate) fn message(&self, entries: &[Arc<Entry>]) -> Vec<u8> {
        let lines = entries.iter().filter_map(|entry| Some((&**entry, entry.record.line.as_deref()?)));
        let (mut requests, mut connections) = (None, None);
        match &self.service.takes {
            Told::Requests(headers) => {
                let entries = lines.map(|(entry, line)| request(entry, line, headers)).collect();
                requests = Some(Requests { entries });
            }
            Told::Connections => {
                connections =
                    Some(Connections { entries: lines.map(|(entry, line)| connection(entry, line)).collect() });
            }
            Told::Otlp(record) => {
                let named = |field: &taut_snapshot::object::LogField, entry: &Entry| {
                    (field.name.to_string(), told(&field.value, entry))
                };
                let record = |(entry, line): (&Entry, &Line)| LogRecord {
                    at: line.start,
                    body: told(&record.body, entry),
                    attributes: record.attributes.iter().map(|field| named(field, entry)).collect(),
                };
                let from = [("log_name", &*self.service.log), ("cluster_name", &self.of), ("node_name", &self.node)];
                return otlp::logs_message(&from, lines.map(record));
            }
        }
        let node = Some(Node { id: self.node.clone(), cluster: self.of.clone() });
        let identifier = Some(Identifier { node, log: self.service.log.to_string() });
        Stream { identifier, requests, connections }.encode_to_vec()
    }

    /// How many of so many entries an answer says were taken.
    pub(crate) fn taken(&self, answer: &[u8], all: u64) -> u64 {
        match self.service.takes {
            Told::Requests(_) | Told::Connections => all,
            Told::Otlp(_) => all.saturating_sub(otlp::refused(answer)),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(message, optional, tag = "1")]
    identifier: Option<Identifier>,
    #[prost(message, optional, tag = "2")]
    requests: Option<Requests>,
    #[prost(message, optional, tag = "3")]
    connections: Option<Connections>,
}

#[derive(Clone, PartialEq, Message)]
struct Identifier {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    log: String,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
}

#[derive(Clone, PartialEq, Message)]
struct Requests {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<OfRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct Connections {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<OfConnection>,
}

#[derive(Clone, PartialEq, Message)]
struct OfRequest {
    #[prost(message, optional, tag = "1")]
    both: Option<Both>,
    #[prost(int32, tag = "2")]
    version: i32,
    #[prost(message, optional, tag = "3")]
    request: Option<Asked>,
    #[prost(message, optional, tag = "4")]
    response: Option<Answered>,
}

#[derive(Clone, PartialEq, Message)]
struct OfConnection {
    #[prost(message, optional, tag = "1")]
    both: Option<Both>,
    #[prost(message, optional, tag = "2")]
    bytes: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Bytes {
    #[prost(uint64, tag = "1")]
    received: u64,
    #[prost(uint64, tag = "2")]
    sent: u64,
}

/// What is said of requests and of connections.
#[derive(Clone, PartialEq, Message)]
struct Both {
    #[prost(message, optional, tag = "2")]
    remote: Option<Address>,
    #[prost(message, optional, tag = "3")]
    local: Option<Address>,
    #[prost(message, optional, tag = "4")]
    tls: Option<Tls>,
    #[prost(message, optional, tag = "5")]
    start: Option<Timestamp>,
    #[prost(message, optional, tag = "9")]
    until_answer: Option<Duration>,
    #[prost(message, optional, tag = "12")]
    until_end: Option<Duration>,
    #[prost(message, optional, tag = "13")]
    upstream: Option<Address>,
    #[prost(message, optional, tag = "14")]
    upstream_local: Option<Address>,
    #[prost(string, tag = "15")]
    cluster: String,
    #[prost(message, optional, tag = "16")]
    flags: Option<Flagged>,
    #[prost(string, tag = "18")]
    transport_failure: String,
    #[prost(string, tag = "19")]
    route: String,
    #[prost(message, optional, tag = "20")]
    direct_remote: Option<Address>,
    #[prost(message, optional, tag = "23")]
    took: Option<Duration>,
    #[prost(string, tag = "25")]
    termination: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tls {
    #[prost(string, tag = "3")]
    server_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket: Option<Socket>,
}

#[derive(Clone, PartialEq, Message)]
struct Socket {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Flagged {
    #[prost(bool, tag = "2")]
    no_healthy: bool,
    #[prost(bool, tag = "3")]
    timeout: bool,
    #[prost(bool, tag = "5")]
    upstream_reset: bool,
    #[prost(bool, tag = "6")]
    connect_failure: bool,
    #[prost(bool, tag = "7")]
    upstream_closed: bool,
    #[prost(bool, tag = "8")]
    overflow: bool,
    #[prost(bool, tag = "9")]
    no_route: bool,
    #[prost(bool, tag = "10")]
    delay: bool,
    #[prost(bool, tag = "11")]
    fault: bool,
    #[prost(message, optional, tag = "13")]
    refused_elsewhere: Option<Reason>,
    #[prost(bool, tag = "15")]
    client_gone: bool,
    #[prost(bool, tag = "16")]
    retry_limit: bool,
    #[prost(bool, tag = "17")]
    idle: bool,
    #[prost(bool, tag = "19")]
    client_protocol: bool,
    #[prost(bool, tag = "25")]
    no_cluster: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Reason {
    #[prost(int32, tag = "1")]
    reason: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(int32, tag = "1")]
    method: i32,
    #[prost(string, tag = "3")]
    authority: String,
    #[prost(string, tag = "5")]
    path: String,
    #[prost(string, tag = "6")]
    user_agent: String,
    #[prost(string, tag = "8")]
    forwarded_for: String,
    #[prost(string, tag = "9")]
    request_id: String,
    #[prost(uint64, tag = "12")]
    body_bytes: u64,
    #[prost(map = "string, string", tag = "13")]
    headers: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answered {
    #[prost(message, optional, tag = "1")]
    code: Option<u32>,
    #[prost(uint64, tag = "3")]
    body_bytes: u64,
    #[prost(map = "string, string", tag = "4")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "6")]
    details: String,
}

fn request(entry: &Entry, line: &Line, wanted: &ToldHeaders) -> OfRequest {
    let text = |value: Option<&HeaderValue>| {
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    };
    let status = entry.record.key.status;
    let [asked, answered] =
        line.kept.as_ref().map(|kept| kept.named(&wanted.request, &wanted.response)).unwrap_or_default();
    OfRequest {
        both: Some(both(entry, line)),
        version: match line.version {
            Some(Version::HTTP_10) => 1,
            Some(Version::HTTP_11) => 2,
            Some(Version::HTTP_2) => 3,
            _ => 0,
        },
        request: Some(Asked {
            method: line.method.as_ref().map_or(0, method),
            authority: line.authority.to_string(),
            path: line.path.to_string(),
            user_agent: text(line.user_agent.as_ref()),
            forwarded_for: text(line.forwarded_for.as_ref()),
            request_id: text(line.request_id.as_ref()),
            body_bytes: entry.bytes_received,
            headers: asked,
        }),
        response: Some(Answered {
            code: Some(u32::from(status)).filter(|code| *code != 0),
            body_bytes: entry.record.bytes_sent,
            headers: answered,
            details: words(&entry.record.details),
        }),
    }
}

fn connection(entry: &Entry, line: &Line) -> OfConnection {
    let bytes = Bytes { received: entry.bytes_received, sent: entry.record.bytes_sent };
    OfConnection { both: Some(both(entry, line)), bytes: Some(bytes) }
}

fn both(entry: &Entry, line: &Line) -> Both {
    let took = Duration::try_from(entry.took).ok();
    let upstream = line.upstream.as_ref();
    let until_answer = upstream.and_then(|it| it.service_time_ms).map(std::time::Duration::from_millis);
    Both {
        remote: Some(address(line.remote)),
        local: Some(address(line.local)),
        tls: line.server_name.as_ref().map(|name| Tls { server_name: name.to_string() }),
        start: Some(line.start.into()),
        until_answer: until_answer.and_then(|it| Duration::try_from(it).ok()),
        until_end: took,
        upstream: upstream.and_then(|it| it.address).map(address),
        upstream_local: upstream.and_then(|it| it.local).map(address),
        cluster: upstream.map(|it| it.cluster.to_string()).unwrap_or_default(),
        flags: flagged(entry.record.key.flags),
        transport_failure: line.transport_failure.clone().unwrap_or_default(),
        route: line.route.to_string(),
        direct_remote: Some(address(line.remote)),
        took,
        termination: words(&line.termination),
    }
}

fn words(details: &Details) -> String {
    Some(details.to_string()).filter(|text| text != "-").unwrap_or_default()
}

fn address(at: SocketAddr) -> Address {
    Address { socket: Some(Socket { address: at.ip().to_string(), port: u32::from(at.port()) }) }
}

/// The number of a method (`envoy.config.core.v3.RequestMethod`).
fn method(method: &Method) -> i32 {
    let all = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let number = all.iter().position(|name| *name == method.as_str()).map_or(0, |at| at + 1);
    i32::try_from(number).unwrap_or(0)
}

fn flagged(flags: Flags) -> Option<Flagged> {
    if flags == Flags::NONE {
        return None;
    }
    /// `EXTERNAL_SERVICE`.
    const ELSEWHERE: Reason = Reason { reason: 1 };
    Some(Flagged {
        no_healthy: flags.has(Flags::NO_HEALTHY),
        timeout: flags.has(Flags::TIMEOUT),
        upstream_reset: flags.has(Flags::UPSTREAM_RESET),
        connect_failure: flags.has(Flags::CONNECT_FAILURE),
        upstream_closed: flags.has(Flags::UPSTREAM_CLOSED),
        overflow: flags.has(Flags::OVERFLOW),
        no_route: flags.has(Flags::NO_ROUTE),
        delay: flags.has(Flags::DELAY),
        fault: flags.has(Flags::FAULT),
        refused_elsewhere: flags.has(Flags::REFUSED_ELSEWHERE).then_some(ELSEWHERE),
        client_gone: flags.has(Flags::CLIENT_GONE),
        retry_limit: flags.has(Flags::RETRY_LIMIT),
        idle: flags.has(Flags::IDLE),
        client_protocol: flags.has(Flags::CLIENT_PROTOCOL),
        no_cluster: flags.has(Flags::NO_CLUSTER),
    })
}
