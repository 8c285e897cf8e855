//! What is told of a workload's requests, and to whom (semantics.md §12).

use std::fmt;

use super::{ClusterSet, Links};
use crate::format::codec::{Link, choice, record};
use crate::{Digest, Text};

record! {
    /// What is told of a workload's requests.
    pub struct Telemetry {
        /// How those are traced that it sends, or that a gateway takes; not at all if missing.
        pub client: Option<Tracing> = 1,
        /// How those are traced that it takes as a sidecar.
        pub server: Option<Tracing> = 2,
        /// Where those are logged that it sends, or that a gateway takes.
        pub client_logs: Vec<LogFile> = 3,
        /// Where those are logged that it takes as a sidecar.
        pub server_logs: Vec<LogFile> = 4,
        /// What is different of the standard metrics of those that it sends, or that a gateway takes.
        pub client_metrics: Vec<MetricRule> = 5,
        /// The same of those that it takes as a sidecar.
        pub server_metrics: Vec<MetricRule> = 6,
        /// Services that are told of those that it sends, or that a gateway takes.
        pub client_told: Vec<LogService> = 7,
        /// Services that are told of those that it takes as a sidecar.
        pub server_told: Vec<LogService> = 8,
    }
}

record! {
    /// A service that is told of requests.
    pub struct LogService {
        /// The name that the mesh gives it.
        pub name: Text = 1,
        /// Where it is.
        pub clusters: Link<ClusterSet> = 2,
        /// What it is told.
        pub takes: Told = 3,
        /// What the log is called.
        pub log: Text = 4,
        /// Of which requests, in postfix order; of all if empty.
        pub filter: Vec<FilterStep> = 5,
    }
}

choice! {
    /// What a service is told, and in which words.
    pub enum Told {
        /// Of requests, in Envoy's own protocol.
        Requests(ToldHeaders) = 0,
        /// Of connections whose bytes are not looked at, in Envoy's own protocol.
        Connections = 1,
        /// Of both, in OTLP over gRPC.
        Otlp(OtlpRecord) = 2,
    }
}

record! {
    /// Headers that are told beside the usual, in lower case.
    pub struct ToldHeaders {
        /// Of the request.
        pub request: Vec<Text> = 1,
        /// Of the answer.
        pub response: Vec<Text> = 2,
    }
}

record! {
    /// What a record of OTLP says.
    pub struct OtlpRecord {
        /// Its body.
        pub body: Vec<LogPiece> = 1,
        /// Its attributes, by name.
        pub attributes: Vec<LogField> = 2,
    }
}

record! {
    /// What is different of one metric.
    pub struct MetricRule {
        /// Which.
        pub metric: Metric = 1,
        /// Whether it is not shown.
        pub disabled: bool = 2,
        /// Labels that have another value, or none.
        pub tags: Vec<TagRule> = 3,
    }
}

choice! {
    /// A standard metric.
    pub enum Metric {
        /// `istio_requests_total`.
        Requests = 0,
        /// `istio_request_duration_milliseconds`.
        Duration = 1,
        /// `istio_request_bytes`.
        RequestBytes = 2,
        /// `istio_response_bytes`.
        ResponseBytes = 3,
        /// `istio_tcp_connections_opened_total`.
        TcpOpened = 4,
        /// `istio_tcp_connections_closed_total`.
        TcpClosed = 5,
        /// `istio_tcp_sent_bytes_total`.
        TcpSent = 6,
        /// `istio_tcp_received_bytes_total`.
        TcpReceived = 7,
    }
}

record! {
    /// One label of a metric.
    pub struct TagRule {
        /// Its name.
        pub name: Text = 1,
        /// Its value; without one it is taken away.
        pub value: Option<TagFrom> = 2,
    }
}

choice! {
    /// Where a label's value is from.
    pub enum TagFrom {
        /// It is this.
        Literal(Text) = 0,
        /// It is that of this standard label.
        Label(Text) = 1,
        /// It is this of the request, as it came.
        Request(FilterAttribute) = 2,
    }
}

record! {
    /// A file that requests are logged in.
    pub struct LogFile {
        /// Its path on the proxy's machine.
        pub path: Text = 1,
        /// How a line is written.
        pub format: LogFormat = 2,
        /// Which requests are logged, in postfix order; all if empty.
        pub filter: Vec<FilterStep> = 3,
    }
}

choice! {
    /// How a line is written.
    pub enum LogFormat {
        /// As text; the end of the line is part of it.
        Text(Vec<LogPiece>) = 0,
        /// As JSON.
        Json(Vec<LogField>) = 1,
    }
}

