//! What holds for the whole mesh (semantics.md §15).

use taut_resources::{
    At, ExtensionProvider, HttpRetry, IngressControllerMode, LocalityBalancing, MeshConfig, MeshOutboundMode,
    Normalization, USUAL_JSON, USUAL_TEXT,
};

use crate::Text;
use crate::telemetry::usual_sampling;

/// How lines of an access log are written, in the words of `parse_log_format`.
#[derive(Clone, Debug, PartialEq)]
pub enum LogLines {
    /// As text.
    Text(Text),
    /// As JSON: keys, and the formats of their values.
    Json(Vec<(Text, Text)>),
}

impl LogLines {
    /// As MeshConfig says; in Istio's own format if it does not.
    fn of(config: &MeshConfig) -> LogLines {
        let written = config.access_log_format.as_ref().filter(|format| !format.is_empty());
        match written {
            Some(_) if config.logs_json() => {
                // What cannot be read was reported.
                let all = config.json_log_format().unwrap_or_default();
                LogLines::Json(all.into_iter().map(|(key, format)| (key.into(), format.into())).collect())
            }
            None if config.logs_json() => LogLines::usual_json(),
            Some(format) => LogLines::Text(format.value.clone()),
            None => LogLines::Text(USUAL_TEXT.into()),
        }
    }

    /// Istio's own keys.
    #[must_use]
    pub fn usual_json() -> LogLines {
        LogLines::Json(USUAL_JSON.iter().map(|(key, format)| ((*key).into(), (*format).into())).collect())
    }
}

/// The settings of a mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The first part of every identity.
    pub trust_domain: Text,
    /// Other names of it.
    pub trust_domain_aliases: Vec<Text>,
    /// The namespace whose policies are mesh-wide.
    pub root_namespace: Text,
    /// What follows `.svc.` in the name of a service.
    pub domain_suffix: Text,
    /// Whether traffic for unknown hosts is stopped.
    pub registry_only: bool,
    /// How long the first bytes of a connection are waited for, in milliseconds; 0 means as long as it takes.
    pub detection_timeout_ms: u64,
    /// Whether proxies use mTLS among themselves where nothing is said.
    pub auto_mtls: bool,
    /// How paths are normalized.
    pub path_normalization: Normalization,
    /// When and how often to try again where nothing is said; Istio's own way if missing.
    pub retry: Option<HttpRetry>,
    /// Who sees services without `exportTo`; everybody if empty.
    pub service_export_to: Vec<Text>,
    /// Who sees virtual services without it.
    pub virtual_service_export_to: Vec<Text>,
    /// Who sees destination rules without it.
    pub destination_rule_export_to: Vec<Text>,
    /// Balancing by locality where no rule says; on if missing.
    pub locality: Option<LocalityBalancing>,
    /// Those whom CUSTOM policies may ask, and others.
    pub providers: Vec<ExtensionProvider>,
    /// The names of those who are told of traces where no Telemetry says; the first that there is counts.
    pub default_tracing: Vec<Text>,
    /// How many percent of the requests are traced where no Telemetry says.
    pub sampling: f64,
    /// The names of those who are told of every request where no Telemetry says.
    pub default_logs: Vec<Text>,
    /// The file that requests are logged in where no provider does; empty if they are not.
    pub log_file: Text,
    /// How its lines are written.
    pub log_format: LogLines,
    /// The names of providers that CUSTOM policies may ask.
    pub authorizers: Vec<Text>,
    /// Which Ingresses are the mesh's.
    pub ingress_mode: IngressControllerMode,
    /// The class of Ingresses that are.
    pub ingress_class: Text,
    /// The service of the gateway that serves them.
    pub ingress_service: Text,
    /// The value of the label `istio` of that gateway's workloads; by the service if empty.
    pub ingress_selector: Text,
}

