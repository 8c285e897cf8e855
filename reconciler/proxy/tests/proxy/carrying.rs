//! Bytes that are not HTTP, and connections that stop being it.

use hyper_util::rt::TokioIo;
use taut_proxy::Role;
use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Http1, get, mesh_tls, raw, read, request, send_http2};
use crate::fixture::*;
use crate::server::App;

/// A server that speaks first, and sends back what comes until the client has ended.
async fn greeter() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello ").await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    address
}

async fn talk(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> std::io::Result<String> {
    stream.write_all(b"world").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn bytes_case(mtls: MtlsMode, policies: Option<PolicySet>) -> Case {
    let mut case = Case::serving(mtls, policies);
    case.inbound[0].protocol = Protocol::Tcp;
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_carried_both_ways_and_each_side_is_told_of_the_others_end() {
    let issuer = Issuer::new();
    let server = Running::serving(greeter().await, &issuer);
    for mode in [MtlsMode::Disable, MtlsMode::Permissive] {
        server.activate(bytes_case(mode, None));
        assert_eq!(talk(TcpStream::connect(server.address()).await.unwrap()).await.unwrap(), "hello world");
    }
    server.activate(bytes_case(MtlsMode::Strict, Some(only(&["frontend"]))));
    let known = mesh_tls(server.address(), &issuer.identity("frontend"), &[]).await.unwrap();
    assert_eq!(talk(known).await.unwrap(), "hello world");
    let denied = mesh_tls(server.address(), &issuer.identity("other"), &[]).await.unwrap();
    assert_ne!(talk(denied).await.unwrap_or_default(), "hello world");
    let plain = TcpStream::connect(server.address()).await.unwrap();
    assert_ne!(talk(plain).await.unwrap_or_default(), "hello world");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_http_goes_to_the_one_service_of_its_port() {
    let issuer = Issuer::new();
    let server = Running::serving(greeter().await, &issuer);
    server.activate(bytes_case(MtlsMode::Strict, None));
    let client = Running::calling(&issuer);
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { protocol: Protocol::Tcp, tls: auto_mtls(&["orders"]), ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));
    assert_eq!(talk(TcpStream::connect(client.address()).await.unwrap()).await.unwrap(), "hello world");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_that_cannot_be_told_apart_keep_a_snapshot_out() {
    let client = Running::calling(&Issuer::new());
    let tcp = |host: &str| Cluster { protocol: Protocol::Tcp, host: host.into(), ..cluster("") };
    let mut case = Case::orders(&tcp("a.shop.svc.cluster.local"), vec![], Objects::default());
    let other = Case::orders(&tcp("b.shop.svc.cluster.local"), vec![], case.objects);
    (case.objects, case.services) = (other.objects, [case.services, other.services].concat());
    let refused = client.prepare(case).map(|_| ()).unwrap_err();
    assert!(
        refused.why.contains("port 8080 carries bytes to `a.shop.svc.cluster.local` as well as to `b."),
        "{}",
        refused.why
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_which_nobody_says_what_it_speaks_takes_both() {
    let app = App::start("v1").await;
    let issuer = Issuer::new();
    for (application, http) in [(app.address, true), (greeter().await, false)] {
        let server = Running::serving(application, &issuer);
        server.activate(Case::new("orders"));
        if http {
            assert_eq!(get(server.address(), "orders", "/").await.app(), "v1");
        } else {
            let stream = TcpStream::connect(server.address()).await.unwrap();
            assert_eq!(talk(stream).await.unwrap(), "hello world");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_pass_through_both_sidecars() {
    let issuer = Issuer::new();
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(MtlsMode::Strict, None));
    let client = Running::start("frontend", &[Role::Outbound { port: PORT }], issuer.identity("frontend"));
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { tls: auto_mtls(&["orders"]), ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));

    let mut http = Http1::connect(client.address()).await;
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    let response = http.send(request("GET", "orders", "/upgrade", &headers, "")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["upgrade"].to_str().unwrap()), (101, "echo"));
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    for text in ["ping", "pong"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_and_trailers_pass_both_ways_in_either_version() {
    let app = App::start("v1").await;
    for protocol in [Protocol::Http, Protocol::Http2] {
        let client = Running::calling(&Issuer::new());
        client.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
        let cluster = Cluster { protocol: protocol.clone(), ..cluster("") };
        client.activate(Case::orders(&cluster, vec![], Objects::default()));
        let text = "POST /echo HTTP/1.1\r\nhost: orders\r\nte: trailers\r\ntrailer: x-sum\r\nconnection: close\r\n\
                    transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 7\r\n\r\n";
        let answer = raw(client.address(), text).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("transfer-encoding: chunked"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let letters: String = body.lines().filter(|line| line.starts_with(['a', 'd'])).collect();
        assert_eq!(letters, "abcde", "{answer}");
        assert!(body.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{protocol:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_alone_has_a_length_and_no_body() {
    let app = App::start("v1").await;
    let client = Running::calling(&Issuer::new());
    client.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    client.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    let mut http = Http1::connect(client.address()).await;
    for _ in 0..3 {
        let response = http.send(request("HEAD", "orders", "/", &[], "")).await.unwrap();
        let length: u32 = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert!(0 < length);
        assert_eq!(read(response).await.unwrap().body, "");
        assert_eq!(http.get("orders", "/").await.unwrap().status, 200, "and the connection goes on");
    }
    let unknown = http.send(request("HEAD", "nobody.example", "/", &[], "")).await.unwrap();
    assert_eq!((unknown.status().as_u16(), read(unknown).await.unwrap().body.as_str()), (502, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_to_continue() {
    let app = App::start("v1").await;
    let client = Running::calling(&Issuer::new());
    client.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    client.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    let mut stream = TcpStream::connect(client.address()).await.unwrap();
    let head =
        "POST /echo HTTP/1.1\r\nhost: orders\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(told, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hi").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("hi"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_through_both_sidecars_in_http2_all_the_way() {
    let issuer = Issuer::new();
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &issuer);
    let mut serving = Case::serving(MtlsMode::Strict, None);
    serving.inbound[0].protocol = Protocol::Grpc;
    server.activate(serving);
    let client = Running::calling(&issuer);
    client.endpoints(vec![server.proxy.endpoint().borrow().clone().unwrap()]);
    let cluster = Cluster { tls: auto_mtls(&["orders"]), protocol: Protocol::Grpc, ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));
    let connect = || async { TcpStream::connect(client.address()).await.unwrap() };
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = send_http2(connect().await, "POST", "http://orders:8080/trailers", &headers, "ask").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "piece"));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let seen = send_http2(connect().await, "POST", "http://orders:8080/", &headers, "ask").await.body;
    assert!(seen.contains("HTTP/2.0") && seen.lines().any(|line| line == "te: trailers"), "{seen}");
    for proxy in [&client, &server] {
        let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
        assert!(
            metrics.contains(r#"request_protocol="grpc",response_code="200",grpc_response_status="0""#),
            "{metrics}"
        );
    }
}
