//! Who of a cluster is in, as tables of endpoints and what becomes of them.

use taut_snapshot::object::{EndpointSource, Limits, Outlier, Warmup};

use super::*;

fn cluster() -> Cluster {
    Cluster {
        host: "orders.shop.svc.cluster.local".into(),
        port: 8080,
        subset: "".into(),
        namespace: "shop".into(),
        protocol: Protocol::Http,
        endpoints: EndpointSource::Dns(Vec::new()),
        balancer: Balancer::RoundRobin,
        limits: Limits {
            connections: 0,
            pending: 0,
            requests: 0,
            retries: 0,
            requests_per_connection: 0,
            budget: None,
        },
        outlier: Some(Outlier {
            consecutive_errors: 1,
            consecutive_gateway_errors: 0,
            split: false,
            consecutive_local_failures: 0,
            interval_ms: 1_000,
            base_ejection_ms: 5_000,
            max_ejection_percent: 100,
            panic_percent: 0,
            statuses: vec![],
        }),
        tls: ClusterTls::Plain,
        connect_timeout_ms: 1_000,
        idle_timeout_ms: 0,
        warmup: None,
        wire: None,
        locality: None,
        own: None,
    }
}

fn found(last: u8) -> Found {
    Found {
        address: ([10, 0, 0, last], 80).into(),
        dial: Vec::new(),
        speaks_mtls: false,
        workload: NameId::UNKNOWN,
        weight: 1,
        draining: false,
        whereabouts: Arc::default(),
    }
}

fn upstream(cluster: Cluster, found: &[Found], before: Option<&Upstream>) -> Upstream {
    let upstream = Upstream::bare(cluster, before);
    upstream.populate(found, 1, before);
    upstream
}

fn chosen(upstream: &Upstream) -> Vec<u8> {
    let draws = Draws::new(1);
    let mut last: Vec<u8> = (0..20)
        .filter_map(|_| upstream.choose(&draws, &[], None))
        .map(|backend| match backend.address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .collect();
    last.sort_unstable();
    last.dedup();
    last
}

#[test]
fn whoever_is_ejected_gets_nothing_until_it_is_back() {
    let upstream = upstream(cluster(), &[found(1), found(2)], None);
    let one = upstream.choose(&Draws::new(1), &[], None).unwrap();
    assert!(upstream.report(&one, Outcome::Answered(500), || Duration::from_secs(1)));
    assert_eq!(chosen(&upstream).len(), 1);
    upstream.sweep(Duration::from_secs(3));
    assert_eq!(chosen(&upstream).len(), 1, "its time is not over");
    upstream.sweep(Duration::from_secs(7));
    assert_eq!(chosen(&upstream), [1, 2]);
}

#[test]
fn with_all_out_there_is_nobody_or_in_panic_everybody() {
    let all_out = |panic_percent: u8| {
        let mut cluster = cluster();
        cluster.outlier.as_mut().unwrap().panic_percent = panic_percent;
        let upstream = upstream(cluster, &[found(1), found(2)], None);
        let mut out = Vec::new();
        while let Some(backend) = upstream.choose(&Draws::new(1), &out, None).filter(|_| out.len() < 2) {
            assert!(upstream.report(&backend, Outcome::Unreachable, || Duration::ZERO));
            out.push(backend);
        }
        chosen(&upstream)
    };
    assert_eq!(all_out(0), [0; 0]);
    assert_eq!(all_out(50), [1, 2]);
}

#[test]
fn a_new_endpoint_takes_its_share_little_by_little() {
    let warmup = Warmup { ms: 100_000, minimum_percent: 10, aggression: 1_000 };
    let of = |aggression, seconds| {
        let cluster = Cluster { warmup: Some(Warmup { aggression, ..warmup.clone() }), ..cluster() };
        let since = Instant::now();
        upstream(cluster, &[], None).warmth(since, since + Duration::from_secs(seconds))
    };
    assert_eq!([0, 5, 50, 99, 100, 500].map(|seconds| of(1_000, seconds)), [100, 100, 500, 990, 1_000, 1_000]);
    assert!(of(1_000, 25) < of(2_000, 25), "with more aggression it goes faster at first");
    assert_eq!(upstream(cluster(), &[], None).warmth(Instant::now(), Instant::now()), WARM);
}

#[test]
fn draining_endpoints_are_the_last_resort() {
    let leaving = Found { draining: true, ..found(1) };
    let upstream = upstream(cluster(), &[leaving.clone(), found(2)], None);
    assert_eq!(chosen(&upstream), [2]);
    upstream.populate(&[leaving], 1, None);
    assert_eq!(chosen(&upstream), [1]);
}

#[test]
fn an_endpoint_that_stays_keeps_what_it_had() {
    let before = upstream(cluster(), &[found(1)], None);
    let backend = before.choose(&Draws::new(1), &[], None).unwrap();
    before.populate(&[found(2), found(1)], 1, None);
    let again = before.choose(&Draws::new(1), &[], None).into_iter().chain(before.choose(&Draws::new(1), &[], None));
    assert!(again.into_iter().any(|again| Arc::ptr_eq(&again, &backend)), "endpoints changed");

    let gentler = Cluster { connect_timeout_ms: 5, ..cluster() };
    let after = upstream(gentler, &[found(1)], Some(&before));
    assert!(Arc::ptr_eq(&after.choose(&Draws::new(1), &[], None).unwrap(), &backend), "the snapshot changed");

    before.report(&backend, Outcome::Answered(500), || Duration::ZERO);
    let other = Cluster { protocol: Protocol::Http2, ..cluster() };
    let after = upstream(other, &[found(1), found(3)], Some(&before));
    assert_eq!(chosen(&after), [3], "connections of another kind do not fit, but an ejection stays");
}
