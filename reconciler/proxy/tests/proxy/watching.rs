//! Policies that only count, and whose address it is that policies look at.

use crate::client::{Http1, get, get_with, mesh_tls, read, request};
use crate::fixture::{Issuer, Running, config};
use crate::mesh::SHOP;
use crate::server::App;

fn policy(action: &str, annotations: &str, rule: &str) -> String {
    format!(
        "{SHOP}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: it, namespace: shop, annotations: {{{annotations}}}}}\n\
         spec:\n  action: {action}\n  selector: {{matchLabels: {{app: orders}}}}\n  rules:\n  - {rule}\n"
    )
}

async fn counted(server: &Running, name: &str) -> String {
    let page = get(server.admin(), "admin", "/metrics").await.body;
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_out_or_audited_is_counted_and_passes() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate_mesh(&policy("DENY", "istio.io/dry-run: 'true'", "{to: [{operation: {paths: ['/admin']}}]}"));
    for path in ["/admin", "/", "/admin"] {
        assert_eq!(get(server.address(), "orders", path).await.status, 200);
    }
    assert_eq!(counted(&server, "taut_dry_run_denials_total").await, "2");
    assert_eq!(counted(&server, "taut_denials_total").await, "0");
    server.activate_mesh(&policy("AUDIT", "", "{to: [{operation: {paths: ['/admin']}}]}"));
    for path in ["/admin", "/"] {
        assert_eq!(get(server.address(), "orders", path).await.status, 200);
    }
    assert_eq!(counted(&server, "taut_audited_total").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_address_is_believed_from_those_of_the_mesh_alone() {
    let (app, issuer) = (App::start("v1").await, Issuer::new());
    let server = Running::serving(app.address, &issuer);
    server.activate_mesh(&policy("ALLOW", "", "{from: [{source: {remoteIpBlocks: ['192.0.2.0/24']}}]}"));
    let forwarded = [("x-forwarded-for", "10.1.1.1, 192.0.2.7")];
    let plain = get_with(server.address(), "orders", "/", &forwarded).await;
    assert_eq!(plain.status, 403, "anybody could say so");
    let over_mtls = |value: &'static str| {
        let (address, identity) = (server.address(), issuer.identity("gateway"));
        async move {
            let mut http = Http1::over(mesh_tls(address, &identity, &[b"istio-http/1.1"]).await.unwrap()).await;
            let asked = http.send(request("GET", "orders", "/", &[("x-forwarded-for", value)], "")).await.unwrap();
            read(asked).await.unwrap().status
        }
    };
    assert_eq!(over_mtls("10.1.1.1, 192.0.2.7").await, 200);
    assert_eq!(over_mtls("192.0.2.7, 10.1.1.1").await, 403, "the last one is who the peer saw");
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies_are_passed_over() {
    let (app, issuer) = (App::start("v1").await, Issuer::new());
    let inbound = taut_proxy::Role::Inbound { port: crate::fixture::PORT, application: app.address };
    let config = taut_proxy::ProxyConfig { trusted_proxies: 1, ..config("orders", &[inbound]) };
    let server = Running::start_with(config, issuer.identity("orders"));
    server.activate_mesh(&policy("ALLOW", "", "{when: [{key: remote.ip, values: ['192.0.2.7']}]}"));
    let mut http =
        Http1::over(mesh_tls(server.address(), &issuer.identity("gateway"), &[b"istio-http/1.1"]).await.unwrap()).await;
    for (value, status) in [("192.0.2.7, 10.0.0.1", 200), ("192.0.2.7", 403), ("10.9.9.9, 192.0.2.7", 403)] {
        let asked = http.send(request("GET", "orders", "/", &[("x-forwarded-for", value)], "")).await.unwrap();
        assert_eq!(read(asked).await.unwrap().status, status, "{value}");
    }
}
