//! What happened to one request: the one account that metrics and the access log are made from.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, Version, header};
use taut_snapshot::{Digest, Text};

use super::files::Kept;
use super::metrics::SeriesKey;

/// Envoy's response flags (semantics.md §12.4), as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flags(u16);

macro_rules! flags {
    ($($(#[$doc:meta])* $NAME:ident = $bit:literal $text:literal,)*) => {
        impl Flags {
            $($(#[$doc])* pub(crate) const $NAME: Flags = Flags(1 << $bit);)*
        }

        /// In the order in which Envoy writes them.
        const TEXTS: &[(Flags, &str)] = &[$((Flags::$NAME, $text),)*];
    };
}

flags! {
    /// No endpoint is healthy.
    NO_HEALTHY = 0 "UH",
    /// The upstream could not be reached.
    CONNECT_FAILURE = 1 "UF",
    /// A limit of the cluster is reached.
    OVERFLOW = 2 "UO",
    /// No rule matches.
    NO_ROUTE = 3 "NR",
    /// All tries are used up.
    RETRY_LIMIT = 4 "URX",
    /// The upstream closed the connection.
    UPSTREAM_CLOSED = 5 "UC",
    /// The upstream reset the stream.
    UPSTREAM_RESET = 6 "UR",
    /// The upstream took too long.
    TIMEOUT = 7 "UT",
    /// The client went away.
    CLIENT_GONE = 8 "DC",
    /// The cluster of the rule does not exist.
    NO_CLUSTER = 9 "NC",
    /// The client broke the protocol.
    CLIENT_PROTOCOL = 10 "DPE",
    /// It waited on purpose.
    DELAY = 11 "DI",
    /// It failed on purpose.
    FAULT = 12 "FI",
    /// Nothing came for too long.
    IDLE = 13 "SI",
    /// Another service refused it.
    REFUSED_ELSEWHERE = 14 "UAEX",
}

impl Flags {
    /// None of them.
    pub(crate) const NONE: Flags = Flags(0);

    /// Whether one of those is set.
    pub(crate) fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those.
    pub(crate) const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Flags::NONE {
            return f.write_str("-");
        }
        let set = TEXTS.iter().filter(|(flag, _)| self.0 & flag.0 != 0);
        set.enumerate().try_for_each(|(index, (_, text))| write!(f, "{}{text}", if index == 0 { "" } else { "," }))
    }
}

/// Why the answer is what it is: Envoy's RESPONSE_CODE_DETAILS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Details {
    /// Nothing is known.
    #[default]
    None,
    /// One of Envoy's words.
    Word(&'static str),
    /// A policy denied it; none in particular if no ALLOW policy matches.
    Denied(Option<Text>),
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Details::None => f.write_str("-"),
            Details::Word(word) => f.write_str(word),
            Details::Denied(policy) => {
                write!(f, "rbac_access_denied_matched_policy[{}]", policy.as_deref().unwrap_or("none"))
            }
        }
    }
}

/// One request, from its head to the last byte of its answer; or one connection whose bytes are not looked at.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What it is counted under. The status in it is 0 until there is an answer.
    pub(crate) key: SeriesKey,
    /// Why the answer is what it is.
    pub(crate) details: Details,
    /// Bytes of the answer's body.
    pub(crate) bytes_sent: u64,
    /// What only the access log needs; none while it is off.
    pub(crate) line: Option<Box<Line>>,
}

/// What a line of the access log says beside the counted.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) start: SystemTime,
    /// None for a connection whose bytes are not looked at, as all that is of HTTP.
    pub(crate) method: Option<Method>,
    pub(crate) path: Text,
    pub(crate) version: Option<Version>,
    pub(crate) authority: Text,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) server_name: Option<Arc<str>>,
    pub(crate) route: Text,
    pub(crate) upstream: Option<UpstreamLine>,
    /// Why the connection was ended here.
    pub(crate) termination: Details,
    /// Why the connection to the upstream failed.
    pub(crate) transport_failure: Option<String>,
    /// What the mesh's logs want of it; nothing if there are none.
    pub(crate) kept: Option<Kept>,
    pub(crate) provenance: Provenance,
}

/// Which upstream served a request.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamLine {
    pub(crate) cluster: Arc<str>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// Milliseconds until the head of the answer.
    pub(crate) service_time_ms: Option<u64>,
}

/// What decided a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provenance {
    pub(crate) snapshot: Option<Digest>,
    /// The table of rules, and the number of the rule in it, from 1: what a source map names the line of.
    pub(crate) rule: Option<(Digest, usize)>,
}

/// Whether a message is gRPC (Envoy's `Grpc::Common::hasGrpcContentType`).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    value.as_bytes().strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_as_envoy_writes_them() {
        assert_eq!(Flags::NONE.to_string(), "-");
        assert_eq!(Flags::RETRY_LIMIT.with(Flags::CONNECT_FAILURE).to_string(), "UF,URX");
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (text, want) in
            [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc-web", false), ("", false)]
        {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(is_grpc(&headers), want, "{text}");
        }
    }
}
