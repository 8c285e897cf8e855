//! Traces, from the resources to collectors that others have written, or that take nothing but what Zipkin specifies.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;

use crate::client::{get, get_with};
use crate::connections::{activate_with, entry};
use crate::fixture::*;
use crate::server::{App, nobody};

/// A span, whatever form it came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    trace: String,
    id: String,
    parent: Option<String>,
    kind: &'static str,
    name: String,
    service: String,
    failed: bool,
    tags: BTreeMap<String, String>,
}

/// A collector of OTLP in gRPC, as OpenTelemetry's own messages and tonic have it.
struct Collector(UnboundedSender<Seen>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        tell(&self.0, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |it: KeyValue| match it.value.unwrap().value.unwrap() {
        Value::StringValue(text) => (it.key, text),
        other => panic!("{other:?}"),
    };
    attributes.into_iter().map(text).collect()
}

fn tell(to: &UnboundedSender<Seen>, request: ExportTraceServiceRequest) {
    for resource in request.resource_spans {
        let service = texts(resource.resource.unwrap().attributes)["service.name"].clone();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            let _ = to.send(Seen {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: Some(hex(&span.parent_span_id)).filter(|parent| !parent.is_empty()),
                kind: match span.kind {
                    2 => "SERVER",
                    3 => "CLIENT",
                    other => panic!("{other}"),
                },
                name: span.name,
                service: service.clone(),
                failed: span.status.is_some_and(|status| status.code == 2),
                tags: texts(span.attributes),
            });
        }
    }
}

/// Reads Zipkin's spans; panics at whatever its specification does not have.
fn read_zipkin(body: &[u8]) -> Vec<Seen> {
    let is_id = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let spans: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(body).unwrap();
    let seen = spans.into_iter().map(|span| {
        let known: BTreeSet<&str> =
            ["traceId", "id", "parentId", "kind", "name", "timestamp", "duration", "localEndpoint", "tags"].into();
        assert!(span.keys().all(|key| known.contains(key.as_str())), "{span:?}");
        let text = |key: &str| span[key].as_str().unwrap().to_owned();
        assert!(matches!(text("traceId").len(), 16 | 32) && is_id(&text("traceId")), "{span:?}");
        assert!(text("id").len() == 16 && is_id(&text("id")), "{span:?}");
        assert!(0 < span["timestamp"].as_u64().unwrap() && 0 < span["duration"].as_u64().unwrap(), "{span:?}");
        let endpoint = span["localEndpoint"].as_object().unwrap();
        assert_eq!(endpoint.len(), 1);
        let tags = span["tags"].as_object().unwrap().iter();
        let tags: BTreeMap<String, String> =
            tags.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        Seen {
            trace: text("traceId"),
            id: text("id"),
            parent: span.get("parentId").map(|parent| parent.as_str().unwrap().to_owned()),
            kind: if text("kind") == "SERVER" { "SERVER" } else { "CLIENT" },
            name: text("name"),
            service: endpoint["serviceName"].as_str().unwrap().to_owned(),
            failed: tags.get("error").is_some_and(|error| error == "true"),
            tags,
        }
    });
    seen.collect()
}

pub(crate) async fn grpc_collector() -> (SocketAddr, UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = unbounded_channel();
    let service = TraceServiceServer::new(Collector(told)).accept_compressed(CompressionEncoding::Gzip);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, heard)
}

async fn http_collector() -> (SocketAddr, UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    match (head.uri.path(), head.headers["content-type"].to_str().unwrap()) {
                        ("/v1/traces", "application/x-protobuf") => {
                            tell(&told, ExportTraceServiceRequest::decode(body).unwrap());
                        }
                        ("/api/v2/spans", "application/json") => {
                            read_zipkin(&body).into_iter().for_each(|span| drop(told.send(span)));
                        }
                        other => panic!("{other:?}"),
                    }
                    Ok::<_, Infallible>(Response::builder().status(202).body(Full::<Bytes>::default()).unwrap())
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, heard)
}

async fn next(heard: &mut UnboundedReceiver<Seen>) -> Seen {
    timeout(Duration::from_secs(20), heard.recv()).await.expect("nothing comes").unwrap()
}

/// A frontend that calls orders, both traced.
pub(crate) struct Traced {
    pub(crate) client: Running,
    server: Running,
    app: App,
}

