//! Which endpoint gets a request, and what holds for connections (semantics.md §4.1, §4.7).

use taut_model::{PortTraffic, Service, Settings};
use taut_resources::{At, ConnectionPool, ConsistentHash, Duration, LoadBalancer, Spec};
use taut_snapshot::Text;
use taut_snapshot::object::{Distribution, HashCookie, HashKey, HashTable, Hashing, Keepalive, Locality, Warmup, Wire};

/// Istio's size of a hash ring.
const RING_SIZE: u64 = 1_024;

/// The share that a new endpoint begins with, in percent.
const WARMUP_PERCENT: u8 = 10;

/// What of a request is hashed, and into what; none if the rule does not say what.
pub(super) fn hashing(hash: &ConsistentHash) -> Option<Hashing> {
    let key = if let Some(name) = &hash.http_header_name {
        HashKey::Header(name.to_ascii_lowercase().into())
    } else if let Some(cookie) = &hash.http_cookie {
        HashKey::Cookie(HashCookie {
            name: cookie.name.value.clone(),
            path: cookie.path.as_ref().map(|path| path.value.clone()).unwrap_or_default(),
            lives: cookie.ttl.as_ref().map(|ttl| ttl.0.as_millis() / 1_000),
            attributes: cookie
                .attributes
                .iter()
                .map(|it| (it.name.value.clone(), it.value.as_ref().map(|it| it.value.clone()).unwrap_or_default()))
                .collect(),
        })
    } else if hash.use_source_ip.is_some_and(|on| on.value) {
        HashKey::SourceIp
    } else {
        HashKey::Query(hash.http_query_parameter_name.as_ref()?.value.clone())
    };
    let table = match (&hash.maglev, &hash.ring_hash) {
        (Some(maglev), _) => HashTable::Maglev(maglev.table_size?.value),
        (None, ring) => {
            let size = ring.as_ref().and_then(|ring| ring.minimum_ring_size).or(hash.minimum_ring_size);
            HashTable::Ring(size.map_or(RING_SIZE, |size| size.value).max(1))
        }
    };
    Some(Hashing { key, table })
}

/// How new endpoints take their share.
pub(super) fn warmup(balancer: &LoadBalancer) -> Option<Warmup> {
    let evenly = |ms, minimum_percent| Warmup { ms, minimum_percent, aggression: 1_000 };
    match (&balancer.warmup, &balancer.warmup_duration_secs) {
        (Some(warmup), _) => Some(Warmup {
            aggression: warmup.aggression.map_or(1_000, |it| (it.value * 1_000.0).round().clamp(1.0, 1e9) as u32),
            ..evenly(
                warmup.duration.as_millis(),
                warmup.minimum_percent.map_or(WARMUP_PERCENT, |it| it.value.round().clamp(0.0, 100.0) as u8),
            )
        }),
        (None, Some(duration)) => Some(evenly(duration.as_millis(), WARMUP_PERCENT)),
        (None, None) => None,
    }
}

/// Which endpoints are preferred by where they are (semantics.md §4.6): as the rule says, or the service, or the mesh.
pub(super) fn locality(service: &Service<'_>, traffic: &PortTraffic<'_>, settings: &Settings) -> Option<Locality> {
    let of_rule = traffic.load_balancer.and_then(|balancer| balancer.locality_lb_setting.as_deref());
    if of_rule.is_none()
        && let Some(labels) = near(service)
    {
        return Some(Locality { distribute: Vec::new(), failover: Vec::new(), labels });
    }
    let setting = of_rule.or(settings.locality.as_ref());
    let on = setting.and_then(|setting| setting.enabled).is_none_or(|enabled| enabled.value);
    let text = |text: &Option<At<Text>>| text.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    let distribute = setting.iter().flat_map(|setting| &setting.distribute).map(|it| Distribution {
        from: text(&it.from),
        to: it.to.0.iter().map(|(place, share)| (place.value.clone(), share.value)).collect(),
    });
    let locality = Locality {
        distribute: distribute.collect(),
        failover: setting.iter().flat_map(|it| &it.failover).map(|it| (text(&it.from), text(&it.to))).collect(),
        labels: setting.iter().flat_map(|it| &it.failover_priority).map(|label| label.value.clone()).collect(),
    };
    // Levels need somebody who takes failing endpoints out; shares do not.
    let counts = !locality.distribute.is_empty() || traffic.outlier_detection.is_some();
    Some(locality).filter(|_| on && counts)
}

/// What a Service itself says of near endpoints.
fn near(service: &Service<'_>) -> Option<Vec<Text>> {
    const ANNOTATION: &str = "networking.istio.io/traffic-distribution";
    const NEAR: [&str; 5] = [
        "topology.istio.io/network",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
        "kubernetes.io/hostname",
    ];
    let of_spec = match &service.resource.spec {
        Spec::Service(spec) => spec.traffic_distribution.as_ref().map(|it| it.value.word()),
        _ => None,
    };
    let annotated = service.resource.meta.annotations.get(ANNOTATION).map(|it| it.as_str());
    let count = match annotated.or(of_spec)? {
        "PreferClose" | "PreferSameZone" => 3,
        "PreferSameNode" => 5,
        _ => return None,
    };
    Some(NEAR[..count].iter().map(|name| Text::new_static(name)).collect())
}

/// What else is said of connections; none if nothing is.
pub(super) fn wire(pool: &ConnectionPool) -> Option<Wire> {
    let (tcp, http) = (pool.tcp.as_ref(), pool.http.as_ref());
    let ms = |duration: Option<&At<Duration>>| duration.map_or(0, |duration| duration.as_millis());
    let pings = http.and_then(|http| http.http2_keep_alive.as_ref());
    let keepalive = tcp.and_then(|tcp| tcp.tcp_keepalive.as_ref()).map(|keepalive| Keepalive {
        probes: keepalive.probes.map_or(0, |probes| probes.value),
        idle_ms: ms(keepalive.time.as_ref()),
        interval_ms: ms(keepalive.interval.as_ref()),
    });
    let wire = Wire {
        streams: http.and_then(|http| http.max_concurrent_streams).map_or(0, |streams| streams.value),
        life_ms: ms(tcp.and_then(|tcp| tcp.max_connection_duration.as_ref())),
        ping_ms: pings.map_or(0, |pings| pings.interval.as_millis()),
        ping_timeout_ms: pings.map_or(0, |pings| pings.timeout.as_millis()),
        keepalive,
    };
    let silent = Wire { streams: 0, life_ms: 0, ping_ms: 0, ping_timeout_ms: 0, keepalive: None };
    Some(wire).filter(|wire| *wire != silent)
}