record! {
    /// One key of a line in JSON.
    pub struct LogField {
        /// The key.
        pub name: Text = 1,
        /// Its value. A number alone stays one.
        pub value: Vec<LogPiece> = 2,
    }
}

choice! {
    /// A part of a line.
    pub enum LogPiece {
        /// It is this.
        Text(Text) = 0,
        /// It is looked up.
        Item(CutItem) = 1,
    }
}

record! {
    /// What is looked up, and how much of it is written.
    pub struct CutItem {
        /// What.
        pub item: LogItem = 1,
        /// At most so many bytes; all if 0.
        pub most: u32 = 2,
    }
}

choice! {
    /// What is known of a request.
    pub enum LogItem {
        /// When it came.
        StartTime = 0,
        /// What it spoke.
        Protocol = 1,
        /// The status.
        ResponseCode = 2,
        /// Why it is that.
        ResponseCodeDetails = 3,
        /// What went wrong, in Envoy's letters.
        ResponseFlags = 4,
        /// Why the connection was ended.
        Termination = 5,
        /// Why the upstream could not be reached.
        TransportFailure = 6,
        /// Bytes of the request's body.
        BytesReceived = 7,
        /// Bytes of the answer's body.
        BytesSent = 8,
        /// Milliseconds.
        Duration = 9,
        /// The upstream's address.
        UpstreamHost = 10,
        /// The upstream's cluster.
        UpstreamCluster = 11,
        /// This end of the connection to the upstream.
        UpstreamLocal = 12,
        /// This end of the client's connection.
        DownstreamLocal = 13,
        /// The same without its port.
        DownstreamLocalIp = 14,
        /// The client.
        DownstreamRemote = 15,
        /// The same without its port.
        DownstreamRemoteIp = 16,
        /// The name that TLS asked for.
        ServerName = 17,
        /// The rule.
        RouteName = 18,
        /// A header of the request; `:method`, `:path` and `:authority` count as such.
        Request(HeaderNames) = 19,
        /// A header of the answer.
        Response(HeaderNames) = 20,
    }
}

record! {
    /// A header, or else another one; in lower case.
    pub struct HeaderNames {
        /// The header.
        pub name: Text = 1,
        /// The other one; none if empty.
        pub otherwise: Text = 2,
    }
}

choice! {
    /// A step of a condition. What cannot be tested, because there is none, makes the whole fail unless `And` or `Or` does
    /// not need it.
    pub enum FilterStep {
        /// A test.
        Test(FilterTest) = 0,
        /// The step before does not hold.
        Not = 1,
        /// The two before hold.
        And = 2,
        /// One of the two before holds.
        Or = 3,
    }
}

record! {
    /// A test of one attribute.
    pub struct FilterTest {
        /// Of what.
        pub attribute: FilterAttribute = 1,
        /// What holds of it.
        pub holds: FilterHolds = 2,
    }
}

choice! {
    /// What can be asked of a request.
    pub enum FilterAttribute {
        /// The status.
        ResponseCode = 0,
        /// Why it is that.
        ResponseCodeDetails = 1,
        /// Bytes of the answer's body.
        ResponseSize = 2,
        /// Bytes of the request's body.
        RequestSize = 3,
        /// The path with its query.
        RequestPath = 4,
        /// The path without it.
        RequestUrlPath = 5,
        /// The host.
        RequestHost = 6,
        /// The method.
        RequestMethod = 7,
        /// What it spoke.
        RequestProtocol = 8,
        /// Its user agent.
        RequestUserAgent = 9,
        /// Its id.
        RequestId = 10,
        /// Whether the client came over the mesh's mTLS.
        ConnectionMtls = 11,
        /// The name that TLS asked for.
        ServerName = 12,
        /// A header of the request, in lower case.
        Header(Text) = 13,
    }
}

choice! {
    /// What holds of an attribute.
    pub enum FilterHolds {
        /// It is this text.
        Is(Text) = 0,
        /// It begins with this.
        Begins(Text) = 1,
        /// It ends with this.
        Ends(Text) = 2,
        /// This is somewhere in it.
        Contains(Text) = 3,
        /// It is this number.
        Equals(u64) = 4,
        /// It is less.
        Below(u64) = 5,
        /// It is true.
        True = 6,
        /// There is one.
        Present = 7,
    }
}

record! {
    /// How requests are traced.
    pub struct Tracing {
        /// To whom spans go.
        pub exporter: Exporter = 1,
        /// How many of ten thousand requests are, where nobody before has decided.
        pub sampling: u32 = 2,
        /// Tags of every span, by name.
        pub tags: Vec<SpanTag> = 3,
        /// Whether the request's id says whether it is traced.
        pub by_request_id: bool = 4,
        /// Whether spans say where in the mesh they are from.
        pub mesh_tags: bool = 5,
        /// Whether whoever gets the request is told of the trace.
        pub propagates: bool = 6,
    }
}

