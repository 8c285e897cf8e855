//! Messages of which two readers could think otherwise where they end: whoever comes behind such a client is not harmed.

use std::net::SocketAddr;
use std::time::Duration;

use taut_snapshot::Objects;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::{Http1, get, raw};
use crate::fixture::*;
use crate::server::App;

async fn calling(to: SocketAddr) -> Running {
    let proxy = Running::calling(&Issuer::new());
    proxy.endpoints(vec![endpoint("orders-1", "v1", to)]);
    proxy.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    proxy
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip] // a table is read by its columns
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let table = [
        ("two lengths",                 "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello1"),
        ("two lengths in one",          "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 5, 6\r\n\r\nhello1"),
        ("a length with a sign",        "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: +5\r\n\r\nhello"),
        ("a length that is too long",   "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 99999999999999999999\r\n\r\n"),
        ("a length that is none",       "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 0x5\r\n\r\nhello"),
        ("chunked, but not at last",    "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("an unknown coding",           "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("chunks before HTTP/1.1",      "POST / HTTP/1.0\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a space before the colon",    "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a line that is folded",       "GET / HTTP/1.1\r\nhost: orders\r\nx-a: b\r\n content-length: 5\r\n\r\n"),
        ("a name that begins a line",   "GET / HTTP/1.1\r\n host: orders\r\n\r\n"),
        ("a bare CR in a value",        "GET / HTTP/1.1\r\nhost: orders\r\nx-a: b\rtransfer-encoding: chunked\r\n\r\n"),
        ("a NUL in a value",            "GET / HTTP/1.1\r\nhost: orders\r\nx-a: b\0c\r\n\r\n"),
        ("a NUL in a name",             "GET / HTTP/1.1\r\nhost: orders\r\nx\0a: b\r\n\r\n"),
        ("a header without a colon",    "GET / HTTP/1.1\r\nhost: orders\r\nx-a\r\n\r\n"),
        ("two hosts",                   "GET / HTTP/1.1\r\nhost: orders\r\nhost: admin\r\nconnection: close\r\n\r\n"),
        ("no host",                     "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        ("a space in the path",         "GET /a HTTP/1.1 HTTP/1.1\r\nhost: orders\r\n\r\n"),
        ("another version",             "GET / HTTP/9.9\r\nhost: orders\r\n\r\n"),
    ];
    let app = App::start("v1").await;
    let proxy = calling(app.address).await;
    for (what, text) in table {
        let answer = timeout(Duration::from_secs(20), raw(proxy.address(), text)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: it is kept"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{what}: {answer}");
    }
    assert_eq!(app.asked(), 0, "none of it got to the application");
    assert_eq!(get(proxy.address(), "orders", "/").await.app(), "v1");
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip] // a table is read by its columns
async fn chunks_that_are_none_end_their_request() {
    let table = [
        ("a size that is too long",  "FFFFFFFFFFFFFFFFF\r\nhello"),
        ("a size that is none",      "5g\r\nhello\r\n0\r\n\r\n"),
        ("a sign",                   "-5\r\nhello\r\n0\r\n\r\n"),
        ("a bare CR behind a size",  "5\rhello\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        ("more than was said",       "5\r\nhello!\r\n0\r\n\r\n"),
        ("an extension without end", &"5;a".repeat(20_000)),
        ("trailers without end",     &format!("0\r\n{}", "a: b\r\n".repeat(20_000))),
    ];
    let app = App::start("v1").await;
    let proxy = calling(app.address).await;
    for (what, chunks) in table {
        let text = format!("POST /status/200 HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n{chunks}GET /status/204 HTTP/1.1\r\nhost: orders\r\n\r\n");
        let answer = timeout(Duration::from_secs(20), raw(proxy.address(), &text)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: it is kept"));
        assert!(!answer.contains("HTTP/1.1 204"), "{what}: what is behind it is no request: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: {answer}");
        assert_eq!(get(proxy.address(), "orders", "/").await.app(), "v1", "{what}");
    }
}

/// An endpoint that answers every request with these bytes, and keeps the connection; and what it was sent.
async fn answering(bytes: &'static [u8]) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut all).await {
                    let text = String::from_utf8_lossy(&all).into_owned();
                    if text.ends_with("\r\n\r\n") {
                        let _ = told.send(text);
                        all.clear();
                        let _ = stream.write_all(bytes).await;
                    }
                }
            });
        }
    });
    (address, heard)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_with_one_length_of_its_own() {
    for text in [
        "POST /a HTTP/1.1\r\nhost: orders\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\nhost: orders\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let (address, mut heard) = answering(OK).await;
        let proxy = calling(address).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let sent = heard.recv().await.unwrap();
        let sent = sent.to_ascii_lowercase();
        assert!(sent.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{sent}");
        assert_eq!(
            (sent.matches("content-length").count(), sent.matches("transfer-encoding").count()),
            (0, 1),
            "{sent}"
        );
        assert_eq!(sent.matches("http/1.1").count(), 1, "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip] // a table is read by its columns
async fn an_answer_that_could_be_read_in_two_ways_is_none() {
    let table: [(&str, &'static [u8]); 6] = [
        ("two lengths",              b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!"),
        ("a length that is none",    b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok"),
        ("a line that is folded",    b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok"),
        ("a space before the colon", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok"),
        ("a bare CR in a value",     b"HTTP/1.1 200 OK\r\nx-a: b\rcontent-length: 2\r\n\r\nok"),
        ("no HTTP",                  b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    ];
    for (what, bytes) in table {
        let (address, _heard) = answering(bytes).await;
        let proxy = calling(address).await;
        for _ in 0..2 {
            let answer = timeout(Duration::from_secs(20), get(proxy.address(), "orders", "/")).await;
            assert_eq!(answer.unwrap_or_else(|_| panic!("{what}: it hangs")).status, 503, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let twice = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let (address, _heard) = answering(twice).await;
    let proxy = calling(address).await;
    let mut client = Http1::connect(proxy.address()).await;
    for _ in 0..50 {
        assert_eq!(client.get("orders", "/").await.unwrap().body, "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_says_in_advance_is_no_answer() {
    let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (address, _heard) = answering(hints).await;
    let proxy = calling(address).await;
    let mut client = Http1::connect(proxy.address()).await;
    for _ in 0..3 {
        let answer = client.get("orders", "/").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str(), answer.header("link")), (200, "ok", None));
    }
}
