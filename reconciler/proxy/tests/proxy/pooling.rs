//! Connections to endpoints as DestinationRules want them: how many requests one carries, what it speaks, how long it lives.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use taut_proxy::{ProxyConfig, Role};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{get, send_http2};
use crate::connections::{activate_with, entry};
use crate::fixture::*;
use crate::server::App;

/// A sidecar whose application calls `orders.example`, with one worker, so that there is one pool.
async fn calling(protocol: &str, pool: &str) -> (Running, App) {
    let app = App::start("v1").await;
    let config = ProxyConfig { workers: NonZeroUsize::MIN, ..config("frontend", &[Role::Outbound { port: 9000 }]) };
    let proxy = Running::start_with(config, Issuer::new().identity("frontend"));
    let rule = format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: orders, namespace: shop}}
spec: {{host: orders.example, trafficPolicy: {{connectionPool: {pool}}}}}
"
    );
    let yaml = entry("orders", "10.1.0.1", protocol, &[(app.address, "a")]) + &rule;
    activate_with(&proxy, "{}", &yaml, vec![]);
    (proxy, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_as_many_requests_as_it_may() {
    for (most, connections) in [(2, 3), (6, 1)] {
        let (proxy, app) = calling("HTTP2", &format!("{{http: {{maxConcurrentStreams: {most}}}}}")).await;
        let address = proxy.address();
        // One after the other, so that each finds the connections of those before it.
        let mut waiting = Vec::new();
        for count in 1..=6 {
            waiting.push(tokio::spawn(async move { get(address, "orders.example:9000", "/wait").await }));
            timeout(Duration::from_secs(20), app.until_waiting(count)).await.expect("it waits for a connection");
        }
        assert_eq!(app.connections.load(Ordering::SeqCst), connections, "{most} at once");
        app.gate.notify_waiters();
        for request in waiting {
            assert_eq!(request.await.unwrap().status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_spoken_to_as_the_client_speaks() {
    for (pool, of_http1, of_http2) in [
        ("{http: {useClientProtocol: true}}", "HTTP/1.1", "HTTP/2.0"),
        ("{http: {maxRetries: 3}}", "HTTP/1.1", "HTTP/1.1"),
    ] {
        let (proxy, _app) = calling("HTTP", pool).await;
        let line = |body: &str| body.lines().nth(1).unwrap().to_owned();
        assert!(line(&get(proxy.address(), "orders.example:9000", "/").await.body).ends_with(of_http1), "{pool}");
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let answer = send_http2(stream, "GET", "http://orders.example:9000/", &[], "").await;
        assert!(line(&answer.body).ends_with(of_http2), "{pool}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lives_as_long_as_it_may() {
    let (proxy, app) = calling("HTTP", "{tcp: {maxConnectionDuration: 300ms}}").await;
    let mut client = crate::client::Http1::connect(proxy.address()).await;
    let renewed = async {
        while app.connections.load(Ordering::SeqCst) < 3 {
            assert_eq!(client.get("orders.example:9000", "/").await.unwrap().app(), "v1");
        }
    };
    timeout(Duration::from_secs(20), renewed).await.expect("it lives on");
    assert!(3 < app.asked(), "each carries many: {}", app.asked());
}

/// What the kernel says of the connections to an address of this machine: which timer each has, and when it fires (proc(5),
/// `/proc/net/tcp`).
fn timers(to: std::net::SocketAddr) -> Vec<(String, Duration)> {
    let (ip, port) = match to.ip() {
        std::net::IpAddr::V4(ip) => (u32::from_ne_bytes(ip.octets()), to.port()),
        std::net::IpAddr::V6(_) => panic!("tests listen on IPv4"),
    };
    let (to, established) = (format!("{ip:08X}:{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let of_it = rows.filter(|row| row[2] == to && row[3] == established);
    let timer = |row: Vec<&str>| {
        let (kind, ticks) = row[5].split_once(':').unwrap();
        (kind.to_owned(), Duration::from_millis(u64::from_str_radix(ticks, 16).unwrap() * 10))
    };
    of_it.map(timer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_looks_whether_the_other_end_is_there() {
    const KEEPALIVE: &str = "02";
    let (proxy, app) = calling("HTTP", "{tcp: {tcpKeepalive: {time: 40s, interval: 10s, probes: 3}}}").await;
    assert_eq!(get(proxy.address(), "orders.example:9000", "/").await.status, 200);
    let looking = async {
        loop {
            match timers(app.address).as_slice() {
                [(kind, within)] if kind == KEEPALIVE => return *within,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let within = timeout(Duration::from_secs(20), looking).await.expect("it has such a timer");
    assert!(Duration::from_secs(10) < within && within <= Duration::from_secs(41), "{within:?}");

    let (proxy, app) = calling("HTTP", "{tcp: {maxConnections: 100}}").await;
    assert_eq!(get(proxy.address(), "orders.example:9000", "/").await.status, 200);
    let all = timers(app.address);
    assert!(all.len() == 1 && all.iter().all(|(kind, _)| kind != KEEPALIVE), "{all:?}: nobody asked for it");
}
