//! Extension providers: who is told of requests, and who is asked about them (semantics.md §11.6, §12).

use taut_source::Text;

use crate::DurationOrZero;
use crate::grammar::{HOST_AND_PORT, PROVIDER_SERVICE};
use crate::message::message;
use crate::read::{At, Labels};
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
        zipkin: Option<ServiceProvider> = "zipkin", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        lightstep: Option<ServiceProvider> = "lightstep", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        datadog: Option<ServiceProvider> = "datadog", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets everything.
        stackdriver: Option<FreeForm> = "stackdriver", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        opencensus: Option<ServiceProvider> = "opencensus", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        skywalking: Option<ServiceProvider> = "skywalking", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets traces.
        opentelemetry: Option<ServiceProvider> = "opentelemetry", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Fetches metrics.
        prometheus: Option<FreeForm> = "prometheus", inert("every proxy serves its metrics to whoever fetches them");
        /// A file of the proxy.
        envoy_file_access_log: Option<FreeForm> = "envoyFileAccessLog", inert("`accessLogFile` says where the access log goes");
        /// Gets a log of requests.
        envoy_http_als: Option<ServiceProvider> = "envoyHttpAls", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets a log of connections.
        envoy_tcp_als: Option<ServiceProvider> = "envoyTcpAls", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
        /// Gets a log.
        envoy_otel_als: Option<ServiceProvider> = "envoyOtelAls", refused("nobody is told of requests: leave it out, and fetch `/metrics` from the proxies");
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
        include_headers_in_check: Vec<At<Text>> = "includeHeadersInCheck", deprecated("use `includeRequestHeadersInCheck`");
        /// The headers that it sees.
        include_request_headers_in_check: Vec<At<Text>> = "includeRequestHeadersInCheck";
        /// Further headers for it.
        include_additional_headers_in_check: Labels = "includeAdditionalHeadersInCheck";
        /// How much of the body it sees.
        include_request_body_in_check: Option<AuthzBody> = "includeRequestBodyInCheck", refused("bodies are not shown: let the service ask for what it needs in headers");
        /// Its headers that the service sees.
        headers_to_upstream_on_allow: Vec<At<Text>> = "headersToUpstreamOnAllow";
        /// Its headers that the client sees when refused.
        headers_to_downstream_on_deny: Vec<At<Text>> = "headersToDownstreamOnDeny";
        /// Its headers that the client sees else.
        headers_to_downstream_on_allow: Vec<At<Text>> = "headersToDownstreamOnAllow";
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
