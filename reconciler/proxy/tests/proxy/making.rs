//! Headers whose values are made for each request. Beside Envoy they are compared in `tests/peers`.

use crate::mesh::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn values_are_made_where_nothing_is_logged() {
    let shop = Shop::with_rules(
        "  - name: first\n    route: [{destination: {host: orders, subset: v1}}]\n    headers:\n      request: {set: {x-new: '%REQ(x-in)% %PROTOCOL% %ROUTE_NAME% %UPSTREAM_CLUSTER% 100%%'}, add: {x-none: '%REQ(x-none)%'}}\n      response: {set: {x-back: '%REQ(x-in)% %RESPONSE_CODE%', x-when: '%START_TIME%'}}\n",
    )
    .await;
    let answer = shop.get("/", &[("x-in", "in")]).await;
    let want = "x-new: in HTTP/1.1 first outbound|8080|v1|orders.shop.svc.cluster.local 100%";
    assert!(answer.body.contains(want), "{}", answer.body);
    assert!(!answer.body.contains("x-none"), "what comes to nothing is left out: {}", answer.body);
    assert_eq!(answer.header("x-back"), Some("in 200"));
    let when = answer.header("x-when").unwrap_or_default();
    assert!(when.len() == "2026-01-01T00:00:00.000Z".len() && when.ends_with('Z'), "{when}");
}
