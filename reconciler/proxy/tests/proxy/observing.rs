//! What is counted and written down.

use taut_proxy::{AccessLog, LogFormat, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::*;

use crate::client::{get, get_with, send, send_http2};
use crate::connections::{activate_with, entry};
use crate::fixture::*;
use crate::server::App;

/// The samples of a metric, without what is the same in every test.
async fn samples(proxy: &Running, start: &str) -> Vec<String> {
    let text = get(proxy.admin(), "admin", "/stats/prometheus").await.body;
    text.lines().filter(|line| line.starts_with(start)).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_count_a_call_under_istios_labels() {
    let issuer = Issuer::new();
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(MtlsMode::Strict, None));
    let client = Running::calling(&issuer);
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { tls: auto_mtls(&["orders"]), ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));
    for _ in 0..3 {
        assert_eq!(send(client.address(), "POST", "orders", "/echo", &[], "hello").await.body, "hello");
    }
    let frontend = r#"source_workload="frontend-v1",source_canonical_service="frontend",source_canonical_revision="v1",source_workload_namespace="shop",source_principal="spiffe://cluster.local/ns/shop/sa/frontend",source_app="frontend",source_version="v1",source_cluster="unknown""#;
    let orders = r#"destination_workload="orders-v1",destination_workload_namespace="shop",destination_principal="spiffe://cluster.local/ns/shop/sa/orders",destination_app="orders",destination_version="v1",destination_service="orders.shop.svc.cluster.local",destination_canonical_service="orders",destination_canonical_revision="v1",destination_service_name="orders",destination_service_namespace="shop",destination_cluster="unknown""#;
    let rest = r#"request_protocol="http",response_code="200",grpc_response_status="",response_flags="-""#;
    for (proxy, reporter, security) in [(&client, "source", "unknown"), (&server, "destination", "mutual_tls")] {
        assert_eq!(
            samples(proxy, "istio_requests_total").await,
            [format!(
                r#"istio_requests_total{{reporter="{reporter}",{frontend},{orders},{rest},connection_security_policy="{security}"}} 3"#
            )]
        );
        for bytes in ["istio_request_bytes_sum", "istio_response_bytes_sum"] {
            let sums = samples(proxy, bytes).await;
            assert!(sums[0].ends_with(" 15"), "{sums:?}");
        }
        assert!(samples(proxy, "istio_request_duration_milliseconds_count").await[0].ends_with(" 3"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_with_their_flags() {
    let issuer = Issuer::new();
    let sidecar = Running::calling(&issuer);
    sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    get(sidecar.address(), "orders", "/").await;
    get(sidecar.address(), "elsewhere.example", "/").await;
    let counted = samples(&sidecar, "istio_requests_total").await;
    let has = |text: &str| counted.iter().any(|line| line.contains(text) && line.ends_with(" 1"));
    assert!(has(r#"response_code="503",grpc_response_status="",response_flags="UH""#), "{counted:?}");
    assert!(has(r#"response_code="502",grpc_response_status="",response_flags="-""#), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_is_counted_with_its_own_status() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let headers = [("content-type", "application/grpc+proto")];
    send_http2(stream, "POST", "http://orders/grpc/5", &headers, "").await;
    let counted = samples(&server, "istio_requests_total").await;
    let label = r#"request_protocol="grpc",response_code="200",grpc_response_status="5""#;
    assert!(counted[0].contains(label), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_plaintext_is_not_believed_who_it_is() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let headers = [("x-envoy-peer-metadata-id", "me"), ("x-envoy-peer-metadata", "CgsKBE5BTUUSAxoBeA==")];
    let answer = get_with(server.address(), "orders", "/", &headers).await;
    assert!(answer.header("x-envoy-peer-metadata").is_none(), "nor is it told who we are");
    let counted = samples(&server, "istio_requests_total").await;
    assert!(counted[0].contains(r#"source_workload="unknown""#), "{counted:?}");
    assert!(counted[0].contains(r#"connection_security_policy="none""#), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_written_down_with_what_decided_them() {
    let app = App::start("v1").await;
    let kept = Kept::default();
    let mut config = config("frontend", &[Role::Outbound { port: PORT }]);
    config.access_log = Some(AccessLog { to: Box::new(kept.clone()), format: LogFormat::Text, provenance: true });
    let sidecar = Running::start_with(config, Issuer::new().identity("frontend"));
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    let mut objects = Objects::default();
    let named = Rule {
        name: "canary".into(),
        alternatives: vec![path_prefix("/a")],
        ..rule(&[(&cluster("v1"), 1)], &mut objects)
    };
    objects.insert(&set(&cluster("")));
    let table = link_of(&table(vec![named.clone()], &objects)).digest;
    let snapshot = sidecar.activate(Case::orders(&cluster(""), vec![named], objects));
    let headers = [("x-request-id", "id-1"), ("user-agent", "test")];
    get_with(sidecar.address(), "orders:8080", "/a?x=1", &headers).await;
    get_with(sidecar.address(), "orders:8080", "/b", &headers).await;
    sidecar.proxy.drain().await;
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let upstream = app.address;
    let (served, lost) = match lines.as_slice() {
        [served, lost] => (*served, *lost),
        other => panic!("{other:?}"),
    };
    assert!(served.contains(r#"] "GET /a?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 "#), "{served}");
    let middle = format!(r#""-" "test" "id-1" "orders:8080" "{upstream}" outbound|8080|v1|{ORDERS} 127.0.0.1:"#);
    assert!(served.contains(&middle), "{served}");
    assert!(served.ends_with(&format!(" - canary snapshot={} rule={table}#1", snapshot.short())), "{served}");
    assert!(lost.contains(r#""GET /b HTTP/1.1" 404 NR route_not_found - "-" 0 0 "#), "{lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_written_down_in_json_with_istios_names() {
    let app = App::start("v1").await;
    let kept = Kept::default();
    let mut config = config("frontend", &[Role::Outbound { port: PORT }]);
    config.access_log = Some(AccessLog { to: Box::new(kept.clone()), format: LogFormat::Json, provenance: false });
    let sidecar = Running::start_with(config, Issuer::new().identity("frontend"));
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    get_with(sidecar.address(), "orders:8080", "/a?x=1", &[("user-agent", "say \"hi\"")]).await;
    get_with(sidecar.address(), "unknown:8080", "/", &[]).await;
    sidecar.proxy.drain().await;
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let served = &lines[0];
    for (name, want) in [
        ("method", serde_json::json!("GET")),
        ("path", "/a?x=1".into()),
        ("protocol", "HTTP/1.1".into()),
        ("response_code", 200.into()),
        ("response_flags", "-".into()),
        ("response_code_details", "via_upstream".into()),
        ("bytes_received", 0.into()),
        ("user_agent", "say \"hi\"".into()),
        ("authority", "orders:8080".into()),
        ("upstream_host", app.address.to_string().into()),
        ("upstream_cluster", format!("outbound|8080||{ORDERS}").into()),
        ("route_name", "default".into()),
        ("x_forwarded_for", serde_json::Value::Null),
        ("requested_server_name", serde_json::Value::Null),
    ] {
        assert_eq!(served[name], want, "{name} in {served}");
    }
    assert!(served["duration"].is_u64() && served["start_time"].as_str().unwrap().ends_with('Z'), "{served}");
    assert_eq!((&lines[1]["response_code"], &lines[1]["upstream_host"]), (&502.into(), &serde_json::Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_says_where_a_request_was_headed_though_it_did_not_get_there() {
    let kept = Kept::default();
    let mut config = config("frontend", &[Role::Outbound { port: PORT }]);
    config.access_log = Some(AccessLog { to: Box::new(kept.clone()), format: LogFormat::Json, provenance: false });
    let sidecar = Running::start_with(config, Issuer::new().identity("frontend"));
    sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    let nobody = crate::server::nobody().await;
    for endpoints in [vec![], vec![endpoint("orders-1", "v1", nobody)]] {
        sidecar.endpoints(endpoints);
        assert_eq!(get(sidecar.address(), "orders:8080", "/").await.status, 503);
    }
    sidecar.proxy.drain().await;
    let lines: Vec<serde_json::Value> = kept.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> =
        lines.iter().map(|it| [&it["response_flags"], &it["upstream_host"], &it["upstream_cluster"]]).collect();
    let (cluster, null) = (format!("outbound|8080||{ORDERS}").into(), serde_json::Value::Null);
    let wanted = [[&"UH".into(), &null, &cluster], [&"UF,URX".into(), &nobody.to_string().into(), &cluster]];
    assert_eq!(said, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mesh_says_which_metrics_there_are_and_what_their_labels_say() {
    let metric = |name: &'static str| async move {
        let overrides = "
  metrics:
  - overrides:
    - {match: {metric: REQUEST_SIZE, mode: CLIENT}, disabled: true}
    - {match: {metric: RESPONSE_SIZE, mode: SERVER}, disabled: true}
    - {match: {metric: REQUEST_COUNT}, tagOverrides: {response_code: {operation: REMOVE}, team: {value: \"'shop'\"}, request_protocol: {value: string(response.code)}, source_app: {value: downstream_peer.namespace}}}
";
        let app = App::start("v1").await;
        let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
        let telemetry = format!(
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: a, namespace: shop}}\nspec:{overrides}"
        );
        let yaml = entry("orders", "10.1.0.1", "HTTP", &[(app.address, "a")]) + &telemetry;
        activate_with(&proxy, "{}", &yaml, vec![]);
        for path in ["/", "/", "/status/404"] {
            get(proxy.address(), "orders.example:9000", path).await;
        }
        samples(&proxy, name).await
    };
    let counted = metric("istio_requests_total").await;
    assert_eq!(counted.len(), 2, "{counted:?}");
    for (at, (code, count)) in [("200", 2), ("404", 1)].into_iter().enumerate() {
        let line = &counted[at];
        assert!(
            line.contains(&format!("request_protocol=\"{code}\"")) && line.ends_with(&format!(" {count}")),
            "{line}"
        );
        assert!(!line.contains("response_code=") && line.contains("team=\"shop\""), "{line}");
        assert!(line.contains("source_app=\"shop\""), "{line}");
    }
    assert_eq!(metric("istio_request_bytes").await, Vec::<String>::new(), "it is off");
    assert_eq!(metric("istio_response_bytes_count").await.len(), 2, "it is on at this side, with its labels");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_apart_by_what_requests_say_where_the_mesh_wants_that() {
    let app = App::start("v1").await;
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let tags = "{path: {value: request.url_path}, who: {value: \"request.headers['x-who']\"}}";
    let telemetry = format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: a, namespace: shop}}\nspec: {{metrics: [{{overrides: [{{match: {{metric: REQUEST_COUNT}}, tagOverrides: {tags}}}]}}]}}\n"
    );
    let yaml = entry("orders", "10.1.0.1", "HTTP", &[(app.address, "a")]);
    activate_with(&proxy, "{}", &(yaml.clone() + &telemetry), vec![]);
    for path in ["/a?b=1", "/a?b=2", "/c"] {
        get(proxy.address(), "orders.example:9000", path).await;
    }
    let told: Vec<String> = samples(&proxy, "istio_requests_total").await;
    let told: Vec<&str> = told.iter().filter_map(|line| line.split_once(",path=")).map(|(_, rest)| rest).collect();
    assert_eq!(told, ["\"/a\",who=\"unknown\"} 2", "\"/c\",who=\"unknown\"} 1"]);
    assert_eq!(samples(&proxy, "istio_response_bytes_count").await.len(), 1, "only the one metric tells of it");
    activate_with(&proxy, "{}", &yaml, vec![]);
    let told = samples(&proxy, "istio_requests_total").await;
    assert!(told.len() == 1 && told[0].ends_with(" 3"), "taken back, and counted on: {told:?}");
}