impl Traced {
    pub(crate) async fn start(collector: SocketAddr, protocol: &str, provider: &str, telemetry: &str) -> Traced {
        let (issuer, app) = (Issuer::new(), App::start("v1").await);
        let server = Running::serving(app.address, &issuer);
        let client = Running::calling(&issuer);
        let config = format!(
            "extensionProviders:\n- name: collector\n  {provider}\ndefaultProviders: {{tracing: [collector]}}\n"
        );
        let yaml = format!(
            "{}apiVersion: v1
kind: Service
metadata: {{name: orders, namespace: shop}}
spec: {{selector: {{app: orders}}, ports: [{{name: http, port: 8080}}]}}
---
{telemetry}",
            entry("collector", "10.1.0.1", protocol, &[(collector, "a")]),
        );
        activate_with(&server, &config, &yaml, vec![]);
        let at = server.proxy.endpoint().borrow().clone().unwrap();
        activate_with(&client, &config, &yaml, vec![at]);
        Traced { client, server, app }
    }

    async fn counter(&self, name: &str) -> u64 {
        let metrics = get(self.client.admin(), "admin", "/metrics").await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }
}

pub(crate) const GRPC: &str = "opentelemetry: {service: shop/collector.example, port: 9000}";
pub(crate) const HTTP: &str = "opentelemetry: {service: shop/collector.example, port: 9000, http: {path: /v1/traces}}";
pub(crate) const ZIPKIN: &str = "zipkin: {service: shop/collector.example, port: 9000}";

