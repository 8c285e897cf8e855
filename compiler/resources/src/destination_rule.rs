//! DestinationRule (semantics.md §4): how clients talk to a service, and its subsets.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::read::{At, Labels, Reader};
use crate::rules;
use crate::scalar::{Duration, DurationOrZero, PortRef, Unread};

message! {
    /// How clients talk to the service of a host.
    pub struct DestinationRule {
        /// The service. A short name is one of the object's own namespace.
        host: At<Text> = "host";
        /// For all of its ports and subsets.
        traffic_policy: Option<TrafficPolicy> = "trafficPolicy";
        /// Parts of the service, by labels.
        subsets: Vec<Subset> = "subsets";
        /// The namespaces whose proxies may use it.
        export_to: Vec<At<Text>> = "exportTo";
        /// The clients it is for.
        workload_selector: Option<At<Unread>> = "workloadSelector", refused("put the rule in the clients' own namespace");
    }
}

message! {
    /// A part of a service.
    pub struct Subset {
        /// Its name.
        name: At<Text> = "name";
        /// Its endpoints have all of these labels.
        labels: Labels = "labels";
        /// Replaces parts of the rule's policy.
        traffic_policy: Option<TrafficPolicy> = "trafficPolicy";
    }
}

message! {
    /// How to talk to endpoints.
    pub struct TrafficPolicy {
        /// Which endpoint gets the next request.
        load_balancer: Option<LoadBalancer> = "loadBalancer";
        /// Limits.
        connection_pool: Option<ConnectionPool> = "connectionPool";
        /// When to leave an endpoint out.
        outlier_detection: Option<OutlierDetection> = "outlierDetection";
        /// TLS towards the endpoints; automatic mTLS if missing.
        tls: Option<ClientTls> = "tls";
        /// For one port, in place of everything above.
        port_level_settings: Vec<PortPolicy> = "portLevelSettings";
        /// Goes through a proxy.
        tunnel: Option<At<Unread>> = "tunnel", refused("let the proxy be the destination of a route");
        /// Writes a PROXY header.
        proxy_protocol: Option<At<Unread>> = "proxyProtocol", refused("the client's address is in `x-forwarded-for`");
        /// Limits retries in proportion to requests.
        retry_budget: Option<At<Unread>> = "retryBudget", refused("use `connectionPool.http.maxRetries`");
    }
}

message! {
    /// How to talk to one port.
    pub struct PortPolicy {
        /// The service port.
        port: PortRef = "port";
        /// Which endpoint gets the next request.
        load_balancer: Option<LoadBalancer> = "loadBalancer";
        /// Limits.
        connection_pool: Option<ConnectionPool> = "connectionPool";
        /// When to leave an endpoint out.
        outlier_detection: Option<OutlierDetection> = "outlierDetection";
        /// TLS towards the endpoints.
        tls: Option<ClientTls> = "tls";
    }
}

keyword! {
    /// Which endpoint gets the next request.
    pub enum SimpleBalancer {
        /// LEAST_REQUEST.
        Unspecified = "UNSPECIFIED";
        /// Chosen at random.
        Random = "RANDOM";
        /// The address that the client dialled.
        Passthrough = "PASSTHROUGH", refused("without capture the client's address is not known: use LEAST_REQUEST");
        /// One after the other.
        RoundRobin = "ROUND_ROBIN";
        /// The one of two with fewer requests.
        LeastRequest = "LEAST_REQUEST";
        /// The old name of LEAST_REQUEST.
        LeastConn = "LEAST_CONN";
    }
}

message! {
    /// Which endpoint gets the next request.
    pub struct LoadBalancer {
        /// By a simple rule; LEAST_REQUEST if missing.
        simple: Option<At<SimpleBalancer>> = "simple";
        /// By a hash of the request.
        consistent_hash: Option<At<Unread>> = "consistentHash", refused("use `simple: LEAST_REQUEST`");
        /// By locality.
        locality_lb_setting: Option<At<Unread>> = "localityLbSetting", refused("all endpoints count alike: leave it out");
        /// By zone.
        zone_aware_lb_setting: Option<At<Unread>> = "zoneAwareLbSetting", refused("all endpoints count alike: leave it out");
        /// Slow start.
        warmup: Option<At<Unread>> = "warmup", refused("new endpoints take their full share at once: leave it out");
        /// Slow start, the old way.
        warmup_duration_secs: Option<At<Unread>> = "warmupDurationSecs", refused("new endpoints take their full share at once: leave it out");
    }
}

