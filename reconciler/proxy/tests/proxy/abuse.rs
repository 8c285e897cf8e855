//! Clients and endpoints that behave badly: the others are served, and the counters say what happened.

use std::net::SocketAddr;
use std::time::Duration;

use taut_proxy::{Patience, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::{Cluster, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::{get, raw, send_http2};
use crate::fixture::*;
use crate::server::App;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://orders/` in HPACK.
const GET: &[u8] = b"\x82\x86\x84\x41\x06orders";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A proxy with an application.
async fn calling_with(config: taut_proxy::ProxyConfig) -> (Running, App) {
    let app = App::start("v1").await;
    let proxy = Running::start_with(config, Issuer::new().identity("frontend"));
    proxy.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    proxy.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    (proxy, app)
}

/// The same, and a client that has begun HTTP/2.
async fn attacked() -> (Running, App, TcpStream) {
    let (proxy, app) = calling_with(config("frontend", &[Role::Outbound { port: PORT }])).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    (proxy, app, client)
}

/// Sends until the proxy takes no more, or has had all of it.
async fn flood(client: &mut TcpStream, bytes: &[u8]) {
    // A proxy that has given up, or that reads no more, is what is hoped for.
    let _ = timeout(Duration::from_secs(2), client.write_all(bytes)).await;
}

/// The reason that the proxy gives for its goodbye; none if it closes without one.
async fn goodbye(client: &mut TcpStream) -> Option<u32> {
    let mut all = Vec::new();
    let _ = timeout(Duration::from_secs(20), client.read_to_end(&mut all)).await.expect("it was not closed");
    let mut rest = all.as_slice();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, after) = after.split_at_checked(length)?;
        if head[3] == GOAWAY && payload[4..8] != [0; 4] {
            return Some(u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]));
        }
        rest = after;
    }
    None
}

/// Others are served.
async fn others(proxy: &Running) {
    for _ in 0..5 {
        assert_eq!(get(proxy.address(), "orders", "/").await.app(), "v1");
    }
}

/// What a counter says, once it says anything.
async fn counted(proxy: &Running, name: &str) -> u64 {
    counted_to(proxy, name, 1).await
}

