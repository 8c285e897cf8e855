//! What happens when endpoints fail, are slow, or are too few.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::Either;
use http_body_util::BodyExt;
use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Http1, get, read as read_answer, request, send};
use crate::fixture::*;
use crate::server::{App, nobody};

/// A sidecar whose calls of `orders` follow one rule, for a cluster with v1 endpoints at these addresses.
fn sidecar(cluster: &Cluster, addresses: &[std::net::SocketAddr], change: impl FnOnce(&mut Forward)) -> Running {
    let sidecar = Running::calling(&Issuer::new());
    let name = |index: usize| format!("orders-{index}");
    let endpoints = addresses.iter().enumerate().map(|(index, address)| endpoint(&name(index), "v1", *address));
    sidecar.endpoints(endpoints.collect());
    let mut objects = Objects::default();
    let mut all = rule(&[(cluster, 1)], &mut objects);
    change(forward(&mut all));
    sidecar.activate(Case::orders(cluster, vec![all], objects));
    sidecar
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_cut_off_by_the_rules_timeout() {
    let app = App::start("v1").await;
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.timeout_ms = 50);
    let began = Instant::now();
    let answer = get(sidecar.address(), "orders", "/never").await;
    assert_eq!((answer.status, answer.body.as_str()), (504, "upstream request timeout"));
    assert!(Duration::from_millis(50) <= began.elapsed() && began.elapsed() < Duration::from_secs(5));
    assert_eq!(get(sidecar.address(), "orders", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_covers_the_body_of_the_answer() {
    let app = App::start("v1").await;
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.timeout_ms = 50);
    let mut http = Http1::connect(sidecar.address()).await;
    let response = http.send(request("GET", "orders", "/stream", &[], "")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(read_answer(response).await.is_err(), "the second piece never comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_connection_is_tried_at_another_endpoint() {
    let app = App::start("v1").await;
    let down = nobody().await;
    let policy = retry(&[RetryOn::ConnectFailure], 2);
    let sidecar = sidecar(&cluster(""), &[down, app.address], |forward| forward.retry = Some(policy));
    for _ in 0..20 {
        let answer = send(sidecar.address(), "POST", "orders", "/echo", &[], "once").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "once"));
    }
    assert_eq!(app.asked(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_retry_a_failed_connection_is_a_503() {
    let down = nobody().await;
    let sidecar = sidecar(&cluster(""), &[down], |_| {});
    let answer = get(sidecar.address(), "orders", "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("remote connection failure"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_sent_again_with_a_retry() {
    let app = App::start("v1").await;
    let policy = retry(&[RetryOn::ServerError], 3);
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.retry = Some(policy));
    let answer = send(sidecar.address(), "POST", "orders", "/fail-first/2", &[], "three times").await;
    assert_eq!((answer.status, answer.body.as_str(), app.asked()), (200, "three times", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_to_keep_is_sent_once() {
    let app = App::start("v1").await;
    let policy = retry(&[RetryOn::ServerError], 3);
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.retry = Some(policy));
    let long = "x".repeat(200 << 10);
    let answer = send(sidecar.address(), "POST", "orders", "/status/503", &[], &long).await;
    assert_eq!((answer.status, app.asked()), (503, 1));
    let echoed = send(sidecar.address(), "POST", "orders", "/echo", &[], &long).await;
    assert_eq!(echoed.body.len(), long.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_counted_and_their_own_time_is_kept() {
    let app = App::start("v1").await;
    let policy = Retry { per_try_timeout_ms: 30, ..retry(&[RetryOn::GatewayError], 2) };
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.retry = Some(policy));
    let answer = send(sidecar.address(), "POST", "orders", "/never", &[], "body").await;
    assert_eq!((answer.status, app.asked()), (504, 3));
    let answer = get(sidecar.address(), "orders", "/status/502").await;
    assert_eq!((answer.status, app.asked()), (502, 6), "the last answer is the client's");
    let answer = get(sidecar.address(), "orders", "/status/500").await;
    assert_eq!((answer.status, app.asked()), (500, 7), "500 is no gateway error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_status_is_retried_by_name() {
    let app = App::start("v1").await;
    let policy = retry(&[RetryOn::Unavailable], 1);
    let sidecar = sidecar(&cluster(""), &[app.address], |forward| forward.retry = Some(policy));
    let grpc = [("content-type", "application/grpc")];
    let answer = send(sidecar.address(), "POST", "orders", "/grpc/14", &grpc, "").await;
    assert_eq!((answer.header("grpc-status"), app.asked()), (Some("14"), 2));
    send(sidecar.address(), "POST", "orders", "/grpc/5", &grpc, "").await;
    assert_eq!(app.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_is_taken_out_and_let_in_again() {
    let (good, bad) = (App::start("good").await, App::start("bad").await);
    let outlier = Outlier {
        consecutive_errors: 3,
        consecutive_gateway_errors: 0,
        split: false,
        consecutive_local_failures: 0,
        interval_ms: 100,
        base_ejection_ms: 300,
        max_ejection_percent: 50,
        panic_percent: 0,
        statuses: vec![],
    };
    let cluster = Cluster { outlier: Some(outlier), ..cluster("") };
    let sidecar = sidecar(&cluster, &[good.address, bad.address], |_| {});
    let mut http = Http1::connect(sidecar.address()).await;
    for _ in 0..2 * 3 {
        // One after the other: three of these are the bad one's.
        http.get("orders", "/status/500").await.unwrap();
    }
    let asked = (good.asked(), bad.asked());
    assert_eq!(asked.0 + asked.1, 6);
    // Both have failed three times in a row; only one of two may be out.
    for _ in 0..10 {
        http.get("orders", "/").await.unwrap();
    }
    let (good_more, bad_more) = (good.asked() - asked.0, bad.asked() - asked.1);
    assert!((good_more, bad_more) == (10, 0) || (good_more, bad_more) == (0, 10), "{good_more} and {bad_more}");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let before = (good.asked(), bad.asked());
        http.get("orders", "/").await.unwrap();
        http.get("orders", "/").await.unwrap();
        if (good.asked() - before.0, bad.asked() - before.1) == (1, 1) {
            break;
        }
        assert!(Instant::now() < until, "it never came back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_there_the_answer_says_so() {
    let sidecar = sidecar(&cluster(""), &[], |_| {});
    let answer = get(sidecar.address(), "orders", "/").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "no healthy upstream"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_limit_are_refused_at_once() {
    let app = App::start("v1").await;
    let limits = Limits { requests: 2, ..cluster("").limits };
    let sidecar = sidecar(&Cluster { limits, ..cluster("") }, &[app.address], |_| {});
    let at = sidecar.address();
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(async move { get(at, "orders", "/wait").await })).collect();
    app.until_waiting(2).await;
    let answer = get(at, "orders", "/").await;
    assert_eq!((answer.status, answer.header("x-envoy-overloaded")), (503, Some("true")));
    assert!(answer.body.ends_with("reset reason: overflow"), "{}", answer.body);
    app.gate.notify_waiters();
    for request in waiting {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(get(at, "orders", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_connection_one_request_waits_and_the_next_is_refused() {
    let app = App::start("v1").await;
    let limits = Limits { connections: 1, pending: 1, ..cluster("").limits };
    let sidecar = sidecar(&Cluster { limits, ..cluster("") }, &[app.address], |_| {});
    let at = sidecar.address();
    let first = tokio::spawn(async move { get(at, "orders", "/wait").await });
    app.until_waiting(1).await;
    let [second, third] = [(); 2].map(|()| Box::pin(get(at, "orders", "/")));
    let (refused, waits) = match futures_util::future::select(second, third).await {
        Either::Left(ended) | Either::Right(ended) => ended,
    };
    assert_eq!(refused.status, 503);
    assert!(refused.body.ends_with("overflow"));
    app.gate.notify_waiters();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(waits.await.status, 200, "it got the connection when that was free");
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_no_more_requests_than_it_may() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        let app = App::start("v1").await;
        let limits = Limits { requests_per_connection: 2, ..cluster("").limits };
        let sidecar = sidecar(&Cluster { limits, protocol, ..cluster("") }, &[app.address], |_| {});
        let mut http = Http1::connect(sidecar.address()).await;
        for _ in 0..6 {
            assert_eq!(http.get("orders", "/").await.unwrap().status, 200);
        }
        assert_eq!(app.connections.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_pass_through_as_they_come() {
    let app = App::start("v1").await;
    let sidecar = sidecar(&cluster(""), &[app.address], |_| {});
    let mut http = Http1::connect(sidecar.address()).await;
    let mut response = http.send(request("GET", "orders", "/stream", &[], "")).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), Bytes::from("first"), "before the second piece exists");
    app.gate.notify_one();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "second");
}

/// An endpoint that answers the first request of each connection, and closes the connection when it has read the second:
/// to whoever sent that, it is closed meanwhile. The number is that of the requests which it has read.
async fn tired_of_connections() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, read) = (listener.local_addr().unwrap(), Arc::<AtomicU32>::default());
    let count = read.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                for answers in [true, false] {
                    if stream.read(&mut head).await.unwrap() == 0 {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    if answers {
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                    }
                }
            });
        }
    });
    (address, read)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_endpoint_closes_meanwhile_fails_no_request_that_may_be_sent_twice() {
    let (address, read) = tired_of_connections().await;
    let sidecar = sidecar(&cluster(""), &[address], |_| {});
    let mut http = Http1::connect(sidecar.address()).await;
    for number in 0..20 {
        let answer = http.get("orders", "/").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "request {number}");
    }
    assert_eq!(read.load(Ordering::SeqCst), 39, "each but the first was read twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_acted_upon_is_not_sent_twice() {
    let (address, read) = tired_of_connections().await;
    let sidecar = sidecar(&cluster(""), &[address], |_| {});
    let mut http = Http1::connect(sidecar.address()).await;
    let mut post =
        async || read_answer(http.send(request("POST", "orders", "/", &[], "")).await.unwrap()).await.unwrap();
    assert_eq!(post().await.status, 200);
    let lost = post().await;
    assert_eq!(lost.status, 503);
    assert!(lost.body.ends_with("reset reason: connection termination"), "{}", lost.body);
    assert_eq!(read.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_and_found_by_the_first_request() {
    let app = App::start("v1").await;
    let port = app.address.port();
    let dns = DnsName { host: "localhost".into(), port, weight: 1, locality: "".into(), single: false };
    let cluster = Cluster { endpoints: EndpointSource::Dns(vec![dns]), ..cluster("") };
    let sidecar = sidecar(&cluster, &[], |forward| forward.retry = Some(retry(&[RetryOn::ConnectFailure], 3)));
    assert_eq!(get(sidecar.address(), "orders", "/").await.app(), "v1");
    let gentler = Cluster { connect_timeout_ms: 1_500, ..cluster };
    let mut objects = Objects::default();
    let mut all = rule(&[(&gentler, 1)], &mut objects);
    forward(&mut all).retry = Some(retry(&[RetryOn::ConnectFailure], 3));
    sidecar.activate(Case::orders(&gentler, vec![all], objects));
    assert_eq!(get(sidecar.address(), "orders", "/").await.app(), "v1", "what was known stays known");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_taken_out_while_a_snapshot_is_staged_stays_out() {
    let (good, bad) = (App::start("good").await, App::start("bad").await);
    let outlier = Outlier {
        consecutive_errors: 1,
        consecutive_gateway_errors: 0,
        split: false,
        consecutive_local_failures: 0,
        interval_ms: 60_000,
        base_ejection_ms: 60_000,
        max_ejection_percent: 50,
        panic_percent: 0,
        statuses: vec![],
    };
    let old = Cluster { outlier: Some(outlier), ..cluster("") };
    let sidecar = sidecar(&old, &[good.address, bad.address], |_| {});
    let new = Cluster { connect_timeout_ms: 1_999, ..old };
    let staged = sidecar.prepare(Case::orders(&new, vec![], Objects::default())).unwrap();
    let failed = get(sidecar.address(), "orders", "/status/500").await;
    sidecar.run(staged);
    for _ in 0..10 {
        assert_ne!(get(sidecar.address(), "orders", "/").await.app(), failed.app());
    }
}
