//! Requests that belong together go to one endpoint.

use std::collections::BTreeMap;

use crate::mesh::Shop;

/// The shop with a rule for `orders` that says which endpoint gets a request.
async fn shop(balancer: &str) -> Shop {
    let own = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: orders-hash, namespace: shop}}\n\
         spec:\n  host: orders.shop.svc.cluster.local\n  trafficPolicy:\n    tls: {{mode: DISABLE}}\n    loadBalancer: {balancer}\n"
    );
    let shop = Shop::with("").await;
    let without: String =
        crate::mesh::SHOP.split("---\n").filter(|it| !it.contains("DestinationRule")).collect::<Vec<_>>().join("---\n");
    shop.sidecar.activate_mesh(&format!("{without}---\n{own}"));
    shop
}

/// Which applications answer 20 requests.
async fn who(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..20 {
        *counts.entry(shop.get(path, headers).await.app().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_alike_goes_to_one_endpoint_and_the_rest_to_all() {
    for table in ["ringHash: {minimumRingSize: 512}", "maglev: {tableSize: 1009}"] {
        let shop = shop(&format!("{{consistentHash: {{httpHeaderName: X-User, {table}}}}}")).await;
        let mut all = BTreeMap::new();
        for user in 0..20 {
            let user = format!("user-{user}");
            let found = who(&shop, "/", &[("x-user", &user)]).await;
            assert_eq!(found.len(), 1, "{table} {user}: {found:?}");
            all.extend(found);
        }
        assert_eq!(all.len(), 2, "{table}: users are spread");
        assert_eq!(who(&shop, "/", &[]).await.len(), 2, "{table}: without the header any will do");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_parameter_or_the_clients_address_may_be_hashed() {
    let shop_by_query = shop("{consistentHash: {httpQueryParameterName: user}}").await;
    for user in 0..10 {
        assert_eq!(who(&shop_by_query, &format!("/?user={user}"), &[]).await.len(), 1);
    }
    let by_address = shop("{consistentHash: {useSourceIp: true}}").await;
    assert_eq!(who(&by_address, "/", &[]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_made_and_brings_its_client_back() {
    let shop = shop("{consistentHash: {httpCookie: {name: session, path: /, ttl: 60s}}}").await;
    let mut seen = BTreeMap::new();
    for _ in 0..20 {
        let first = shop.get("/", &[]).await;
        let cookie = first.header("set-cookie").unwrap().to_owned();
        assert!(cookie.starts_with("session=\"") && cookie.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{cookie}");
        let value = cookie.split(';').next().unwrap();
        let again = shop.get("/", &[("cookie", &format!("other=1; {value}"))]).await;
        assert_eq!((again.app(), again.header("set-cookie")), (first.app(), None));
        *seen.entry(first.app().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "new clients are spread: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_without_a_life_is_never_made() {
    let shop = shop("{consistentHash: {httpCookie: {name: session}}}").await;
    assert_eq!(shop.get("/", &[]).await.header("set-cookie"), None);
    assert_eq!(who(&shop, "/", &[("cookie", "session=7")]).await.len(), 1);
}
