//! MeshConfig and MeshNetworks (semantics.md §15): what holds for the whole mesh.
//!
//! Owns: the fields of both, and their way in: a file of their own, or the ConfigMap `istio` of the root namespace.
//! They are no objects of the API server: Istio reads them past fields that it does not know, so those are warnings.

mod networks;
mod providers;
mod proxy;

use taut_source::{FileId, Node, Problem, Subject, Text, TypeMeta};

use crate::grammar::{LABEL, TRUST_DOMAIN};
use crate::message::{keyword, message};
use crate::read::{Authority, List, Read, Reader};
use crate::rules;
use crate::scalar::{FreeForm, Port};
use crate::selector::LabelSelector;
use crate::{
    At, ClientTls, ConnectionPool, Duration, DurationOrZero, H2Upgrade, HttpRetry, LocalityBalancing, OutlierDetection,
    TcpKeepalive, ZoneBalancing,
};

use providers::check_format;

pub use networks::*;
pub use providers::*;
pub use proxy::*;

/// Reads a document that is MeshConfig as a whole.
pub fn read_mesh_config(node: Node<'_>, file: FileId, problems: &mut Vec<Problem>) -> Option<MeshConfig> {
    MeshConfig::read(node, &mut reader("MeshConfig", file, problems))
}

/// Reads a document that is MeshNetworks as a whole.
pub fn read_mesh_networks(node: Node<'_>, file: FileId, problems: &mut Vec<Problem>) -> Option<MeshNetworks> {
    MeshNetworks::read(node, &mut reader("MeshNetworks", file, problems))
}

fn reader<'p>(kind: &str, file: FileId, problems: &'p mut Vec<Problem>) -> Reader<'p> {
    let of = TypeMeta { api_version: Text::default(), kind: kind.into() };
    let subject = Subject::new(of, None, Text::default());
    Reader { file, subject: Some(subject), problems, authority: Authority::Istio, refused: false, lenient: true }
}