message! {
    /// Limits of connections and requests, per proxy and cluster.
    pub struct ConnectionPool {
        /// Of connections.
        tcp: Option<TcpSettings> = "tcp";
        /// Of requests.
        http: Option<HttpSettings> = "http";
    }
}

message! {
    /// Limits of connections.
    pub struct TcpSettings {
        /// How many there may be; 0 means no limit.
        max_connections: Option<At<u32>> = "maxConnections";
        /// The most that connecting may take; 10s if missing.
        connect_timeout: Option<At<Duration>> = "connectTimeout";
        /// Keepalive probes of the operating system.
        tcp_keepalive: Option<At<Unread>> = "tcpKeepalive", refused("idle connections are closed after `idleTimeout`");
        /// The longest life of a connection.
        max_connection_duration: Option<At<Unread>> = "maxConnectionDuration", refused("use `http.maxRequestsPerConnection`");
        /// How long a connection may be idle; 1h if missing.
        idle_timeout: Option<At<DurationOrZero>> = "idleTimeout";
    }
}

keyword! {
    /// Whether HTTP/1.1 becomes HTTP/2 towards the endpoints.
    pub enum H2Upgrade {
        /// As the mesh says: it does not.
        Default = "DEFAULT";
        /// It does not.
        DoNotUpgrade = "DO_NOT_UPGRADE";
        /// It does.
        Upgrade = "UPGRADE";
    }
}

message! {
    /// Limits of requests.
    pub struct HttpSettings {
        /// How many may wait for a connection; 0 means no limit.
        http1_max_pending_requests: Option<At<u32>> = "http1MaxPendingRequests";
        /// How many may be under way; 0 means no limit.
        http2_max_requests: Option<At<u32>> = "http2MaxRequests";
        /// How many one connection carries; 0 means no limit.
        max_requests_per_connection: Option<At<u32>> = "maxRequestsPerConnection";
        /// How many retries may be under way; 0 means no limit.
        max_retries: Option<At<u32>> = "maxRetries";
        /// How long a connection may be idle; 1h if missing.
        idle_timeout: Option<At<Duration>> = "idleTimeout";
        /// Whether HTTP/1.1 becomes HTTP/2.
        h2_upgrade_policy: Option<At<H2Upgrade>> = "h2UpgradePolicy";
        /// Whether the client's version of HTTP is kept.
        use_client_protocol: Option<At<Unread>> = "useClientProtocol", refused("name the port `http2-...` or use `h2UpgradePolicy`");
        /// Streams of one HTTP/2 connection.
        max_concurrent_streams: Option<At<Unread>> = "maxConcurrentStreams", refused("use `http2MaxRequests`");
        /// HTTP/2 pings.
        http2_keep_alive: Option<At<Unread>> = "http2KeepAlive", refused("idle connections are closed after `idleTimeout`");
    }
}

message! {
    /// When to leave an endpoint out, and for how long.
    pub struct OutlierDetection {
        /// Errors in a row; 5 if missing, 0 switches it off.
        consecutive_5xx_errors: Option<At<u32>> = "consecutive5xxErrors";
        /// 502, 503 and 504 in a row; off if missing or 0.
        consecutive_gateway_errors: Option<At<u32>> = "consecutiveGatewayErrors";
        /// The old name.
        consecutive_errors: Option<At<i32>> = "consecutiveErrors", refused("use `consecutive5xxErrors`: this one has no effect in Istio either");
        /// Counts failures to connect apart from errors of the service.
        split_external_local_origin_errors: Option<At<bool>> = "splitExternalLocalOriginErrors";
        /// Failures to connect in a row; 5 if missing.
        consecutive_local_origin_failures: Option<At<u32>> = "consecutiveLocalOriginFailures";
        /// How often the ejected are looked at; 10s if missing.
        interval: Option<At<Duration>> = "interval";
        /// How long one is out the first time; 30s if missing.
        base_ejection_time: Option<At<Duration>> = "baseEjectionTime";
        /// How many percent may be out at once; 10 if missing or 0, and always one.
        max_ejection_percent: Option<At<i32>> = "maxEjectionPercent";
        /// Below this share of healthy endpoints, all are used; 0 if missing.
        min_health_percent: Option<At<i32>> = "minHealthPercent";
        /// The statuses that count as errors, in place of 5xx.
        outlier_detection_http_error_codes: Vec<At<u32>> = "outlierDetectionHttpErrorCodes", refused("all of 5xx counts: leave it out");
    }
}

