//! `defaultConfig`: how proxies run (semantics.md §13). Also the annotation `proxy.istio.io/config`.

use taut_source::Text;

use crate::DurationOrZero;
use crate::message::{keyword, message};
use crate::proxy_config::ProxyImage;
use crate::read::{At, Labels};
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
        config_path: Option<At<Text>> = "configPath";
        /// Its program.
        binary_path: Option<At<Text>> = "binaryPath";
        /// The name of its service.
        service_cluster: Option<At<Text>> = "serviceCluster";
        /// How long connections are drained.
        drain_duration: Option<At<DurationOrZero>> = "drainDuration";
        /// How long they are drained at the end.
        termination_drain_duration: Option<At<DurationOrZero>> = "terminationDrainDuration";
        /// The control plane.
        discovery_address: Option<At<Text>> = "discoveryAddress";
        /// Where statistics go.
        statsd_udp_address: Option<At<Text>> = "statsdUdpAddress";
        /// The port of its administration.
        proxy_admin_port: Option<At<PortOrZero>> = "proxyAdminPort";
        /// How the control plane knows it.
        control_plane_auth_policy: Option<At<Text>> = "controlPlaneAuthPolicy";
        /// Its own bootstrap.
        custom_config_file: Option<At<Text>> = "customConfigFile";
        /// How long the names of statistics are.
        stat_name_length: Option<At<i32>> = "statNameLength";
        /// How many threads it has; 0 is one for each core.
        concurrency: Option<At<i32>> = "concurrency", range(0..);
        /// The template of its bootstrap.
        proxy_bootstrap_template_path: Option<At<Text>> = "proxyBootstrapTemplatePath";
        /// How connections get there.
        interception_mode: Option<At<InterceptionMode>> = "interceptionMode";
        /// How requests are traced.
        tracing: Option<FreeForm> = "tracing";
        /// Who is told of requests.
        envoy_access_log_service: Option<FreeForm> = "envoyAccessLogService";
        /// Who is told of metrics.
        envoy_metrics_service: Option<FreeForm> = "envoyMetricsService";
        /// Its environment.
        proxy_metadata: Labels = "proxyMetadata";
        /// Values of Envoy's runtime.
        runtime_values: Labels = "runtimeValues";
        /// The port of its health.
        status_port: Option<At<PortOrZero>> = "statusPort";
        /// Further tags of statistics.
        extra_stat_tags: Vec<At<Text>> = "extraStatTags";
        /// What stands in front of gateways.
        gateway_topology: Option<FreeForm> = "gatewayTopology";
        /// Which statistics are kept.
        proxy_stats_matcher: Option<FreeForm> = "proxyStatsMatcher";
        /// Whether the application waits for it.
        hold_application_until_proxy_starts: Option<At<bool>> = "holdApplicationUntilProxyStarts";
        /// Further roots.
        ca_certificates_pem: Vec<At<Text>> = "caCertificatesPem";
        /// Its image.
        image: Option<ProxyImage> = "image";
        /// Who does its private operations.
        private_key_provider: Option<FreeForm> = "privateKeyProvider";
        /// Which headers it writes.
        proxy_headers: Option<FreeForm> = "proxyHeaders";
        /// Limits of connections.
        connection_settings: Option<FreeForm> = "connectionSettings";
        /// How its readiness is found out.
        readiness_probe: Option<FreeForm> = "readinessProbe";
        /// How its files are found.
        file_flush_interval: Option<At<DurationOrZero>> = "fileFlushInterval";
        /// How much is kept before it is written.
        file_flush_min_size_kb: Option<At<u32>> = "fileFlushMinSizeKb";
    }
}