message! {
    /// What holds for the whole mesh.
    pub struct MeshConfig {
        /// The first part of every identity.
        trust_domain: Option<At<Text>> = "trustDomain", if_set(TRUST_DOMAIN);
        /// Other names of it.
        trust_domain_aliases: List<At<Text>> = "trustDomainAliases", is(TRUST_DOMAIN);
        /// The namespace whose policies are mesh-wide.
        root_namespace: Option<At<Text>> = "rootNamespace", if_set(LABEL);
        /// The port that outbound connections are redirected to.
        proxy_listen_port: Option<At<Port>> = "proxyListenPort", refused("set the proxy's ports on its command line");
        /// The port that inbound connections are redirected to.
        proxy_inbound_listen_port: Option<At<Port>> = "proxyInboundListenPort", refused("set the proxy's ports on its command line");
        /// The port of an HTTP proxy; 0 is none.
        proxy_http_port: Option<At<u32>> = "proxyHttpPort", range(0..=65535), refused("set the proxy's ports on its command line");
        /// The most that connecting may take; 10s if missing.
        connect_timeout: Option<At<Duration>> = "connectTimeout", refused("set `connectionPool.tcp.connectTimeout` in a DestinationRule");
        /// How long a tunnel may be idle.
        hbone_idle_timeout: Option<At<DurationOrZero>> = "hboneIdleTimeout", inert("there are no tunnels without ambient mode");
        /// How long the first bytes may take; 0s waits for ever.
        protocol_detection_timeout: Option<At<DurationOrZero>> = "protocolDetectionTimeout";
        /// Probes of the operating system on idle connections.
        tcp_keepalive: Option<TcpKeepalive> = "tcpKeepalive", refused("idle connections are closed after `idleTimeout`");
        /// The class of Ingresses that Istio serves.
        ingress_class: Option<At<Text>> = "ingressClass";
        /// The service of its ingress.
        ingress_service: Option<At<Text>> = "ingressService";
        /// Which Ingresses are served.
        ingress_controller_mode: Option<At<IngressControllerMode>> = "ingressControllerMode";
        /// The label of its ingress.
        ingress_selector: Option<At<Text>> = "ingressSelector";
        /// Whether requests are traced.
        enable_tracing: Option<At<bool>> = "enableTracing";
        /// Where requests are logged.
        access_log_file: Option<At<Text>> = "accessLogFile";
        /// How they are written.
        access_log_format: Option<At<Text>> = "accessLogFormat";
        /// As text or as JSON.
        access_log_encoding: Option<At<AccessLogEncoding>> = "accessLogEncoding";
        /// Whether a service is told of every request.
        enable_envoy_access_log_service: Option<At<bool>> = "enableEnvoyAccessLogService", refused("collect the proxies' logs");
        /// Whether connections without a listener go unlogged.
        disable_envoy_listener_log: Option<At<bool>> = "disableEnvoyListenerLog", inert("it only leaves out log lines of Envoy");
        /// How proxies run.
        default_config: Option<DefaultProxyConfig> = "defaultConfig";
        /// What happens to traffic for unknown hosts.
        outbound_traffic_policy: Option<MeshOutboundPolicy> = "outboundTrafficPolicy";
        /// Where inbound connections go.
        inbound_traffic_policy: Option<MeshInboundPolicy> = "inboundTrafficPolicy", refused("the proxy dials the address on its command line");
        /// Whether proxies use mTLS by themselves.
        enable_auto_mtls: Option<At<bool>> = "enableAutoMtls";
        /// Other roots.
        ca_certificates: List<CertificateAuthority> = "caCertificates", refused("import roots with the certificate authority");
        /// Who sees services without `exportTo`.
        default_service_export_to: List<At<Text>> = "defaultServiceExportTo";
        /// Who sees virtual services without it.
        default_virtual_service_export_to: List<At<Text>> = "defaultVirtualServiceExportTo";
        /// Who sees destination rules without it.
        default_destination_rule_export_to: List<At<Text>> = "defaultDestinationRuleExportTo";
        /// Balancing by locality.
        locality_lb_setting: Option<LocalityBalancing> = "localityLbSetting";
        /// Balancing by zone.
        zone_aware_lb_setting: Option<ZoneBalancing> = "zoneAwareLbSetting", refused("all endpoints count alike: leave it out");
        /// How often names are looked up again.
        dns_refresh_rate: Option<At<Duration>> = "dnsRefreshRate", refused("names are looked up as their records say");
        /// Whether HTTP/1.1 becomes HTTP/2.
        h2_upgrade_policy: Option<At<H2Upgrade>> = "h2UpgradePolicy", refused("write `h2UpgradePolicy` in DestinationRules");
        /// How statistics of inbound clusters are named.
        inbound_cluster_stat_name: Option<At<Text>> = "inboundClusterStatName", inert("it only names statistics of Envoy");
        /// How statistics of outbound clusters are named.
        outbound_cluster_stat_name: Option<At<Text>> = "outboundClusterStatName", inert("it only names statistics of Envoy");
        /// What is different of some services.
        service_settings: List<ServiceSettings> = "serviceSettings", refused("there is one cluster: leave it out");
        /// Which services other clusters see.
        service_scope_configs: List<FreeForm> = "serviceScopeConfigs", inert("it is for ambient mode over several clusters");
        /// Who sees ServiceEntries in ambient mode.
        service_entry_visibility: Option<FreeForm> = "serviceEntryVisibility", inert("it is for ambient mode");
        /// Whether the agent adds the application's metrics to the proxy's.
        enable_prometheus_merge: Option<At<bool>> = "enablePrometheusMerge", inert("the proxy serves its own metrics alone");
        /// Whether the proxies look peers up.
        verify_certificate_at_client: Option<At<bool>> = "verifyCertificateAtClient", inert("certificates are always verified");
        /// Who is told and asked.
        extension_providers: List<ExtensionProvider> = "extensionProviders";
        /// Which of them, where nothing is said.
        default_providers: Option<DefaultProviders> = "defaultProviders";
        /// Which namespaces count; all if empty.
        discovery_selectors: List<LabelSelector> = "discoverySelectors", refused("keep other namespaces out of the folder that Taut reads");
        /// How paths are normalized.
        path_normalization: Option<PathNormalization> = "pathNormalization";
        /// When and how often to try again.
        default_http_retry_policy: Option<HttpRetry> = "defaultHttpRetryPolicy";
        /// The same at the server.
        default_inbound_http_retry_policy: Option<HttpRetry> = "defaultInboundHttpRetryPolicy", refused("write `retries` in VirtualServices");
        /// TLS within the mesh.
        mesh_mtls: Option<MeshTls> = "meshMTLS", refused("TLS 1.2 and 1.3 are spoken");
        /// All other TLS.
        tls_defaults: Option<MeshTls> = "tlsDefaults", refused("TLS 1.2 and 1.3 are spoken");
        /// The baseline of all DestinationRules.
        default_traffic_policy: Option<DefaultTrafficPolicy> = "defaultTrafficPolicy", refused("write a DestinationRule");
        /// The certificate authority.
        ca: Option<FreeForm> = "ca", refused("the certificate authority is Taut's own");
        /// Certificates for the control plane.
        certificates: List<FreeForm> = "certificates", refused("the certificate authority is Taut's own");
        /// Where configuration comes from.
        config_sources: List<ConfigSource> = "configSources", refused("git is where configuration comes from");
        /// A standard that TLS keeps to.
        compliance_policy: Option<At<Text>> = "compliancePolicy", refused("TLS 1.2 and 1.3 are spoken");
    }
    where check(MeshConfig::check);
}