/// What a counter says, once it says as much as this.
async fn counted_to(proxy: &Running, name: &str, least: u64) -> u64 {
    let counted = async {
        loop {
            let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value = line.and_then(|value| value.parse().ok()).unwrap_or(0);
            if least <= value {
                return value;
            }
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap_or_else(|_| panic!("{name} stays below {least}"))
}

const CALM: Option<u32> = Some(0xb);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_back_what_it_asks_is_sent_away() {
    let (proxy, app, mut client) = attacked().await;
    let one = |number: u32| {
        let stream = number * 2 + 1;
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    flood(&mut client, &(0..20_000).flat_map(one).collect::<Vec<u8>>()).await;
    assert_eq!(goodbye(&mut client).await, CALM);
    others(&proxy).await;
    assert_eq!(counted(&proxy, "taut_flooding_clients_total").await, 1);
    assert!(app.asked() < 2_000, "most of it never got to the application: {}", app.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    let (proxy, _app, mut client) = attacked().await;
    let more = frame(CONTINUATION, 0, 1, &[b"\x00\x01a\x01b".as_slice(); 2_000].concat());
    let begin = frame(HEADERS, END_STREAM, 1, GET);
    flood(&mut client, &[begin, more.repeat(1_000)].concat()).await;
    assert_eq!(goodbye(&mut client).await, CALM);
    others(&proxy).await;
    assert_eq!(counted(&proxy, "taut_flooding_clients_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_and_never_reads_waits_alone() {
    for kind in [SETTINGS, PING] {
        let (proxy, _app, mut client) = attacked().await;
        let payload: &[u8] = if kind == PING { &[7; 8] } else { &[] };
        flood(&mut client, &frame(kind, 0, 0, payload).repeat(1_000_000)).await;
        others(&proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused() {
    let (proxy, app, _client) = attacked().await;
    let long = format!("GET / HTTP/1.1\r\nhost: orders\r\nx-long: {}\r\n\r\n", "a".repeat(200 << 10));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    others(&proxy).await;
    assert_eq!(app.asked(), 5, "it never got to the application");
    assert_eq!(counted(&proxy, "taut_broken_clients_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_headers_than_a_hundred_are_refused() {
    let (proxy, app, _client) = attacked().await;
    let lines = "a: b\r\n".repeat(101);
    let answer = raw(proxy.address(), &format!("GET / HTTP/1.1\r\nhost: orders\r\n{lines}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(counted(&proxy, "taut_broken_clients_total").await, 1);
    let names: Vec<(String, &str)> = (0..101).map(|index| (format!("x-{index}"), "1")).collect();
    let names: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(send_http2(stream, "GET", "http://orders/", &names, "").await.status, 431);
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(send_http2(stream, "GET", "http://orders/", &names[..90], "").await.status, 200, "fewer may be");
    assert_eq!(app.asked(), 1);
    assert_eq!(counted_to(&proxy, "taut_broken_clients_total", 2).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_of_headers_than_may_be_are_refused_in_http2_too() {
    let (proxy, app, _client) = attacked().await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let long = "a".repeat(70 << 10);
    assert_eq!(send_http2(stream, "GET", "http://orders/", &[("x-long", &long)], "").await.status, 431);
    others(&proxy).await;
    assert_eq!(app.asked(), 5, "it never got to the application");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_end_their_connection() {
    let table: [(&str, Vec<u8>); 9] = [
        ("longer than any frame may be", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0; 20_000])),
        ("data for no stream", frame(DATA, 0, 1, b"x")),
        ("data for the connection", frame(DATA, 0, 0, b"x")),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, GET)),
        ("headers that are no HPACK", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 16])),
        ("a stream of the server's", frame(HEADERS, END_STREAM | END_HEADERS, 2, GET)),
        ("a ping that is too short", frame(PING, 0, 0, &[7; 3])),
        ("settings that are cut off", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
    ];
    for (what, bytes) in table {
        let (proxy, app, mut client) = attacked().await;
        flood(&mut client, &bytes).await;
        assert!(goodbye(&mut client).await.is_some(), "{what}: it is told why");
        others(&proxy).await;
        assert_eq!(app.asked(), 5, "{what}");
        assert_eq!(counted(&proxy, "taut_broken_clients_total").await, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_and_reads_has_no_more_than_its_own_connection() {
    for kind in [SETTINGS, PING] {
        let (proxy, app, client) = attacked().await;
        let (mut reading, mut writing) = client.into_split();
        let payload: &[u8] = if kind == PING { &[7; 8] } else { &[] };
        let bytes = frame(kind, 0, 0, payload).repeat(10_000);
        let flooding = tokio::spawn(async move { while writing.write_all(&bytes).await.is_ok() {} });
        let reading = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        for _ in 0..4 {
            others(&proxy).await;
        }
        assert_eq!(app.asked(), 20);
        flooding.abort();
        reading.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_wait_alone_and_slow_heads_end() {
    let patience = Patience { head: Duration::from_millis(300), ..Patience::USUAL };
    let config = taut_proxy::ProxyConfig { patience, ..config("frontend", &[Role::Outbound { port: PORT }]) };
    let (proxy, app) = calling_with(config).await;
    let mut waiting = Vec::new();
    for text in ["GET / HT", "POST /echo HTTP/1.1\r\nhost: orders\r\ncontent-length: 1000\r\n\r\na"].repeat(100) {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    others(&proxy).await;
    for head in waiting.iter_mut().step_by(2) {
        let mut nothing = Vec::new();
        let _ = timeout(Duration::from_secs(20), head.read_to_end(&mut nothing)).await.expect("it is kept");
        assert!(!nothing.starts_with(b"HTTP/1.1 2"), "nobody was asked for it");
    }
    assert_eq!(counted_to(&proxy, "taut_slow_clients_total", 100).await, 100);
    // A body may take as long as its rule says: this one has no limit, and its request goes on.
    let body = waiting.get_mut(1).unwrap();
    body.write_all(&[b'a'; 999]).await.unwrap();
    let mut answer = [0; 15];
    body.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    assert_eq!(app.asked(), 105);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_end() {
    let patience = Patience { idle: Duration::from_millis(300), ..Patience::USUAL };
    let config = taut_proxy::ProxyConfig { patience, ..config("frontend", &[Role::Outbound { port: PORT }]) };
    let (proxy, _app) = calling_with(config).await;
    let begun = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    for text in ["", begun, "P"] {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut all))
            .await
            .unwrap_or_else(|_| panic!("it is kept after {text:?}"));
        assert_eq!(all.starts_with(b"HTTP/1.1 200"), text == begun, "after {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_no_more_while_it_waits_has_gone() {
    let kept = Kept::default();
    let log =
        taut_proxy::AccessLog { to: Box::new(kept.clone()), format: taut_proxy::LogFormat::Text, provenance: false };
    let config =
        taut_proxy::ProxyConfig { access_log: Some(log), ..config("frontend", &[Role::Outbound { port: PORT }]) };
    let (proxy, app) = calling_with(config).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    app.until_waiting(1).await;
    stream.shutdown().await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("it is kept");
    assert!(all.is_empty(), "as with Envoy, half a connection is none");
    others(&proxy).await;
    proxy.proxy.drain().await;
    assert!(kept.text().contains(" DC "), "{}", kept.text());
}

/// An endpoint that breaks off in the middle of every answer.
async fn breaker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun").await;
                let _ = stream.set_zero_linger();
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_no_whole_answer() {
    for protocol in [Protocol::Http, Protocol::Auto] {
        let proxy = Running::calling(&Issuer::new());
        proxy.endpoints(vec![endpoint("orders-1", "v1", breaker().await)]);
        proxy.activate(Case::orders(&Cluster { protocol, ..cluster("") }, vec![], Objects::default()));
        for _ in 0..3 {
            let text = "GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
            let answer = raw(proxy.address(), text).await;
            assert!(
                answer.contains("content-length: 1000") && answer.len() < 1_000,
                "it ends as it broke off: {answer}"
            );
        }
    }
}

/// What makes this process's child run as many descriptors as the system would have it.
const FEW: &str = "TAUT_TEST_FEW_DESCRIPTORS";

#[test]
fn a_proxy_that_has_no_descriptors_left_serves_whom_it_has() {
    if std::env::var_os(FEW).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = "abuse::a_proxy_that_has_no_descriptors_left_serves_whom_it_has";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -n 264 && exec \"$@\"", "sh"]).arg(program).args([name, "--exact"]).env(FEW, "1");
        let run = shell.output().unwrap();
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
        return;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(few_descriptors());
}

/// Of 264, a proxy gives 100 to connections from below.
async fn few_descriptors() {
    let (proxy, _app) = calling_with(config("frontend", &[Role::Outbound { port: PORT }])).await;
    let mut kept = crate::client::Http1::connect(proxy.address()).await;
    assert_eq!(kept.get("orders", "/").await.unwrap().app(), "v1");
    // This process has the other end of each as well, so that it runs out of descriptors before the proxy has given all.
    let mut idle = Vec::new();
    while let Ok(stream) = TcpStream::connect(proxy.address()).await {
        idle.push(stream);
    }
    assert!(100 < idle.len(), "{}", idle.len());
    assert_eq!(kept.get("orders", "/").await.unwrap().app(), "v1", "whoever was there first is served");
    drop(idle);
    // Once the others have gone, anybody is.
    others(&proxy).await;
    let metrics = get(proxy.admin(), "admin", "/metrics").await.body;
    let count =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap();
    assert!(0 < count("taut_accept_failures_total ") + count("taut_connections_over_limit_total "), "{metrics}");
}