impl Default for Settings {
    /// Istio's defaults.
    fn default() -> Self {
        Settings {
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            domain_suffix: "cluster.local".into(),
            registry_only: false,
            detection_timeout_ms: 0,
            auto_mtls: true,
            path_normalization: Normalization::Base,
            retry: None,
            service_export_to: Vec::new(),
            virtual_service_export_to: Vec::new(),
            destination_rule_export_to: Vec::new(),
            locality: None,
            providers: Vec::new(),
            default_tracing: Vec::new(),
            sampling: usual_sampling(None),
            default_logs: Vec::new(),
            log_file: Text::default(),
            log_format: LogLines::Text(USUAL_TEXT.into()),
            authorizers: Vec::new(),
            ingress_mode: IngressControllerMode::Strict,
            ingress_class: "istio".into(),
            ingress_service: "istio-ingressgateway".into(),
            ingress_selector: Text::default(),
        }
    }
}

impl Settings {
    /// These, with what a MeshConfig says in their place.
    #[must_use]
    pub fn with(mut self, config: &MeshConfig) -> Settings {
        let texts = |list: &[At<Text>]| list.iter().map(|text| text.value.clone()).collect();
        let settings = &mut self;
        if let Some(domain) = config.trust_domain.as_ref().filter(|domain| !domain.is_empty()) {
            settings.trust_domain = domain.value.clone();
        }
        settings.trust_domain_aliases.extend::<Vec<Text>>(texts(&config.trust_domain_aliases));
        settings.trust_domain_aliases.sort();
        settings.trust_domain_aliases.dedup();
        if let Some(namespace) = config.root_namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
            settings.root_namespace = namespace.value.clone();
        }
        if let Some(mode) = config.ingress_controller_mode {
            settings.ingress_mode = mode.value;
        }
        for (field, written) in [
            (&mut settings.ingress_class, &config.ingress_class),
            (&mut settings.ingress_service, &config.ingress_service),
            (&mut settings.ingress_selector, &config.ingress_selector),
        ] {
            if let Some(written) = written {
                field.clone_from(&written.value);
            }
        }
        let outbound = config.outbound_traffic_policy.as_ref();
        // As in a Sidecar, an empty one means the first of its words.
        settings.registry_only = outbound
            .is_some_and(|policy| policy.mode.as_ref().is_none_or(|mode| mode.value == MeshOutboundMode::RegistryOnly));
        settings.detection_timeout_ms = config.protocol_detection_timeout.map_or(0, |it| it.value.0.as_millis());
        settings.auto_mtls = config.enable_auto_mtls.as_ref().is_none_or(|auto| auto.value);
        let normalization = config.path_normalization.as_ref().and_then(|it| it.normalization.as_ref());
        settings.path_normalization = match normalization.map(|it| it.value) {
            None | Some(Normalization::Default) => Normalization::Base,
            Some(other) => other,
        };
        settings.locality.clone_from(&config.locality_lb_setting);
        settings.retry.clone_from(&config.default_http_retry_policy);
        settings.service_export_to = texts(&config.default_service_export_to);
        settings.virtual_service_export_to = texts(&config.default_virtual_service_export_to);
        settings.destination_rule_export_to = texts(&config.default_destination_rule_export_to);
        settings.providers = config.extension_providers.to_vec();
        let defaults = config.default_providers.as_ref();
        settings.default_tracing = defaults.map_or_else(Vec::new, |defaults| texts(&defaults.tracing));
        settings.default_logs = defaults.map_or_else(Vec::new, |defaults| texts(&defaults.access_logging));
        settings.log_file = config.access_log_file.as_ref().map(|file| file.value.clone()).unwrap_or_default();
        settings.log_format = LogLines::of(config);
        let tracing = config.default_config.as_ref().and_then(|proxy| proxy.tracing.as_ref());
        settings.sampling = usual_sampling(tracing.and_then(|it| it.sampling).map(|percent| percent.value));
        let asks = config
            .extension_providers
            .iter()
            .filter(|provider| provider.envoy_ext_authz_http.is_some() || provider.envoy_ext_authz_grpc.is_some());
        settings.authorizers = asks.map(|provider| provider.name.value.clone()).collect();
        self
    }
}
