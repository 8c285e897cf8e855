//! Asking another service whether a request may pass, over real sockets: in gRPC and in HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use taut_proxy::Role;
use tokio::net::TcpListener;

use crate::client::{Answer, get, get_with};
use crate::connections::{activate_with, entry};
use crate::fixture::*;
use crate::server::App;

/// The messages of `envoy.service.auth.v3`, by their numbers, as this server reads and writes them.
#[derive(Clone, PartialEq, Message)]
struct Check {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<Asked>,
}

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(message, optional, tag = "2")]
    http: Option<Http>,
}

#[derive(Clone, PartialEq, Message)]
struct Http {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: std::collections::HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
}

#[derive(Clone, PartialEq, Message)]
struct Said {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    passed: Option<Passed>,
}

#[derive(Clone, PartialEq, Message)]
struct Code {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Option_>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Passed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Option_>,
    #[prost(string, repeated, tag = "5")]
    remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    downstream: Vec<Option_>,
}

#[derive(Clone, PartialEq, Message)]
struct Option_ {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn header(key: &str, value: &str) -> Option_ {
    Option_ { header: Some(Header { key: key.to_owned(), value: value.to_owned() }) }
}

/// Lets `alice` pass, and never answers about `slow`.
async fn check(request: Request<Incoming>) -> Response<Full<Bytes>> {
    assert_eq!(request.uri().path(), "/envoy.service.auth.v3.Authorization/Check");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked = Check::decode(&body[5..]).unwrap().attributes.unwrap().request.unwrap().http.unwrap();
    assert_eq!((asked.method.as_str(), asked.host.as_str()), ("GET", "orders"));
    let said = match asked.headers.get("x-user").map(String::as_str) {
        Some("alice") => Said {
            status: Some(Code { code: 0 }),
            passed: Some(Passed {
                headers: vec![header("x-who", &format!("alice of {}", asked.path))],
                remove: vec!["x-user".to_owned()],
                downstream: vec![header("x-seen-by", "asker")],
            }),
            denied: None,
        },
        Some("slow") => std::future::pending().await,
        _ => Said {
            status: Some(Code { code: 7 }),
            passed: None,
            denied: Some(Denied {
                status: Some(Code { code: 401 }),
                headers: vec![header("x-why", "nobody")],
                body: "who are you?".to_owned(),
            }),
        },
    };
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(said.encoded_len()).unwrap());
    said.encode(&mut body).unwrap();
    Response::builder().header("content-type", "application/grpc").body(Full::new(body.freeze())).unwrap()
}

async fn grpc_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request| async move {
                let trailers =
                    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
                let (head, body) = check(request).await.into_parts();
                let body = body.with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
                Ok::<_, Infallible>(Response::from_parts(head, body))
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Lets `alice` pass; `broken` breaks it.
async fn http_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let text = |name: &str| request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
                let about = format!("{}{}", text("host").unwrap(), request.uri().path());
                let response = Response::builder().header("x-why", "nobody").header("x-who", about);
                let response = match (text("x-user").as_deref(), text("x-hidden")) {
                    (_, Some(_)) => response.status(500),
                    (Some("alice"), _) => response.status(200),
                    (Some("broken"), _) => response.status(500),
                    _ => response.status(401),
                };
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(b"who are you?"))).unwrap())
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// The workload `orders`, about whose private pages somebody is asked.
fn guarded(app: &App, asker: (SocketAddr, &str), provider: &str) -> Running {
    let role = Role::Inbound { port: 7000, application: app.address };
    let proxy = Running::start("orders", &[role], Issuer::new().identity("orders"));
    let yaml = entry("authz", "10.1.0.1", asker.1, &[(asker.0, "a")])
        + "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  action: CUSTOM
  provider: {name: asker}
  rules: [{to: [{operation: {paths: [/private*]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: never, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  action: DENY
  rules: [{to: [{operation: {paths: [/private/never]}}]}]
";
    activate_with(&proxy, &format!("extensionProviders: [{{name: asker, {provider}}}]"), &yaml, vec![]);
    proxy
}

async fn ask(proxy: &Running, path: &str, user: &str) -> Answer {
    get_with(proxy.address(), "orders", path, &[("x-user", user), ("x-hidden", "1")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_in_grpc_and_its_word_counts() {
    let app = App::start("v1").await;
    let asker = grpc_server().await;
    let grpc = "envoyExtAuthzGrpc: {service: authz.example, port: 9000, timeout: 0.3s, statusOnError: \"503\"}";
    let proxy = guarded(&app, (asker, "GRPC"), grpc);
    let passed = ask(&proxy, "/private/a", "alice").await;
    assert_eq!((passed.status, passed.header("x-seen-by")), (200, Some("asker")));
    assert!(passed.body.contains("x-who: alice of /private/a") && !passed.body.contains("x-user"), "{}", passed.body);
    let refused = ask(&proxy, "/private/a", "bob").await;
    assert_eq!((refused.status, refused.header("x-why"), refused.body.as_str()), (401, Some("nobody"), "who are you?"));
    assert_eq!(ask(&proxy, "/private/a", "slow").await.status, 503, "there is a time for it");
    assert_eq!(ask(&proxy, "/private/never", "alice").await.status, 403, "other policies count as well");
    assert_eq!(ask(&proxy, "/open", "bob").await.status, 200, "nobody is asked about it");
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    for line in ["taut_consultations_total 4", "taut_consultation_failures_total 1", "response_flags=\"UAEX\""] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_answer_lets_nobody_in_unless_it_fails_open() {
    let app = App::start("v1").await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for (rest, status) in [("", 403), (", failOpen: true", 200)] {
        let grpc = format!("envoyExtAuthzGrpc: {{service: authz.example, port: 9000, timeout: 1s{rest}}}");
        let proxy = guarded(&app, (nobody, "GRPC"), &grpc);
        assert_eq!(ask(&proxy, "/private/a", "alice").await.status, status, "{rest}");
    }
    let unknown =
        guarded(&app, (nobody, "GRPC"), "envoyExtAuthzGrpc: {service: authz.example, port: 9001, failOpen: true}");
    assert_eq!(ask(&unknown, "/private/a", "alice").await.status, 403, "there is no such port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_in_http_and_sees_what_it_may() {
    let app = App::start("v1").await;
    let asker = http_server().await;
    let http = "envoyExtAuthzHttp: {service: authz.example, port: 9000, pathPrefix: /check, includeRequestHeadersInCheck: [x-u*], \
                headersToUpstreamOnAllow: [x-who], headersToDownstreamOnAllow: [x-who], headersToDownstreamOnDeny: [x-why]}";
    let proxy = guarded(&app, (asker, "HTTP"), http);
    let passed = ask(&proxy, "/private/a", "alice").await;
    assert_eq!((passed.status, passed.header("x-who")), (200, Some("orders/check/private/a")));
    assert!(passed.body.contains("x-who: orders/check/private/a"), "{}", passed.body);
    let refused = ask(&proxy, "/private/a", "bob").await;
    assert_eq!((refused.status, refused.header("x-why"), refused.header("x-who")), (401, Some("nobody"), None));
    assert_eq!(refused.body, "who are you?");
    assert_eq!(ask(&proxy, "/private/a", "broken").await.status, 403, "an error is no answer");
}