/// How many percent are sampled, and whatever else is said.
pub(crate) fn telemetry(percent: f64, more: &str) -> String {
    format!(
        "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: traces, namespace: istio-system}}
spec:
  tracing:
  - randomSamplingPercentage: {percent}
    {more}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_tell_of_one_request_as_parent_and_child() {
    for (protocol, provider) in [("GRPC", GRPC), ("HTTP", HTTP), ("HTTP", ZIPKIN)] {
        let (address, mut heard) = if protocol == "GRPC" { grpc_collector().await } else { http_collector().await };
        one_request_is_parent_and_child(protocol, provider, address, &mut heard).await;
    }
}

/// What is heard of a request that two proxies have told a collector of.
pub(crate) async fn one_request_is_parent_and_child(
    protocol: &str,
    provider: &str,
    address: SocketAddr,
    heard: &mut UnboundedReceiver<Seen>,
) {
    let tags = "customTags: {env: {literal: {value: test}}, who: {header: {name: X-Who, defaultValue: nobody}}, \
                home: {environment: {name: TAUT_TEST_NEVER_SET, defaultValue: here}}}";
    let traced = Traced::start(address, protocol, provider, &telemetry(100.0, tags)).await;
    let answer = get_with(traced.client.address(), "orders:8080", "/a?b=c", &[("x-who", "me")]).await;
    assert_eq!(answer.app(), "v1", "{provider}");
    let (one, other) = (next(heard).await, next(heard).await);
    let (client, server) = if one.kind == "CLIENT" { (one, other) } else { (other, one) };
    assert_eq!((client.kind, server.kind), ("CLIENT", "SERVER"));
    assert_eq!((&client.parent, server.parent.as_ref()), (&None, Some(&client.id)), "{provider}");
    assert_eq!(client.trace, server.trace);
    // What the client asked for is the same everywhere, whatever is around it between the two.
    assert_eq!(client.tags["http.url"], "http://orders:8080/a?b=c");
    assert_eq!(server.tags["http.url"], client.tags["http.url"]);
    for (span, service, cluster) in [
        (&client, "frontend.shop", "outbound|8080||orders.shop.svc.cluster.local"),
        (&server, "orders.shop", "inbound|8080||"),
    ] {
        assert_eq!(
            (span.service.as_str(), span.name.as_str(), span.failed),
            (service, "orders.shop.svc.cluster.local:8080/*", false)
        );
        let tags: Vec<(&str, &str)> = vec![
            ("component", "proxy"),
            ("http.method", "GET"),
            ("http.protocol", "HTTP/1.1"),
            ("http.status_code", "200"),
            ("response_flags", "-"),
            ("upstream_cluster.name", cluster),
            ("istio.namespace", "shop"),
            ("istio.canonical_service", service.strip_suffix(".shop").unwrap()),
            ("istio.mesh_id", "cluster.local"),
            ("env", "test"),
            ("who", "me"),
            ("home", "here"),
            ("request_size", "0"),
        ];
        for (name, value) in tags {
            assert_eq!(span.tags.get(name).map(String::as_str), Some(value), "{provider} {name}");
        }
    }
    // The application is told of the server's span, so that what it asks for is below that.
    let body = answer.body;
    let header =
        |name: &str| body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
    if provider == ZIPKIN {
        assert_eq!(header("x-b3-traceid").as_deref(), Some(server.trace.as_str()));
        assert_eq!(header("x-b3-spanid").as_deref(), Some(server.id.as_str()));
        assert_eq!(header("x-b3-parentspanid").as_deref(), Some(client.id.as_str()));
        assert_eq!((header("x-b3-sampled").as_deref(), header("traceparent")), (Some("1"), None));
    } else {
        assert_eq!(header("traceparent"), Some(format!("00-{}-{}-01", server.trace, server.id)));
        assert_eq!(header("x-b3-traceid"), None);
    }
    assert_eq!(header("x-request-id").unwrap().as_bytes()[14], b'9', "the id says that it is sampled");
    assert_eq!(traced.app.asked(), 1);
    traced.client.proxy.drain().await;
    assert_eq!((traced.counter("taut_spans_total").await, traced.counter("taut_span_drops_total").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_decided_before_decides() {
    let (address, mut heard) = grpc_collector().await;
    let traced = Traced::start(address, "GRPC", GRPC, &telemetry(0.0, "enableIstioTags: false")).await;
    let ask =
        async |headers: &[(&str, &str)]| get_with(traced.client.address(), "orders:8080", "/", headers).await.body;
    let trace = "463ac35c9f6413ad48485a3953bb6124";
    for _ in 0..20 {
        assert!(ask(&[]).await.contains("-00\n"), "whoever comes behind is told that it is not sampled");
    }
    let unsampled = format!("00-{trace}-a2fb4a1d1a96d312-00");
    assert!(ask(&[("traceparent", &unsampled)]).await.contains(&unsampled), "and keeps what it sent");
    let sampled = format!("00-{trace}-a2fb4a1d1a96d312-01");
    assert!(ask(&[("traceparent", &sampled), ("tracestate", "a=b")]).await.contains("tracestate: a=b"));
    let (one, other) = (next(&mut heard).await, next(&mut heard).await);
    let (client, server) = if one.kind == "CLIENT" { (one, other) } else { (other, one) };
    assert_eq!((client.trace.as_str(), client.parent.as_deref()), (trace, Some("a2fb4a1d1a96d312")));
    assert_eq!((server.trace.as_str(), server.parent.as_deref()), (trace, Some(client.id.as_str())));
    assert_eq!(client.tags.get("istio.namespace"), None);
    traced.client.proxy.drain().await;
    traced.server.proxy.drain().await;
    assert!(heard.try_recv().is_err(), "nobody else was sampled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_is_not_to_tell_leaves_the_headers_as_they_are() {
    let (address, mut heard) = http_collector().await;
    let off = "match: {mode: CLIENT}\n    disableSpanReporting: true";
    let traced = Traced::start(
        address,
        "HTTP",
        ZIPKIN,
        &telemetry(100.0, off).replace("randomSamplingPercentage: 100", "customTags: {}"),
    )
    .await;
    let sent = [("x-b3-traceid", "48485a3953bb6124"), ("x-b3-spanid", "a2fb4a1d1a96d312"), ("x-b3-sampled", "1")];
    get_with(traced.client.address(), "orders:8080", "/", &sent).await;
    let server = next(&mut heard).await;
    assert_eq!((server.kind, server.trace.as_str()), ("SERVER", "48485a3953bb6124"));
    assert_eq!(server.parent.as_deref(), Some("a2fb4a1d1a96d312"), "the client's proxy is no part of the trace");
    traced.client.proxy.drain().await;
    assert!(heard.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_as_failed() {
    let (address, mut heard) = grpc_collector().await;
    let traced = Traced::start(address, "GRPC", GRPC, &telemetry(100.0, "match: {mode: CLIENT}")).await;
    get(traced.client.address(), "orders:8080", "/status/503").await;
    let seen = next(&mut heard).await;
    assert!(seen.failed);
    assert_eq!((seen.tags["http.status_code"].as_str(), seen.tags["error"].as_str()), ("503", "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_no_requests() {
    let traced =
        Traced::start(nobody().await, "GRPC", GRPC, &telemetry(100.0, "useRequestIdForTraceSampling: false")).await;
    for _ in 0..50 {
        assert_eq!(get(traced.client.address(), "orders:8080", "/").await.app(), "v1");
    }
    traced.client.proxy.drain().await;
    assert_eq!((traced.counter("taut_spans_total").await, traced.counter("taut_span_drops_total").await), (0, 50));
}
