//! Copies of requests that nobody waits for.

use std::time::Duration;

use crate::mesh::Shop;

/// Waits until an application was asked this often.
async fn until_asked(app: &crate::server::App, count: u32) {
    let asked = async {
        while app.asked() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the copy did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_copied_and_only_the_first_answers() {
    let shop = Shop::with_rules(
        "  - route: [{destination: {host: orders, subset: v1}}]
    mirror: {host: orders, subset: v2}
",
    )
    .await;
    for count in 1..=10 {
        let answer = shop.ask("POST", "/echo", &[], "what is copied").await;
        assert_eq!((answer.app(), answer.body.as_str()), ("v1", "what is copied"));
        until_asked(&shop.v2, count).await;
    }
    assert_eq!((shop.v1.asked(), shop.v2.asked()), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_body_and_headers_that_the_endpoint_sees() {
    let shop = Shop::with_rules(
        "  - route: [{destination: {host: orders, subset: v1}, headers: {request: {set: {x-set: by-rule}}}}]
    rewrite: {uri: /copied}
    mirrors: [{destination: {host: orders, subset: v2}}]
",
    )
    .await;
    assert_eq!(shop.ask("POST", "/", &[("x-mine", "1")], "the body").await.app(), "v1");
    until_asked(&shop.v2, 1).await;
    let seen = shop.v2.seen_within(Duration::from_secs(20)).await;
    assert_eq!((seen.line.as_str(), seen.body.as_str()), ("POST /copied", "the body"));
    assert!(seen.headers.contains(&"x-set: by-rule".to_owned()), "{:?}", seen.headers);
    assert!(seen.headers.contains(&"host: orders:8080".to_owned()), "no suffix is added: {:?}", seen.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_requests_is_copied() {
    let shop = Shop::with_rules(
        "  - match: [{uri: {prefix: /none}}]
    route: [{destination: {host: orders, subset: v1}}]
    mirror: {host: orders, subset: v2}
    mirrorPercentage: {value: 0}
  - route: [{destination: {host: orders, subset: v1}}]
    mirror: {host: orders, subset: v2}
    mirrorPercentage: {value: 50}
",
    )
    .await;
    for _ in 0..20 {
        shop.get("/none", &[]).await;
    }
    assert_eq!(shop.v2.asked(), 0);
    for _ in 0..300 {
        shop.get("/", &[]).await;
    }
    // 150 are expected, with a standard deviation of 9: six of them either way.
    until_asked(&shop.v2, 96).await;
    assert!(shop.v2.asked() < 204, "{}", shop.v2.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_or_hangs_is_nobodys_business() {
    let shop = Shop::with_rules(
        "  - route: [{destination: {host: orders, subset: v1}}]
    mirror: {host: orders, subset: v2}
",
    )
    .await;
    shop.sidecar.endpoints(vec![
        crate::fixture::endpoint("orders-1", "v1", shop.v1.address),
        crate::fixture::endpoint("orders-2", "v2", crate::server::nobody().await),
    ]);
    for _ in 0..10 {
        assert_eq!(shop.get("/", &[]).await.status, 200);
    }
}
