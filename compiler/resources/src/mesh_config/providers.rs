//! Extension providers: who is told of requests, and who is asked about them (semantics.md §11.6, §12).

use taut_source::{Node, Text};

use crate::DurationOrZero;
use crate::grammar::{HOST_AND_PORT, PROVIDER_SERVICE};
use crate::log_format::parse_log_format;
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Named, Reader};
use crate::rules;
use crate::scalar::{FreeForm, Port};

message! {
    /// Someone who is told or asked.
    pub struct ExtensionProvider {
        /// Its name.
        name: At<Text> = "name", chars(1..);
        /// Is asked by HTTP.
        envoy_ext_authz_http: Option<ExtAuthzHttp> = "envoyExtAuthzHttp";
        /// Is asked by gRPC.
        envoy_ext_authz_grpc: Option<ExtAuthzGrpc> = "envoyExtAuthzGrpc";
        /// Gets traces.
        zipkin: Option<ZipkinProvider> = "zipkin";
        /// Gets traces.
        lightstep: Option<ServiceProvider> = "lightstep", refused("send traces to an `opentelemetry` provider");
        /// Gets traces.
        datadog: Option<ServiceProvider> = "datadog", refused("send traces to an `opentelemetry` provider");
        /// Gets everything.
        stackdriver: Option<FreeForm> = "stackdriver", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        opencensus: Option<ServiceProvider> = "opencensus", refused("send traces to an `opentelemetry` provider");
        /// Gets traces.
        skywalking: Option<ServiceProvider> = "skywalking", refused("send traces to an `opentelemetry` provider");
        /// Gets traces.
        opentelemetry: Option<OpenTelemetryProvider> = "opentelemetry";
        /// Fetches metrics.
        prometheus: Option<FreeForm> = "prometheus", inert("every proxy serves its metrics to whoever fetches them");
        /// A file of the proxy.
        envoy_file_access_log: Option<FileLog> = "envoyFileAccessLog";
        /// Gets a log of requests.
        envoy_http_als: Option<RequestLogService> = "envoyHttpAls";
        /// Gets a log of connections.
        envoy_tcp_als: Option<ConnectionLogService> = "envoyTcpAls";
        /// Gets a log.
        envoy_otel_als: Option<OtelLogService> = "envoyOtelAls";
        /// Has secrets.
        sds: Option<ServiceProvider> = "sds", refused("secrets are read from the repository and from files: leave it out");
    }
    where exactly_one("envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "stackdriver", "opencensus",
        "skywalking", "opentelemetry", "prometheus", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls", "sds");
}

message! {
    /// A service, and what is its own.
    pub struct ServiceProvider open {
        /// The service.
        service: Option<At<Text>> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: Option<At<Port>> = "port";
        /// Both in one, the old way.
        address: Option<At<Text>> = "address", is(HOST_AND_PORT);
    }
}

keyword! {
    /// In which headers a trace goes on.
    pub enum TraceContext {
        /// B3.
        B3 = "USE_B3";
        /// B3, and W3C's beside it.
        B3AndW3c = "USE_B3_WITH_W3C_PROPAGATION";
    }
}

message! {
    /// A collector of traces that speaks Zipkin.
    pub struct ZipkinProvider {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// The longest path in a span; 256 if missing.
        max_tag_length: Option<At<u32>> = "maxTagLength";
        /// Whether ids are of 64 bits.
        enable64bit_trace_id: Option<At<bool>> = "enable64bitTraceId", refused("ids of 128 bits are known to every Zipkin: leave it out");
        /// Where spans go; `/api/v2/spans` if missing.
        path: Option<At<Text>> = "path";
        /// The most that it may take.
        timeout: Option<At<DurationOrZero>> = "timeout", refused("spans wait in a queue of their own, and for five seconds at most: leave it out");
        /// Headers for it.
        headers: List<FreeForm> = "headers", refused("let a gateway in front of the collector write them");
        /// In which headers a trace goes on.
        trace_context_option: Option<At<TraceContext>> = "traceContextOption";
    }
}

message! {
    /// A collector of traces that speaks OTLP: gRPC, or HTTP if that is here.
    pub struct OpenTelemetryProvider {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// The longest path in a span; 256 if missing.
        max_tag_length: Option<At<u32>> = "maxTagLength";
        /// Over HTTP.
        http: Option<OtlpHttp> = "http";
        /// Over gRPC.
        grpc: Option<FreeForm> = "grpc", refused("spans wait in a queue of their own, and for five seconds at most: leave it out");
        /// What a span says of where it is from.
        resource_detectors: Option<FreeForm> = "resourceDetectors", refused("write `customTags` in a Telemetry");
        /// Who samples.
        dynatrace_sampler: Option<FreeForm> = "dynatraceSampler", refused("write `randomSamplingPercentage` in a Telemetry");
    }
}

message! {
    /// OTLP over HTTP.
    pub struct OtlpHttp {
        /// Where spans go.
        path: At<Text> = "path", chars(1..);
        /// The most that it may take.
        timeout: Option<At<DurationOrZero>> = "timeout", refused("spans wait in a queue of their own, and for five seconds at most: leave it out");
        /// Headers for it.
        headers: List<FreeForm> = "headers", refused("let a gateway in front of the collector write them");
    }
}

message! {
    /// A file that requests are logged in.
    pub struct FileLog {
        /// Its path; `/dev/stdout` if missing.
        path: Option<At<Text>> = "path";
        /// How a line is written.
        log_format: Option<FileLogFormat> = "logFormat";
        /// Whether what there is none of is left out.
        omit_empty_values: Option<At<bool>> = "omitEmptyValues", refused("what there is none of is written as `-`, or as `null` in JSON");
    }
}

message! {
    /// How a line is written.
    pub struct FileLogFormat {
        /// As text.
        text: Option<At<Text>> = "text";
        /// As JSON: each key, and the format of its value.
        labels: Option<Named<At<Text>>> = "labels";
    }
    where exactly_one("text", "labels"), check(FileLogFormat::check);
}

message! {
    /// A service that is told of requests in Envoy's own protocol.
    pub struct RequestLogService {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// What the log is called; `http_envoy_accesslog` if missing.
        log_name: Option<At<Text>> = "logName";
        /// What filters know.
        filter_state_objects_to_log: List<At<Text>> = "filterStateObjectsToLog", refused("no filter keeps anything here: leave it out");
        /// Headers of the request.
        additional_request_headers_to_log: List<At<Text>> = "additionalRequestHeadersToLog";
        /// Headers of the answer.
        additional_response_headers_to_log: List<At<Text>> = "additionalResponseHeadersToLog";
        /// Trailers of the answer.
        additional_response_trailers_to_log: List<At<Text>> = "additionalResponseTrailersToLog", refused("trailers are not kept: leave it out; the status of gRPC is in the metrics");
    }
}

message! {
    /// A service that is told of connections in Envoy's own protocol.
    pub struct ConnectionLogService {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// What the log is called; `tcp_envoy_accesslog` if missing.
        log_name: Option<At<Text>> = "logName";
        /// What filters know.
        filter_state_objects_to_log: List<At<Text>> = "filterStateObjectsToLog", refused("no filter keeps anything here: leave it out");
    }
}

message! {
    /// A collector that is told of requests and connections in OTLP, over gRPC.
    pub struct OtelLogService {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// What the log is called; `otel_envoy_accesslog` if missing.
        log_name: Option<At<Text>> = "logName";
        /// What it is told.
        log_format: Option<OtelLogFormat> = "logFormat";
    }
}

message! {
    /// What a collector is told.
    pub struct OtelLogFormat {
        /// The body, as text; Istio's usual line if missing.
        text: Option<At<Text>> = "text";
        /// Attributes: each key, and the format of its value.
        labels: Option<Named<At<Text>>> = "labels";
    }
    where check(OtelLogFormat::check);
}

message! {
    /// How much of a body is seen.
    pub struct AuthzBody {
        /// At most this many bytes.
        max_request_bytes: Option<At<u32>> = "maxRequestBytes";
        /// Whether longer ones pass.
        allow_partial_message: Option<At<bool>> = "allowPartialMessage";
        /// Whether it is no text.
        pack_as_bytes: Option<At<bool>> = "packAsBytes";
    }
}

message! {
    /// A service that is asked by HTTP whether a request may pass.
    pub struct ExtAuthzHttp {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// The most that it may take; 600s if missing.
        timeout: Option<At<DurationOrZero>> = "timeout";
        /// What stands before the path.
        path_prefix: Option<At<Text>> = "pathPrefix";
        /// Whether requests pass when it fails.
        fail_open: Option<At<bool>> = "failOpen";
        /// The status when it fails.
        status_on_error: Option<At<Text>> = "statusOnError";
        /// Whether the route is chosen again.
        clear_route_cache: Option<At<bool>> = "clearRouteCache";
        /// The headers that it sees, the old way.
        include_headers_in_check: List<At<Text>> = "includeHeadersInCheck", deprecated("use `includeRequestHeadersInCheck`");
        /// The headers that it sees.
        include_request_headers_in_check: List<At<Text>> = "includeRequestHeadersInCheck";
        /// Further headers for it.
        include_additional_headers_in_check: Labels = "includeAdditionalHeadersInCheck";
        /// How much of the body it sees.
        include_request_body_in_check: Option<AuthzBody> = "includeRequestBodyInCheck", refused("bodies are not shown: let the service ask for what it needs in headers");
        /// Its headers that the service sees.
        headers_to_upstream_on_allow: List<At<Text>> = "headersToUpstreamOnAllow";
        /// Its headers that the client sees when refused.
        headers_to_downstream_on_deny: List<At<Text>> = "headersToDownstreamOnDeny";
        /// Its headers that the client sees else.
        headers_to_downstream_on_allow: List<At<Text>> = "headersToDownstreamOnAllow";
    }
}

message! {
    /// A service that is asked by gRPC whether a request may pass.
    pub struct ExtAuthzGrpc {
        /// The service.
        service: At<Text> = "service", is(PROVIDER_SERVICE);
        /// Its port.
        port: At<Port> = "port";
        /// The most that it may take; 600s if missing.
        timeout: Option<At<DurationOrZero>> = "timeout";
        /// Whether requests pass when it fails.
        fail_open: Option<At<bool>> = "failOpen";
        /// The status when it fails.
        status_on_error: Option<At<Text>> = "statusOnError";
        /// Whether the route is chosen again.
        clear_route_cache: Option<At<bool>> = "clearRouteCache";
        /// How much of the body it sees.
        include_request_body_in_check: Option<AuthzBody> = "includeRequestBodyInCheck", refused("bodies are not shown: let the service ask for what it needs in headers");
    }
}

impl ExtensionProvider {
    /// Whether spans can be sent to it.
    #[must_use]
    pub fn takes_traces(&self) -> bool {
        self.zipkin.is_some() || self.opentelemetry.is_some()
    }

    /// Whether access logs can be written to it or sent to it.
    #[must_use]
    pub fn takes_logs(&self) -> bool {
        self.envoy_file_access_log.is_some() || self.log_service().is_some()
    }

    /// The service that access logs are sent to, and its port.
    #[must_use]
    pub fn log_service(&self) -> Option<(&Text, u16)> {
        let http = self.envoy_http_als.as_ref().map(|it| (&it.service, it.port));
        let tcp = self.envoy_tcp_als.as_ref().map(|it| (&it.service, it.port));
        let otel = self.envoy_otel_als.as_ref().map(|it| (&it.service, it.port));
        http.or(tcp).or(otel).map(|(service, port)| (&service.value, port.value.0))
    }

    /// The services that proxies send something to for its sake, `namespace/host` or `host`.
    pub fn services(&self) -> impl Iterator<Item = &Text> {
        let asked = self.envoy_ext_authz_http.iter().map(|it| &it.service.value);
        let asked = asked.chain(self.envoy_ext_authz_grpc.iter().map(|it| &it.service.value));
        let told = self.zipkin.iter().map(|it| &it.service.value);
        let told = told.chain(self.opentelemetry.iter().map(|it| &it.service.value));
        let logs = self.envoy_http_als.iter().map(|it| &it.service.value);
        let logs = logs.chain(self.envoy_tcp_als.iter().map(|it| &it.service.value));
        asked.chain(told).chain(logs).chain(self.envoy_otel_als.iter().map(|it| &it.service.value))
    }
}

impl OtelLogFormat {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let labels = self.labels.iter().flat_map(|labels| &labels.0);
        self.text.iter().chain(labels.map(|(_, format)| format)).for_each(|format| check_format(format, cx));
    }
}

impl FileLogFormat {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let labels = self.labels.iter().flat_map(|labels| &labels.0);
        self.text.iter().chain(labels.map(|(_, format)| format)).for_each(|format| check_format(format, cx));
    }
}

/// Reports a format of which a part is not known.
pub(super) fn check_format(format: &At<Text>, cx: &mut Reader<'_>) {
    if let Err(why) = parse_log_format(format) {
        let help = "take it away, or write one of the commands of Istio's own format";
        cx.say(&rules::UNSUPPORTED_VALUE, format.span, why, help);
    }
}
