//! Faults that are put into requests on purpose.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::client::send_http2;
use crate::mesh::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_fails_on_purpose_and_nobody_is_asked() {
    let shop = Shop::with_rules(
        "  - match: [{headers: {x-test: {exact: fail}}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: orders}}]
    retries: {attempts: 3, retryOn: '5xx,retriable-4xx'}
  - match: [{uri: {prefix: /half}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 50}}}
    route: [{destination: {host: orders}}]
  - match: [{uri: {prefix: /never}}]
    fault: {abort: {httpStatus: 503}}
    route: [{destination: {host: orders}}]
  - route: [{destination: {host: orders}}]
",
    )
    .await;
    let failed = shop.get("/", &[("x-test", "fail")]).await;
    assert_eq!((failed.status, failed.body.as_str()), (418, "fault filter abort"));
    assert_eq!(shop.v1.asked() + shop.v2.asked(), 0);
    assert_eq!(shop.get("/", &[]).await.status, 200);
    let mut failures = 0;
    for _ in 0..300 {
        failures += u32::from(shop.get("/half", &[]).await.status == 503);
    }
    // 150 are expected, with a standard deviation of 9: six of them either way.
    assert!((96..204).contains(&failures), "{failures} of 300");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percentage_that_is_not_written_is_none() {
    let shop = Shop::with_rules(
        "  - fault: {abort: {httpStatus: 503}, delay: {fixedDelay: 1h}}
    route: [{destination: {host: orders}}]
",
    )
    .await;
    assert_eq!(shop.get("/", &[]).await.status, 200, "the trap of Istio's own API");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_is_told_in_grpc_and_others_in_http() {
    let shop = Shop::with_rules(
        "  - fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}
    route: [{destination: {host: orders}}]
",
    )
    .await;
    let stream = TcpStream::connect(shop.sidecar.address()).await.unwrap();
    let headers = [("content-type", "application/grpc")];
    let told = send_http2(stream, "POST", "http://orders:8080/a.B/C", &headers, "").await;
    assert_eq!(
        (told.status, told.header("grpc-status"), told.header("grpc-message")),
        (200, Some("14"), Some("fault filter abort"))
    );
    let other = shop.get("/", &[]).await;
    assert_eq!((other.status, other.body.as_str()), (200, "fault filter abort"), "as Envoy tells everybody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_comes_before_the_request_and_is_no_part_of_its_timeout() {
    let shop = Shop::with_rules(
        "  - fault: {delay: {fixedDelay: 300ms, percentage: {value: 100}}}
    timeout: 250ms
    route: [{destination: {host: orders}}]
",
    )
    .await;
    let began = Instant::now();
    assert_eq!(shop.get("/", &[]).await.status, 200);
    assert!(Duration::from_millis(300) <= began.elapsed());
}
