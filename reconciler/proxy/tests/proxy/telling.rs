//! Services that are told of requests and connections: in Envoy's own protocol, and in OTLP.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use taut_proxy::Role;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::client::{get, get_with};
use crate::connections::{activate_with, entry, talk, teller};
use crate::fixture::*;
use crate::server::{App, nobody};

const STREAM: &str = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

/// What a service is sent, with the numbers of `envoy.service.accesslog.v3` and `envoy.data.accesslog.v3`.
#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(message, optional, tag = "1")]
    identifier: Option<Identifier>,
    #[prost(message, optional, tag = "2")]
    http: Option<HttpLogs>,
    #[prost(message, optional, tag = "3")]
    tcp: Option<TcpLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Identifier {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    log_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpLogs {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<HttpEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct TcpLogs {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<TcpEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpEntry {
    #[prost(message, optional, tag = "1")]
    common: Option<Common>,
    #[prost(int32, tag = "2")]
    version: i32,
    #[prost(message, optional, tag = "3")]
    request: Option<RequestProperties>,
    #[prost(message, optional, tag = "4")]
    response: Option<ResponseProperties>,
}

#[derive(Clone, PartialEq, Message)]
struct TcpEntry {
    #[prost(message, optional, tag = "1")]
    common: Option<Common>,
    #[prost(message, optional, tag = "2")]
    bytes: Option<TcpBytes>,
}

#[derive(Clone, PartialEq, Message)]
struct TcpBytes {
    #[prost(uint64, tag = "1")]
    received: u64,
    #[prost(uint64, tag = "2")]
    sent: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Common {
    #[prost(message, optional, tag = "2")]
    remote: Option<Address>,
    #[prost(message, optional, tag = "5")]
    start: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "13")]
    upstream: Option<Address>,
    #[prost(string, tag = "15")]
    cluster: String,
    #[prost(message, optional, tag = "16")]
    flags: Option<ResponseFlags>,
    #[prost(string, tag = "19")]
    route: String,
    #[prost(message, optional, tag = "23")]
    duration: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket: Option<Socket>,
}

#[derive(Clone, PartialEq, Message)]
struct Socket {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseFlags {
    #[prost(bool, tag = "2")]
    no_healthy_upstream: bool,
    #[prost(bool, tag = "6")]
    upstream_connection_failure: bool,
    #[prost(bool, tag = "16")]
    upstream_retry_limit_exceeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RequestProperties {
    #[prost(int32, tag = "1")]
    method: i32,
    #[prost(string, tag = "3")]
    authority: String,
    #[prost(string, tag = "5")]
    path: String,
    #[prost(string, tag = "6")]
    user_agent: String,
    #[prost(map = "string, string", tag = "13")]
    headers: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseProperties {
    #[prost(message, optional, tag = "1")]
    code: Option<u32>,
    #[prost(uint64, tag = "3")]
    body_bytes: u64,
    #[prost(map = "string, string", tag = "4")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "6")]
    details: String,
}

/// A service of gRPC that hears everything: the method, and each message.
async fn service() -> (SocketAddr, UnboundedReceiver<(String, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move {
                    let method = request.uri().path().to_owned();
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    let mut body = request.into_body().collect().await.unwrap().to_bytes();
                    while !body.is_empty() {
                        let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
                        let message = body.split_to(5 + length).slice(5..);
                        told.send((method.clone(), message)).unwrap();
                    }
                    let response =
                        Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::new())).unwrap())
                }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, heard)
}

async fn next<M: Message + Default>(heard: &mut UnboundedReceiver<(String, Bytes)>, method: &str) -> M {
    let (called, message) = timeout(Duration::from_secs(20), heard.recv()).await.expect("it is told").unwrap();
    assert_eq!(called, method);
    M::decode(message).unwrap()
}

/// A sidecar of a mesh with one provider at this address, whose application asks `orders`; and with some logging.
fn telling(provider: &str, at: SocketAddr, protocol: &str, orders: SocketAddr, logging: &str) -> Running {
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let config = format!("extensionProviders:\n- name: teller\n  {provider}\n");
    let telemetry = format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: logs, namespace: istio-system}}\nspec:\n  accessLogging:\n{logging}"
    );
    // Whoever is told listens on another port, so that what is asked for by port is orders.
    let service = entry("collector", "10.1.0.9", "GRPC", &[(at, "a")]).replace("number: 9000", "number: 4317");
    let yaml = entry("orders", "10.1.0.1", protocol, &[(orders, "a")]) + &service + &telemetry;
    activate_with(&proxy, &config, &yaml, vec![]);
    proxy
}

