//! Which endpoint gets the next request (semantics.md §4.1, §4.7).

use taut_source::{Node, Text};

use super::{LocalityBalancing, ZoneBalancing};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::{Duration, DurationOrZero};

keyword! {
    /// Which endpoint gets the next request.
    pub enum SimpleBalancer {
        /// LEAST_REQUEST.
        Unspecified = "UNSPECIFIED";
        /// Chosen at random.
        Random = "RANDOM";
        /// The address that the client dialled.
        Passthrough = "PASSTHROUGH", refused("the proxy chooses the endpoint: use LEAST_REQUEST, or a ServiceEntry of `resolution: NONE` for addresses that clients choose");
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
        consistent_hash: Option<Box<ConsistentHash>> = "consistentHash";
        /// By what the endpoints report of their load.
        backend_utilization: Option<Box<BackendUtilization>> = "backendUtilization", refused("use `simple: LEAST_REQUEST`");
        /// By locality.
        locality_lb_setting: Option<Box<LocalityBalancing>> = "localityLbSetting";
        /// By zone.
        zone_aware_lb_setting: Option<Box<ZoneBalancing>> = "zoneAwareLbSetting", refused("all endpoints count alike: leave it out");
        /// Slow start.
        warmup: Option<Box<Warmup>> = "warmup";
        /// Slow start, the old way.
        warmup_duration_secs: Option<At<Duration>> = "warmupDurationSecs", deprecated("use `warmup`");
    }
    where at_most_one("simple", "consistentHash", "backendUtilization"), at_most_one("localityLbSetting", "zoneAwareLbSetting"),
        at_most_one("warmup", "warmupDurationSecs");
}

message! {
    /// By a hash of the request: the same request goes to the same endpoint.
    pub struct ConsistentHash {
        /// Of a header.
        http_header_name: Option<At<Text>> = "httpHeaderName";
        /// Of a cookie.
        http_cookie: Option<HashCookie> = "httpCookie";
        /// Of the client's address.
        use_source_ip: Option<At<bool>> = "useSourceIp";
        /// Of a query parameter.
        http_query_parameter_name: Option<At<Text>> = "httpQueryParameterName";
        /// On a ring.
        ring_hash: Option<RingHash> = "ringHash";
        /// In a table.
        maglev: Option<Maglev> = "maglev";
        /// The size of the ring, the old way.
        minimum_ring_size: Option<At<u64>> = "minimumRingSize", deprecated("use `ringHash.minimumRingSize`");
    }
    where at_most_one("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"),
        at_most_one("ringHash", "maglev", "minimumRingSize");
}

message! {
    /// A cookie that says where a client belongs.
    pub struct HashCookie {
        /// Its name.
        name: At<Text> = "name", chars(1..);
        /// Its path.
        path: Option<At<Text>> = "path";
        /// How long it lives. If it is there, the proxy makes the cookie; 0s makes one for the session.
        ttl: Option<At<DurationOrZero>> = "ttl";
        /// Further attributes of a cookie that the proxy makes.
        attributes: List<CookieAttribute> = "attributes", unique("name");
    }
}

message! {
    /// An attribute of a cookie.
    pub struct CookieAttribute {
        /// Its name.
        name: At<Text> = "name";
        /// Its value.
        value: Option<At<Text>> = "value";
    }
}

message! {
    /// A hash ring.
    pub struct RingHash {
        /// Its size; 1024 if missing.
        minimum_ring_size: Option<At<u64>> = "minimumRingSize";
    }
}

message! {
    /// A Maglev table.
    pub struct Maglev {
        /// Its size: a prime below 5000011.
        table_size: Option<At<u64>> = "tableSize";
    }
    where check(Maglev::check);
}

message! {
    /// By what the endpoints report of their load.
    pub struct BackendUtilization {
        /// How much errors weigh, in percent.
        error_utilization_penalty_percent: Option<At<u32>> = "errorUtilizationPenaltyPercent";
        /// The metrics that count.
        metric_names_for_computing_utilization: List<At<Text>> = "metricNamesForComputingUtilization";
        /// How long a report counts.
        weight_expiration_period: Option<At<DurationOrZero>> = "weightExpirationPeriod";
        /// How long a new endpoint is only watched.
        weight_stabilization_period: Option<At<DurationOrZero>> = "weightStabilizationPeriod";
        /// How often weights change.
        weight_update_period: Option<At<DurationOrZero>> = "weightUpdatePeriod";
    }
}

message! {
    /// A new endpoint takes its share little by little.
    pub struct Warmup {
        /// How long that takes.
        duration: At<Duration> = "duration";
        /// Where it starts; 10 if missing.
        minimum_percent: Option<At<f64>> = "minimumPercent", range(0..=100);
        /// How the share grows; 1 is evenly.
        aggression: Option<At<f64>> = "aggression", range(0..);
    }
    where check(Warmup::check);
}

/// Envoy's largest table, and the first prime that is too large (semantics.md §4.1).
const TABLE_MAX: u64 = 5_000_011;

impl Maglev {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let (size, span) = self.table_size.map_or((0, self.span), |size| (size.value, size.span));
        let prime = 1 < size && (2..).take_while(|factor| factor * factor <= size).all(|factor| size % factor != 0);
        if TABLE_MAX <= size || !prime {
            cx.say(
                &rules::OUT_OF_RANGE,
                span,
                "the size of a Maglev table is a prime below 5000011",
                "write `tableSize: 65537`",
            );
        }
    }
}

impl Warmup {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(aggression) = self.aggression.filter(|aggression| aggression.value == 0.0) {
            cx.say(
                &rules::OUT_OF_RANGE,
                aggression.span,
                "`aggression` is 0, which never ends",
                "write a number above 0",
            );
        }
    }
}