keyword! {
    /// Which Ingresses are served.
    pub enum IngressControllerMode {
        /// DEFAULT.
        Unspecified = "UNSPECIFIED";
        /// None.
        Off = "OFF";
        /// Those without a class, too.
        Default = "DEFAULT";
        /// Those of the class alone.
        Strict = "STRICT";
    }
}

keyword! {
    /// How a line of the log is written.
    pub enum AccessLogEncoding {
        /// As text.
        Text = "TEXT";
        /// As JSON.
        Json = "JSON";
    }
}

keyword! {
    /// What happens to traffic for unknown hosts.
    pub enum MeshOutboundMode {
        /// It is stopped.
        RegistryOnly = "REGISTRY_ONLY";
        /// It passes.
        AllowAny = "ALLOW_ANY";
        /// Its host is looked up.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS", refused("use `mode: ALLOW_ANY`");
    }
}

message! {
    /// What happens to traffic for unknown hosts.
    pub struct MeshOutboundPolicy {
        /// What happens.
        mode: Option<At<MeshOutboundMode>> = "mode";
    }
}

keyword! {
    /// Where inbound connections go.
    pub enum MeshInboundMode {
        /// To the address of the pod.
        Passthrough = "PASSTHROUGH";
        /// To the loopback address.
        Localhost = "LOCALHOST";
    }
}

message! {
    /// Where inbound connections go.
    pub struct MeshInboundPolicy {
        /// Where.
        mode: Option<At<MeshInboundMode>> = "mode";
    }
}

message! {
    /// Another root.
    pub struct CertificateAuthority {
        /// As a certificate.
        pem: Option<At<Text>> = "pem";
        /// As the address of a bundle.
        spiffe_bundle_url: Option<At<Text>> = "spiffeBundleUrl";
        /// For which signers.
        cert_signers: List<At<Text>> = "certSigners";
        /// For which trust domains.
        trust_domains: List<At<Text>> = "trustDomains";
    }
    where at_most_one("pem", "spiffeBundleUrl");
}

message! {
    /// What is different of some services.
    pub struct ServiceSettings {
        /// What.
        settings: Option<ClusterSettings> = "settings";
        /// Of which.
        hosts: List<At<Text>> = "hosts";
    }
}

message! {
    /// What is different of a service.
    pub struct ClusterSettings {
        /// Only endpoints of the client's own cluster count.
        cluster_local: Option<At<bool>> = "clusterLocal";
    }
}

message! {
    /// The providers where nothing is said.
    pub struct DefaultProviders {
        /// Of traces.
        tracing: List<At<Text>> = "tracing";
        /// Of metrics.
        metrics: List<At<Text>> = "metrics", inert("every proxy serves its metrics to whoever fetches them");
        /// Of access logs.
        access_logging: List<At<Text>> = "accessLogging";
    }
}

keyword! {
    /// How paths are normalized.
    pub enum Normalization {
        /// BASE.
        Default = "DEFAULT";
        /// Not at all.
        None = "NONE";
        /// Dots and backslashes.
        Base = "BASE";
        /// And double slashes.
        MergeSlashes = "MERGE_SLASHES";
        /// And slashes in escapes.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES";
    }
}

message! {
    /// How paths are normalized.
    pub struct PathNormalization {
        /// How; BASE if missing.
        normalization: Option<At<Normalization>> = "normalization";
    }
}

keyword! {
    /// A version of TLS.
    pub enum MeshTlsVersion {
        /// 1.2.
        Auto = "TLS_AUTO";
        /// 1.2.
        V1_2 = "TLSV1_2";
        /// 1.3.
        V1_3 = "TLSV1_3";
    }
}

message! {
    /// What TLS is spoken.
    pub struct MeshTls {
        /// The oldest version.
        min_protocol_version: Option<At<MeshTlsVersion>> = "minProtocolVersion";
        /// The curves of the key exchange.
        ecdh_curves: List<At<Text>> = "ecdhCurves";
        /// The ciphers of 1.2.
        cipher_suites: List<At<Text>> = "cipherSuites";
    }
}

