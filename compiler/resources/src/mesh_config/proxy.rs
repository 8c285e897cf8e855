//! `defaultConfig`: how proxies run (semantics.md §13). Also the annotation `proxy.istio.io/config`.

use taut_source::Text;

use crate::DurationOrZero;
use crate::message::{keyword, message};
use crate::proxy_config::ProxyImage;
use crate::read::{At, Labels, List};
use crate::scalar::{FreeForm, PortOrZero};

keyword! {
    /// How connections get to a proxy.
    pub enum InterceptionMode {
        /// The kernel redirects them.
        Redirect = "REDIRECT";
        /// The same, and keeps their address.
        Tproxy = "TPROXY";
        /// The application connects to the proxy.
        None = "NONE";
    }
}

message! {
    /// How proxies run.
    pub struct DefaultProxyConfig {
        /// Where its configuration is.
        config_path: Option<At<Text>> = "configPath", refused("set the proxy's options on its command line");
        /// Its program.
        binary_path: Option<At<Text>> = "binaryPath", refused("set the proxy's options on its command line");
        /// The name of its service.
        service_cluster: Option<At<Text>> = "serviceCluster", refused("set the proxy's options on its command line");
        /// How long connections are drained.
        drain_duration: Option<At<DurationOrZero>> = "drainDuration", refused("set the proxy's options on its command line");
        /// How long they are drained at the end.
        termination_drain_duration: Option<At<DurationOrZero>> = "terminationDrainDuration", refused("set the proxy's options on its command line");
        /// The control plane.
        discovery_address: Option<At<Text>> = "discoveryAddress", refused("set the proxy's options on its command line");
        /// Where statistics go.
        statsd_udp_address: Option<At<Text>> = "statsdUdpAddress", refused("set the proxy's options on its command line");
        /// The port of its administration.
        proxy_admin_port: Option<At<PortOrZero>> = "proxyAdminPort", refused("set the proxy's options on its command line");
        /// How the control plane knows it.
        control_plane_auth_policy: Option<At<Text>> = "controlPlaneAuthPolicy", refused("set the proxy's options on its command line");
        /// Its own bootstrap.
        custom_config_file: Option<At<Text>> = "customConfigFile", refused("set the proxy's options on its command line");
        /// How long the names of statistics are.
        stat_name_length: Option<At<i32>> = "statNameLength", refused("set the proxy's options on its command line");
        /// How many threads it has; 0 is one for each core.
        concurrency: Option<At<i32>> = "concurrency", range(0..), refused("set the proxy's options on its command line");
        /// The template of its bootstrap.
        proxy_bootstrap_template_path: Option<At<Text>> = "proxyBootstrapTemplatePath", refused("set the proxy's options on its command line");
        /// How connections get there.
        interception_mode: Option<At<InterceptionMode>> = "interceptionMode", refused("set the proxy's options on its command line");
        /// How requests are traced.
        tracing: Option<ProxyTracing> = "tracing";
        /// Who is told of requests.
        envoy_access_log_service: Option<FreeForm> = "envoyAccessLogService", refused("set the proxy's options on its command line");
        /// Who is told of metrics.
        envoy_metrics_service: Option<FreeForm> = "envoyMetricsService", refused("set the proxy's options on its command line");
        /// Its environment.
        proxy_metadata: Labels = "proxyMetadata", refused("set the proxy's options on its command line");
        /// Values of Envoy's runtime.
        runtime_values: Labels = "runtimeValues", refused("set the proxy's options on its command line");
        /// The port of its health.
        status_port: Option<At<PortOrZero>> = "statusPort", refused("set the proxy's options on its command line");
        /// Further tags of statistics.
        extra_stat_tags: List<At<Text>> = "extraStatTags", refused("set the proxy's options on its command line");
        /// What stands in front of gateways.
        gateway_topology: Option<FreeForm> = "gatewayTopology", refused("set the proxy's options on its command line");
        /// Which statistics are kept.
        proxy_stats_matcher: Option<FreeForm> = "proxyStatsMatcher", refused("set the proxy's options on its command line");
        /// Whether the application waits for it.
        hold_application_until_proxy_starts: Option<At<bool>> = "holdApplicationUntilProxyStarts", refused("set the proxy's options on its command line");
        /// Further roots.
        ca_certificates_pem: List<At<Text>> = "caCertificatesPem", refused("set the proxy's options on its command line");
        /// Its image.
        image: Option<ProxyImage> = "image", refused("set the proxy's options on its command line");
        /// Who does its private operations.
        private_key_provider: Option<FreeForm> = "privateKeyProvider", refused("set the proxy's options on its command line");
        /// Which headers it writes.
        proxy_headers: Option<FreeForm> = "proxyHeaders", refused("set the proxy's options on its command line");
        /// Limits of connections.
        connection_settings: Option<FreeForm> = "connectionSettings", refused("set the proxy's options on its command line");
        /// How its readiness is found out.
        readiness_probe: Option<FreeForm> = "readinessProbe", refused("set the proxy's options on its command line");
        /// How its files are found.
        file_flush_interval: Option<At<DurationOrZero>> = "fileFlushInterval", refused("set the proxy's options on its command line");
        /// How much is kept before it is written.
        file_flush_min_size_kb: Option<At<u32>> = "fileFlushMinSizeKb", refused("set the proxy's options on its command line");
    }
}

message! {
    /// How requests are traced, where a Telemetry does not say.
    pub struct ProxyTracing {
        /// A collector of Zipkin.
        zipkin: Option<FreeForm> = "zipkin", refused("declare a `zipkin` provider, and name it in `defaultProviders.tracing`");
        /// A collector of Lightstep.
        lightstep: Option<FreeForm> = "lightstep", refused("declare an `opentelemetry` provider, and name it in `defaultProviders.tracing`");
        /// A collector of Datadog.
        datadog: Option<FreeForm> = "datadog", refused("declare an `opentelemetry` provider, and name it in `defaultProviders.tracing`");
        /// A collector of Google's.
        stackdriver: Option<FreeForm> = "stackdriver", refused("declare an `opentelemetry` provider, and name it in `defaultProviders.tracing`");
        /// A collector of OpenCensus.
        open_census_agent: Option<FreeForm> = "openCensusAgent", refused("declare an `opentelemetry` provider, and name it in `defaultProviders.tracing`");
        /// Tags of every span.
        custom_tags: Option<FreeForm> = "customTags", refused("write `customTags` in a Telemetry");
        /// The longest path in a span.
        max_path_tag_length: Option<At<u32>> = "maxPathTagLength", refused("write `maxTagLength` at the provider");
        /// How many percent of the requests; 0 stands for what is usual.
        sampling: Option<At<f64>> = "sampling";
        /// TLS towards the collector.
        tls_settings: Option<FreeForm> = "tlsSettings", refused("write a DestinationRule for the collector");
        /// Whether spans say where in the mesh they are from.
        enable_istio_tags: Option<At<bool>> = "enableIstioTags", refused("write `enableIstioTags` in a Telemetry");
    }
}
