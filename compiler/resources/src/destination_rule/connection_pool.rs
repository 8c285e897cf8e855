//! Limits of connections and requests, per proxy and cluster (semantics.md §4.1).

use taut_source::Node;

use crate::message::{keyword, message};
use crate::read::{At, Reader};
use crate::rules;
use crate::{Duration, DurationOrZero};

message! {
    /// Limits of connections and requests, per proxy and cluster.
    pub struct ConnectionPool {
        /// Of connections.
        tcp: Option<TcpSettings> = "tcp";
        /// Of requests.
        http: Option<HttpSettings> = "http";
    }
    where at_least_one("tcp", "http");
}

message! {
    /// Limits of connections.
    pub struct TcpSettings {
        /// How many there may be; 0 means no limit.
        max_connections: Option<At<u32>> = "maxConnections", range(0..=2147483647);
        /// The most that connecting may take; 10s if missing.
        connect_timeout: Option<At<Duration>> = "connectTimeout";
        /// Keepalive probes of the operating system.
        tcp_keepalive: Option<Box<TcpKeepalive>> = "tcpKeepalive";
        /// The longest life of a connection.
        max_connection_duration: Option<At<Duration>> = "maxConnectionDuration";
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
        http1_max_pending_requests: Option<At<u32>> = "http1MaxPendingRequests", range(0..=2147483647);
        /// How many may be under way; 0 means no limit.
        http2_max_requests: Option<At<u32>> = "http2MaxRequests", range(0..=2147483647);
        /// How many one connection carries; 0 means no limit.
        max_requests_per_connection: Option<At<u32>> = "maxRequestsPerConnection", range(0..=2147483647);
        /// How many retries may be under way; 0 means no limit.
        max_retries: Option<At<u32>> = "maxRetries", range(0..=2147483647);
        /// How long a connection may be idle; 1h if missing.
        idle_timeout: Option<At<Duration>> = "idleTimeout";
        /// Whether HTTP/1.1 becomes HTTP/2.
        h2_upgrade_policy: Option<At<H2Upgrade>> = "h2UpgradePolicy";
        /// Whether the client's version of HTTP is kept.
        use_client_protocol: Option<At<bool>> = "useClientProtocol";
        /// Streams of one HTTP/2 connection.
        max_concurrent_streams: Option<At<u32>> = "maxConcurrentStreams", range(0..=2147483647);
        /// HTTP/2 pings.
        http2_keep_alive: Option<Box<Http2KeepAlive>> = "http2KeepAlive";
    }
    where check(HttpSettings::check);
}

message! {
    /// Probes of the operating system on idle connections.
    pub struct TcpKeepalive {
        /// How many go unanswered before the connection is dead.
        probes: Option<At<u32>> = "probes";
        /// How long a connection is idle before the first.
        time: Option<At<Duration>> = "time";
        /// How long between two.
        interval: Option<At<Duration>> = "interval";
    }
}

message! {
    /// Pings on HTTP/2 connections.
    pub struct Http2KeepAlive {
        /// How long between two.
        interval: At<Duration> = "interval";
        /// How long an answer may take.
        timeout: At<Duration> = "timeout";
    }
}

impl HttpSettings {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let upgrades = self.h2_upgrade_policy.is_some_and(|policy| policy.value == H2Upgrade::Upgrade);
        if let Some(client) = self.use_client_protocol.filter(|client| client.value && upgrades) {
            let message = "`useClientProtocol` keeps the client's version, and `h2UpgradePolicy: UPGRADE` does not";
            cx.say(&rules::EXCLUSIVE, client.span, message, "keep one of them");
        }
    }
}