message! {
    /// The baseline of all DestinationRules.
    pub struct DefaultTrafficPolicy {
        /// Limits.
        connection_pool: Option<ConnectionPool> = "connectionPool";
        /// When to leave an endpoint out.
        outlier_detection: Option<OutlierDetection> = "outlierDetection";
    }
}

message! {
    /// Where configuration comes from.
    pub struct ConfigSource {
        /// Its address.
        address: Option<At<Text>> = "address";
        /// TLS towards it.
        tls_settings: Option<ClientTls> = "tlsSettings";
        /// What of it.
        subscribed_resources: List<At<Text>> = "subscribedResources";
    }
}

/// The provider of access logs that every mesh has (semantics.md §12.2).
pub const ENVOY_LOG: &str = "envoy";

/// The most that connecting may take (semantics.md §15).
const CONNECT_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

impl MeshConfig {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let traces = self.default_providers.iter().flat_map(|defaults| &defaults.tracing).count() != 0;
        for name in self.default_providers.iter().flat_map(|defaults| &defaults.tracing) {
            let known = |it: &&ExtensionProvider| it.takes_traces() && it.name.eq_ignore_ascii_case(name);
            if self.extension_providers.iter().find(known).is_none() {
                let message = format!("`{}` is no provider that takes traces", name.value);
                let help = "declare it in `extensionProviders`, as `zipkin` or `opentelemetry`";
                cx.say(&rules::UNSUPPORTED_VALUE, name.span, message, help);
            }
        }
        for name in self.default_providers.iter().flat_map(|defaults| &defaults.access_logging) {
            let known = |it: &ExtensionProvider| it.takes_logs() && it.name.value == name.value;
            if name.value != ENVOY_LOG && !self.extension_providers.iter().any(known) {
                let message = format!("`{}` is no provider that takes access logs", name.value);
                let help =
                    "declare it in `extensionProviders`, as `envoyFileAccessLog` or `envoyOtelAls`, or write `envoy`";
                cx.say(&rules::UNSUPPORTED_VALUE, name.span, message, help);
            }
        }
        self.check_log_format(cx);
        let has_tracer = self.extension_providers.iter().any(ExtensionProvider::takes_traces);
        if let Some(on) = self.enable_tracing.filter(|on| on.value && !traces && !has_tracer) {
            let message = "Taut does not know whom to send traces to without a provider";
            let help = "declare a `zipkin` or `opentelemetry` provider, and name it in `defaultProviders.tracing`";
            cx.say(&rules::UNSUPPORTED_VALUE, on.span, message, help);
        }
        if let Some(timeout) = self.connect_timeout.filter(|timeout| CONNECT_MAX < timeout.0) {
            cx.say(&rules::BAD_DURATION, timeout.span, "connecting may take one hour at most", "write a shorter time");
        }
        if let Some(curve) = self.mesh_mtls.as_ref().and_then(|tls| tls.ecdh_curves.first()) {
            let message = "the curves of the mesh's own mTLS cannot be chosen";
            cx.say(&rules::BAD_VALUE, curve.span, message, "take `ecdhCurves` away, or write it under `tlsDefaults`");
        }
    }
}

impl MeshConfig {
    /// Whether access logs are written as JSON.
    #[must_use]
    pub fn logs_json(&self) -> bool {
        self.access_log_encoding.is_some_and(|encoding| encoding.value == AccessLogEncoding::Json)
    }

    /// The keys and formats that `accessLogFormat` has for JSON.
    ///
    /// # Errors
    /// If it is no map of texts in JSON.
    pub fn json_log_format(&self) -> Result<Vec<(String, String)>, String> {
        let text = self.access_log_format.as_ref().map_or("", |format| format.value.as_str());
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let text = |(key, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(format) => Ok((key, format)),
            _ => Err(format!("`{key}` is no text")),
        };
        map.into_iter().map(text).collect()
    }

    fn check_log_format(&self, cx: &mut Reader<'_>) {
        let Some(format) = self.access_log_format.as_ref().filter(|format| !format.is_empty()) else { return };
        if !self.logs_json() {
            return check_format(format, cx);
        }
        let parsed = self.json_log_format().and_then(|all| {
            all.iter().try_for_each(|(_, format)| crate::log_format::parse_log_format(format).map(drop))
        });
        if let Err(why) = parsed {
            let message = format!("Taut cannot write this in JSON: {why}");
            let help = "write a map of texts, each with commands of Istio's own format";
            cx.say(&rules::UNSUPPORTED_VALUE, format.span, message, help);
        }
    }
}