const USUAL: &str = "  - providers: [{name: teller}]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_envoys_protocol_is_told_of_requests() {
    let (at, mut heard) = service().await;
    let app = App::start("v1").await;
    let provider = "envoyHttpAls: {service: shop/collector.example, port: 4317, additionalRequestHeadersToLog: [X-Who, x-none], \
                    additionalResponseHeadersToLog: [X-App]}";
    let logging = "  - providers: [{name: teller}]\n    filter: {expression: response.code >= 400}\n";
    let proxy = telling(provider, at, "HTTP", app.address, logging);
    get(proxy.address(), "orders.example:9000", "/not-told").await;
    let headers = [("x-who", "you"), ("user-agent", "me")];
    assert_eq!(get_with(proxy.address(), "orders.example:9000", "/status/404", &headers).await.status, 404);
    let Stream { identifier, http, tcp } = next(&mut heard, STREAM).await;
    let identifier = identifier.unwrap();
    assert_eq!((identifier.log_name.as_str(), tcp), ("http_envoy_accesslog", None));
    let node = identifier.node.unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("frontend-1", "frontend.shop"));
    let entries = http.unwrap().entries;
    let [HttpEntry { common, version, request, response }] = entries.as_slice() else { panic!("{entries:?}") };
    let (common, request, response) = (common.as_ref().unwrap(), request.as_ref().unwrap(), response.as_ref().unwrap());
    let own = |name: &str, value: &str| HashMap::from([(name.to_owned(), value.to_owned())]);
    assert_eq!((*version, request.method, request.path.as_str()), (2, 1, "/status/404"));
    assert_eq!((request.authority.as_str(), request.user_agent.as_str()), ("orders.example:9000", "me"));
    assert_eq!((&request.headers, &response.headers), (&own("x-who", "you"), &own("x-app", "v1")));
    assert_eq!((response.code, response.details.as_str()), (Some(404), "via_upstream"));
    assert_eq!((common.cluster.as_str(), common.route.as_str()), ("outbound|9000||orders.example", "default"));
    let upstream = common.upstream.as_ref().unwrap().socket.as_ref().unwrap();
    assert_eq!((upstream.address.as_str(), upstream.port), ("127.0.0.1", u32::from(app.address.port())));
    assert_eq!(common.remote.as_ref().unwrap().socket.as_ref().unwrap().address, "127.0.0.1");
    assert!(common.start.is_some() && common.duration.is_some() && common.flags.is_none());

    // What became of a request that got nowhere; and a name of one's own.
    let provider = "envoyHttpAls: {service: shop/collector.example, port: 4317, logName: mine}";
    let proxy = telling(provider, at, "HTTP", nobody().await, USUAL);
    get(proxy.address(), "orders.example:9000", "/").await;
    let stream: Stream = next(&mut heard, STREAM).await;
    assert_eq!(stream.identifier.unwrap().log_name, "mine");
    let failed = &stream.http.unwrap().entries[0];
    let flags = failed.common.as_ref().unwrap().flags.as_ref().unwrap();
    assert!(flags.upstream_connection_failure && flags.upstream_retry_limit_exceeded && !flags.no_healthy_upstream);
    assert_eq!(failed.response.as_ref().unwrap().code, Some(503));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_envoys_protocol_is_told_of_connections() {
    let (at, mut heard) = service().await;
    let provider = "envoyTcpAls: {service: shop/collector.example, port: 4317}";
    let app = App::start("v1").await;
    let http = telling(provider, at, "HTTP", app.address, USUAL);
    assert_eq!(get(http.address(), "orders.example:9000", "/").await.status, 200);
    http.proxy.drain().await;
    let proxy = telling(provider, at, "TCP", teller("one").await, USUAL);
    assert_eq!(talk(proxy.address()).await, "one:hi");
    let Stream { identifier, http, tcp } = next(&mut heard, STREAM).await;
    assert_eq!((identifier.unwrap().log_name.as_str(), http), ("tcp_envoy_accesslog", None), "of connections alone");
    let entries = tcp.unwrap().entries;
    let [TcpEntry { common: Some(common), bytes: Some(bytes) }] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((bytes.received, bytes.sent), (2, 6));
    assert_eq!(common.cluster, "outbound|9000||orders.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_opentelemetry_is_told_what_the_mesh_says() {
    let (at, mut heard) = service().await;
    let app = App::start("v1").await;
    let provider = "envoyOtelAls: {service: shop/collector.example, port: 4317, logFormat: {text: '%REQ(:METHOD)% \"%REQ(X-WHO)%\" %REQ(X-NONE)%', \
                    labels: {code: '%RESPONSE_CODE%', both: '%PROTOCOL%/%ROUTE_NAME%'}}}";
    let proxy = telling(provider, at, "HTTP", app.address, USUAL);
    get_with(proxy.address(), "orders.example:9000", "/", &[("x-who", "\"you\"")]).await;
    let export = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let request: ExportLogsServiceRequest = next(&mut heard, export).await;
    let [logs] = request.resource_logs.as_slice() else { panic!("{request:?}") };
    let text =
        |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.as_ref().unwrap().value.as_ref()
        {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
    let of: HashMap<String, String> =
        logs.resource.as_ref().unwrap().attributes.iter().map(|it| (it.key.clone(), text(&it.value))).collect();
    for (name, value) in
        [("log_name", "otel_envoy_accesslog"), ("node_name", "frontend-1"), ("cluster_name", "frontend.shop")]
    {
        assert_eq!(of[name], value);
    }
    let [record] = logs.scope_logs[0].log_records.as_slice() else { panic!("{logs:?}") };
    assert_eq!(text(&record.body), "GET \"\"you\"\" -", "nothing of it is written as in a file");
    let attributes: Vec<(&str, String)> =
        record.attributes.iter().map(|it| (it.key.as_str(), text(&it.value))).collect();
    assert_eq!(attributes, [("both", "HTTP/1.1/default".to_owned()), ("code", "200".to_owned())]);
    assert_ne!(record.time_unix_nano, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_dropped_and_counted_and_no_request_waits() {
    let app = App::start("v1").await;
    let provider = "envoyHttpAls: {service: shop/collector.example, port: 4317}";
    let proxy = telling(provider, nobody().await, "HTTP", app.address, USUAL);
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "orders.example:9000", "/").await.status, 200);
    }
    let dropped = async {
        while !get(proxy.admin(), "admin", "/metrics").await.body.contains("taut_logs_told_drops_total 20") {}
    };
    timeout(Duration::from_secs(20), dropped).await.expect("they are dropped");
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains("taut_logs_told_total 0"), "{metrics}");
}
