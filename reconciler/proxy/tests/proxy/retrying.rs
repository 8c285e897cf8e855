//! What an application asks of its own proxy for one request.

use std::time::{Duration, Instant};

use crate::mesh::Shop;

const PLAIN: &str = "  - route: [{destination: {host: orders, subset: v1}}]\n    retries: {attempts: 0}\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_ask_for_retries_of_its_own() {
    let shop = Shop::with_rules(PLAIN).await;
    assert_eq!(shop.get("/fail-first/3", &[]).await.status, 503);
    let headers = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")];
    assert_eq!(shop.get("/fail-first/3", &headers).await.status, 200);
    assert_eq!(shop.v1.asked(), 4);
    let seen = shop.get("/", &headers).await.body;
    assert!(!seen.contains("x-envoy-retry-on") && !seen.contains("x-envoy-max-retries"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_ask_for_less_time() {
    let shop = Shop::with_rules(PLAIN).await;
    let began = Instant::now();
    let answer = shop.get("/never", &[("x-envoy-upstream-rq-timeout-ms", "50")]).await;
    assert_eq!((answer.status, answer.body.as_str()), (504, "upstream request timeout"));
    assert!(began.elapsed() < Duration::from_secs(10));
    let told = shop.get("/", &[("x-envoy-upstream-rq-timeout-ms", "5000")]).await.body;
    assert!(told.contains("x-envoy-expected-rq-timeout-ms: 5000"), "the endpoint knows how long it has: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_a_header_are_tried_again_if_the_application_names_it() {
    let shop = Shop::with_rules(PLAIN).await;
    let headers = [
        ("x-envoy-retry-on", "retriable-headers"),
        ("x-envoy-retriable-header-names", "x-other, x-app"),
        ("x-envoy-max-retries", "2"),
    ];
    assert_eq!(shop.get("/", &headers).await.status, 200);
    assert_eq!(shop.v1.asked(), 3, "every answer has the header, so that all tries are used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_overloaded_is_not_asked_again() {
    let shop = Shop::with_rules(
        "  - route: [{destination: {host: orders, subset: v1}}]\n    retries: {attempts: 3, retryOn: 5xx}\n",
    )
    .await;
    let answer = shop.get("/answer/503/x-envoy-overloaded", &[]).await;
    assert_eq!((answer.status, shop.v1.asked()), (503, 1));
    let answer = shop.get("/answer/429/x-envoy-ratelimited", &[]).await;
    assert_eq!((answer.status, shop.v1.asked()), (429, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_rates_is_tried_again_where_the_rule_says_so() {
    let shop = Shop::with_rules(
        "  - route: [{destination: {host: orders, subset: v1}}]\n    retries: {attempts: 2, retryOn: envoy-ratelimited}\n",
    )
    .await;
    let answer = shop.get("/answer/429/x-envoy-ratelimited", &[]).await;
    assert_eq!((answer.status, shop.v1.asked()), (429, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_limits_how_many_requests_are_retried_at_a_time() {
    let shop = with_budget("{percent: 0, minRetryConcurrency: 1}").await;
    // Both time out at once; only one of them may be tried again.
    let (one, two) = tokio::join!(shop.get("/never", &[]), shop.get("/never", &[]));
    assert_eq!((one.status, two.status), (504, 504));
    assert_eq!(shop.v1.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_counts_requests_that_are_over_where_it_says_for_how_long() {
    let shop = with_budget("{percent: 50, minRetryConcurrency: 1, budgetInterval: 3600s}").await;
    // Half of what is under way would be one retry; half of these, and of the two below, is more.
    for _ in 0..4 {
        assert_eq!(shop.get("/", &[]).await.status, 200);
    }
    let asked = shop.v1.asked();
    let (one, two) = tokio::join!(shop.get("/never", &[]), shop.get("/never", &[]));
    assert_eq!((one.status, two.status), (504, 504));
    assert_eq!(shop.v1.asked() - asked, 4);
}

/// A shop whose rule tries once more, with this budget for it.
async fn with_budget(budget: &str) -> Shop {
    let rules = "  - route: [{destination: {host: orders, subset: v1}}]\n    retries: {attempts: 1, retryOn: reset, perTryTimeout: 100ms}\n";
    let shop = Shop::with_rules(rules).await;
    let mesh = format!(
        "{}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: orders, namespace: shop}}\nspec:\n  hosts: [orders]\n  http:\n{rules}",
        crate::mesh::SHOP.replace(
            "trafficPolicy: {tls: {mode: DISABLE}}",
            &format!("trafficPolicy: {{tls: {{mode: DISABLE}}, retryBudget: {budget}}}")
        )
    );
    shop.sidecar.activate_mesh(&mesh);
    shop
}