record! {
    /// A collector of spans.
    pub struct Exporter {
        /// The name that the mesh gives it.
        pub name: Text = 1,
        /// Where it is.
        pub clusters: Link<ClusterSet> = 2,
        /// What it speaks.
        pub speaks: Collects = 3,
        /// The longest path in a span.
        pub path_max: u32 = 4,
    }
}

choice! {
    /// What a collector speaks.
    pub enum Collects {
        /// Zipkin's JSON, version 2.
        Zipkin(ZipkinCollector) = 0,
        /// OTLP over gRPC.
        OtlpGrpc = 1,
        /// OTLP over HTTP, at this path.
        OtlpHttp(Text) = 2,
    }
}

record! {
    /// A collector of Zipkin's.
    pub struct ZipkinCollector {
        /// Where spans go.
        pub path: Text = 1,
        /// Whether traces go on in W3C's headers beside B3's.
        pub w3c: bool = 2,
    }
}

record! {
    /// A tag of every span.
    pub struct SpanTag {
        /// Its name.
        pub name: Text = 1,
        /// Its value.
        pub value: TagValue = 2,
    }
}

choice! {
    /// Where the value of a tag is from.
    pub enum TagValue {
        /// It is this.
        Literal(Text) = 0,
        /// It is in a header of the request.
        Header(LookedUp) = 1,
        /// It is in the proxy's environment.
        Environment(LookedUp) = 2,
    }
}

record! {
    /// A value that is looked up.
    pub struct LookedUp {
        /// Under which name; of a header in lower case.
        pub name: Text = 1,
        /// What it is if there is none; without one, there is no tag.
        pub otherwise: Text = 2,
    }
}

impl Default for Telemetry {
    /// Nothing is told.
    fn default() -> Telemetry {
        Telemetry {
            client: None,
            server: None,
            client_logs: Vec::new(),
            server_logs: Vec::new(),
            client_metrics: Vec::new(),
            server_metrics: Vec::new(),
            client_told: Vec::new(),
            server_told: Vec::new(),
        }
    }
}

impl Links for Telemetry {
    fn links(&self) -> Vec<Digest> {
        let tracing = [&self.client, &self.server].into_iter().flatten().map(|tracing| tracing.exporter.clusters);
        super::digests(tracing.chain(self.client_told.iter().chain(&self.server_told).map(|told| told.clusters)))
    }
}

impl fmt::Display for LogPiece {
    /// As it is written in a format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogPiece::Item(item) = self else {
            let LogPiece::Text(text) = self else { return Ok(()) };
            return f.write_str(&text.replace('%', "%%"));
        };
        write!(f, "%{}", item.item)?;
        if item.most != 0 { write!(f, ":{}%", item.most) } else { f.write_str("%") }
    }
}

impl fmt::Display for LogItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            LogItem::StartTime => "START_TIME",
            LogItem::Protocol => "PROTOCOL",
            LogItem::ResponseCode => "RESPONSE_CODE",
            LogItem::ResponseCodeDetails => "RESPONSE_CODE_DETAILS",
            LogItem::ResponseFlags => "RESPONSE_FLAGS",
            LogItem::Termination => "CONNECTION_TERMINATION_DETAILS",
            LogItem::TransportFailure => "UPSTREAM_TRANSPORT_FAILURE_REASON",
            LogItem::BytesReceived => "BYTES_RECEIVED",
            LogItem::BytesSent => "BYTES_SENT",
            LogItem::Duration => "DURATION",
            LogItem::UpstreamHost => "UPSTREAM_HOST",
            LogItem::UpstreamCluster => "UPSTREAM_CLUSTER",
            LogItem::UpstreamLocal => "UPSTREAM_LOCAL_ADDRESS",
            LogItem::DownstreamLocal => "DOWNSTREAM_LOCAL_ADDRESS",
            LogItem::DownstreamLocalIp => "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
            LogItem::DownstreamRemote => "DOWNSTREAM_REMOTE_ADDRESS",
            LogItem::DownstreamRemoteIp => "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
            LogItem::ServerName => "REQUESTED_SERVER_NAME",
            LogItem::RouteName => "ROUTE_NAME",
            LogItem::Request(names) => return write!(f, "REQ({names})"),
            LogItem::Response(names) => return write!(f, "RESP({names})"),
        };
        f.write_str(word)
    }
}

impl fmt::Display for HeaderNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.otherwise.as_str() {
            "" => f.write_str(&self.name),
            otherwise => write!(f, "{}?{otherwise}", self.name),
        }
    }
}
