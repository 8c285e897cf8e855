//! What pages of other origins may do (CORS).

use crate::mesh::Shop;

const POLICY: &str = "  - match: [{uri: {prefix: /strict}}]
    route: [{destination: {host: orders}}]
    corsPolicy: {allowOrigins: [{exact: 'https://a.example'}], unmatchedPreflights: IGNORE}
  - route: [{destination: {host: orders}}]
    corsPolicy:
      allowOrigins: [{exact: 'https://a.example'}, {regex: 'https://[a-z]+[.]shop[.]example'}]
      allowMethods: [GET, POST]
      allowHeaders: [x-one, x-two]
      exposeHeaders: [x-app]
      maxAge: 24h
      allowCredentials: true
";

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_an_allowed_origin_is_answered_here() {
    let shop = Shop::with_rules(POLICY).await;
    let asking = [("origin", "https://web.shop.example"), ("access-control-request-method", "POST")];
    let answer = shop.ask("OPTIONS", "/", &asking, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    for (name, want) in [
        ("access-control-allow-origin", "https://web.shop.example"),
        ("access-control-allow-methods", "GET,POST"),
        ("access-control-allow-headers", "x-one,x-two"),
        ("access-control-max-age", "86400"),
        ("access-control-allow-credentials", "true"),
    ] {
        assert_eq!(answer.header(name), Some(want), "{name}");
    }
    assert_eq!(shop.v1.asked() + shop.v2.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_the_origin_that_may_read_it() {
    let shop = Shop::with_rules(POLICY).await;
    let answer = shop.get("/", &[("origin", "https://a.example")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-app"));
    assert_eq!(answer.header("access-control-max-age"), None, "that is for preflights");
    for headers in [&[("origin", "https://evil.example")][..], &[]] {
        let answer = shop.get("/", headers).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None), "{headers:?}");
    }
    // A plain OPTIONS is a request like others.
    let options = shop.ask("OPTIONS", "/", &[("origin", "https://a.example")], "").await;
    assert!(options.app().starts_with('v'), "{options:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_another_origin_goes_on_or_is_answered_without_permission() {
    let shop = Shop::with_rules(POLICY).await;
    let asking = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let forwarded = shop.ask("OPTIONS", "/", &asking, "").await;
    assert!(forwarded.app().starts_with('v') && forwarded.header("access-control-allow-origin").is_none());
    let asked = shop.v1.asked() + shop.v2.asked();
    let ignored = shop.ask("OPTIONS", "/strict", &asking, "").await;
    assert_eq!((ignored.status, ignored.header("access-control-allow-origin")), (200, None));
    assert_eq!(shop.v1.asked() + shop.v2.asked(), asked, "nobody was asked");
}