keyword! {
    /// How connections to endpoints are secured.
    pub enum ClientTlsMode {
        /// They are not.
        Disable = "DISABLE";
        /// TLS with the server's certificate checked.
        Simple = "SIMPLE", refused("TLS towards services outside the mesh is not carried yet: use DISABLE or ISTIO_MUTUAL");
        /// TLS with a certificate of one's own.
        Mutual = "MUTUAL", refused("TLS towards services outside the mesh is not carried yet: use DISABLE or ISTIO_MUTUAL");
        /// The mesh's own mTLS.
        IstioMutual = "ISTIO_MUTUAL";
    }
}

message! {
    /// How connections to endpoints are secured. An empty one means DISABLE.
    pub struct ClientTls {
        /// The way; DISABLE if missing.
        mode: Option<At<ClientTlsMode>> = "mode";
        /// A file with one's own certificate.
        client_certificate: Option<At<Unread>> = "clientCertificate", refused("use `mode: ISTIO_MUTUAL`");
        /// A file with its key.
        private_key: Option<At<Unread>> = "privateKey", refused("use `mode: ISTIO_MUTUAL`");
        /// A file with the roots.
        ca_certificates: Option<At<Unread>> = "caCertificates", refused("use `mode: ISTIO_MUTUAL`");
        /// A secret with all three.
        credential_name: Option<At<Unread>> = "credentialName", refused("use `mode: ISTIO_MUTUAL`");
        /// The names that the server's certificate may have.
        subject_alt_names: Vec<At<Text>> = "subjectAltNames", refused("the mesh checks the service's own identities");
        /// The server name.
        sni: Option<At<Text>> = "sni", refused("the mesh sets the server name itself");
        /// Whether the server's certificate goes unchecked.
        insecure_skip_verify: Option<At<bool>> = "insecureSkipVerify", refused("certificates are always checked");
        /// A file with revoked certificates.
        ca_crl: Option<At<Unread>> = "caCrl", refused("certificates of the mesh live for hours");
    }
}

impl CheckedRead for DestinationRule {
    fn check(&self, cx: &mut Reader<'_>) {
        for (index, subset) in self.subsets.iter().enumerate() {
            if self.subsets[..index].iter().any(|other| other.name.value == subset.name.value) {
                let message = format!("the subset `{}` stands twice", subset.name.value);
                cx.report(&rules::EXCLUSIVE, subset.name.span, message, "give each subset a name of its own".into());
            }
        }
        let policies =
            self.traffic_policy.iter().chain(self.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref()));
        for policy in policies {
            let ports = policy.port_level_settings.iter().filter_map(|port| port.outlier_detection.as_ref());
            for outlier in policy.outlier_detection.iter().chain(ports) {
                check_outlier(outlier, cx);
            }
        }
    }
}

fn check_outlier(outlier: &OutlierDetection, cx: &mut Reader<'_>) {
    for percent in [&outlier.max_ejection_percent, &outlier.min_health_percent].into_iter().flatten() {
        if !(0..=100).contains(&percent.value) {
            let message = format!("{} is no percentage", percent.value);
            cx.report(&rules::OUT_OF_RANGE, percent.span, message, "write a number from 0 to 100".into());
        }
    }
    let split = outlier.split_external_local_origin_errors.as_ref().is_some_and(|split| split.value);
    if let Some(local) = &outlier.consecutive_local_origin_failures
        && 0 < local.value
        && !split
    {
        let message = "`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`".into();
        cx.report(&rules::EXCLUSIVE, local.span, message, "add `splitExternalLocalOriginErrors: true`".into());
    }
}
