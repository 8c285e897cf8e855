//! Endpoints by where they are, from the resources to the wire.

use taut_delivery::Runner as _;
use taut_proxy::{ProxyConfig, Role};
use taut_snapshot::Endpoint;

use crate::client::get;
use crate::fixture::*;
use crate::mesh::compiled_in;
use crate::server::App;

/// A sidecar in `eu/a/1` that calls `api.example`, of which there is one endpoint in each of these places.
async fn calling(places: &[(&'static str, &str)], config: &str, rest: &str) -> (Running, Vec<App>) {
    let roles = [Role::Outbound { port: 80 }];
    let here = ProxyConfig { locality: Some("eu/a/1".to_owned()), ..crate::fixture::config("frontend", &roles) };
    let proxy = Running::start_with(here, Issuer::new().identity("frontend"));
    let (mut apps, mut endpoints) = (Vec::new(), String::new());
    for (name, place) in places {
        let app = App::start(name).await;
        let port = app.address.port();
        endpoints +=
            &format!("  - {{address: 127.0.0.1, ports: {{http: {port}}}, locality: {place}, labels: {{v: {name}}}}}\n");
        apps.push(app);
    }
    let yaml = format!(
        "{}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: shop}}
spec:
  hosts: [api.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{name: http, number: 80, protocol: HTTP}}]
  endpoints:
{endpoints}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: shop}}
spec:
  host: api.example
  trafficPolicy: {{{rest}}}
",
        crate::mesh::SHOP
    );
    let (snapshot, objects, endpoints) = compiled_in(config, &yaml);
    let prepared = tokio::task::block_in_place(|| proxy.proxy.prepare(snapshot, &objects)).unwrap();
    proxy.run((snapshot, prepared));
    proxy.endpoints(endpoints.endpoints);
    (proxy, apps)
}

/// How many of a hundred requests each application answers.
async fn answers(proxy: &Running, names: &[&str]) -> Vec<usize> {
    let mut counts = vec![0; names.len()];
    for _ in 0..100 {
        let answer = get(proxy.address(), "api.example", "/").await;
        if let Some(at) = names.iter().position(|name| *name == answer.app()) {
            counts[at] += 1;
        }
    }
    counts
}

const OUTLIERS: &str = "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100, baseEjectionTime: 600s}";

#[tokio::test(flavor = "multi_thread")]
async fn the_near_ones_are_asked_until_they_fail() {
    let places = [("near", "eu/a/1"), ("next", "eu/b/1"), ("far", "us/a/1")];
    let (proxy, _apps) = calling(&places, "{}", OUTLIERS).await;
    let names = ["near", "next", "far"];
    assert_eq!(answers(&proxy, &names).await, [100, 0, 0]);
    assert_eq!(get(proxy.address(), "api.example", "/status/500").await.status, 500);
    assert_eq!(answers(&proxy, &names).await, [0, 100, 0], "the zone beside it takes over");

    let (proxy, _apps) = calling(&places, "localityLbSetting: {enabled: false}", OUTLIERS).await;
    let counts = answers(&proxy, &names).await;
    assert!(counts.iter().all(|count| 10 < *count), "the mesh has switched it off: {counts:?}");
    let (proxy, _apps) = calling(&places, "{}", "loadBalancer: {simple: RANDOM}").await;
    let counts = answers(&proxy, &names).await;
    assert!(counts.iter().all(|count| 10 < *count), "nobody would notice that one fails: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_takes_over_and_labels_say_who_is_near() {
    let places = [("us", "us/a/1"), ("asia", "asia/a/1")];
    let failover = format!("{OUTLIERS}, loadBalancer: {{localityLbSetting: {{failover: [{{from: eu, to: asia}}]}}}}");
    let (proxy, _apps) = calling(&places, "{}", &failover).await;
    assert_eq!(answers(&proxy, &["us", "asia"]).await, [0, 100]);
    let labels = format!("{OUTLIERS}, loadBalancer: {{localityLbSetting: {{failoverPriority: [\"v=us\"]}}}}");
    let (proxy, _apps) = calling(&places, "{}", &labels).await;
    assert_eq!(answers(&proxy, &["us", "asia"]).await, [100, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_have_the_shares_that_are_written() {
    let places = [("near", "eu/a/1"), ("next", "eu/b/1"), ("far", "us/a/1")];
    let shares =
        "loadBalancer: {localityLbSetting: {distribute: [{from: eu/a/*, to: {\"eu/a/*\": 80, \"eu/b/*\": 20}}]}}";
    let (proxy, _apps) = calling(&places, "{}", shares).await;
    let counts = answers(&proxy, &["near", "next", "far"]).await;
    assert!(65 <= counts[0] && 5 <= counts[1] && counts[2] == 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_that_near_ones_are_preferred() {
    let (near, next) = (App::start("near").await, App::start("next").await);
    let at = |name: &str, app: &App, locality: &str| Endpoint {
        locality: locality.into(),
        ..endpoint(name, "v1", app.address)
    };
    let endpoints = [at("orders-1", &near, "eu/a/2"), at("orders-2", &next, "eu/b/1")];
    let said = "metadata: {name: orders, namespace: shop}\nspec:\n";
    for (service, prefers) in [
        (format!("{said}  trafficDistribution: PreferClose\n"), true),
        (format!("{said}  trafficDistribution: PreferSameZone\n"), true),
        (said.replace("shop}", "shop, annotations: {networking.istio.io/traffic-distribution: PreferClose}}"), true),
        (said.to_owned(), false),
    ] {
        let roles = [Role::Outbound { port: PORT }];
        let here = ProxyConfig { locality: Some("eu/a/1".to_owned()), ..config("frontend", &roles) };
        let proxy = Running::start_with(here, Issuer::new().identity("frontend"));
        proxy.activate_mesh(&crate::mesh::SHOP.replacen(said, &service, 1));
        proxy.endpoints(endpoints.to_vec());
        let mut counts = [0, 0];
        for _ in 0..50 {
            let app = get(proxy.address(), "orders", "/").await;
            counts[usize::from(app.app() == "next")] += 1;
        }
        assert_eq!(counts == [50, 0], prefers, "{service}: {counts:?}");
    }
}
