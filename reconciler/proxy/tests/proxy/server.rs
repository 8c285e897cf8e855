//! Applications: real servers on free ports, which tell what they were asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

/// An application that answers with its name and what it was asked.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<AtomicU32>,
    pub(crate) connections: Arc<AtomicU32>,
    /// Requests for `/wait` are answered when this is notified.
    pub(crate) gate: Arc<Notify>,
    /// How many requests wait for it.
    pub(crate) waiting: Arc<AtomicU32>,
    /// The last request that was answered with what it was.
    seen: tokio::sync::watch::Sender<Option<Seen>>,
}

/// A request as an application got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl App {
    pub(crate) async fn start(name: &'static str) -> App {
        App::start_on(name, None).await
    }

    /// One that answers every request with a text.
    pub(crate) async fn serving_text(text: String) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = App::at(listener.local_addr().unwrap());
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (app, text) = (serving.clone(), text.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |_| {
                        app.asked.fetch_add(1, Ordering::SeqCst);
                        let response = Response::new(full(text.clone()));
                        async move { Ok::<_, Infallible>(response) }
                    });
                    drop(
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await,
                    );
                });
            }
        });
        app
    }

    fn at(address: SocketAddr) -> App {
        App {
            address,
            asked: Arc::default(),
            connections: Arc::default(),
            gate: Arc::default(),
            waiting: Arc::default(),
            seen: tokio::sync::watch::Sender::default(),
        }
    }

    /// One that ends TLS itself.
    pub(crate) async fn start_tls(name: &'static str, config: rustls::ServerConfig) -> App {
        App::start_on(name, Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_on(name: &'static str, tls: Option<tokio_rustls::TlsAcceptor>) -> App {
        App::listen(name, "127.0.0.1:0", tls).await
    }

    /// One at an address of a network of the test's own, where every port is free.
    pub(crate) async fn start_at(name: &'static str, address: &str) -> App {
        App::listen(name, address, None).await
    }

    async fn listen(name: &'static str, address: &str, tls: Option<tokio_rustls::TlsAcceptor>) -> App {
        let listener = TcpListener::bind(address).await.unwrap();
        let app = App::at(listener.local_addr().unwrap());
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (app, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(app.clone(), name, request));
                    let http = auto::Builder::new(TokioExecutor::new());
                    match tls {
                        None => drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        app
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The last request that it answered with what it was; waits for one.
    pub(crate) async fn seen_within(&self, limit: Duration) -> Seen {
        let mut seen = self.seen.subscribe();
        let first = tokio::time::timeout(limit, seen.wait_for(Option::is_some)).await.expect("nobody asked");
        first.unwrap().clone().unwrap()
    }

    /// Waits until as many requests wait at its gate.
    pub(crate) async fn until_waiting(&self, count: u32) {
        while self.waiting.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

async fn answer(app: App, name: &'static str, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    app.asked.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let mut response = Response::new(full(""));
    match parts.as_slice() {
        ["status", status] => {
            *response.status_mut() = status.parse().unwrap();
            // Once all of the request is there.
            let _ = request.into_body().collect().await;
        }
        // A status and a header.
        ["answer", status, name] => {
            *response.status_mut() = status.parse().unwrap();
            response
                .headers_mut()
                .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("true"));
        }
        // Fails as often as it is told, for each name of a test.
        ["fail-first", count] => {
            if app.asked() <= count.parse().unwrap() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            } else {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                *response.body_mut() = full(body);
            }
        }
        ["wait"] => {
            // Made before it is counted, so that whoever opens the gate then opens it for this one too.
            let opened = app.gate.notified();
            app.waiting.fetch_add(1, Ordering::SeqCst);
            opened.await;
            app.waiting.fetch_sub(1, Ordering::SeqCst);
            *response.body_mut() = full(name);
        }
        ["never"] => std::future::pending().await,
        ["grpc", status] => {
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            response.headers_mut().insert("grpc-status", HeaderValue::from_str(status).unwrap());
        }
        // What comes goes back, piece by piece, trailers included.
        ["echo"] => {
            response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
            *response.body_mut() = request.into_body().boxed();
        }
        // A call of gRPC: its status comes last.
        ["trailers"] => {
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
            let frames = [Frame::data(Bytes::from_static(b"piece")), Frame::trailers(trailers)];
            let stream = futures_util::stream::iter(frames.map(Ok));
            *response.body_mut() = BodyExt::boxed(StreamBody::new(stream));
        }
        // One piece at once, and one when the gate opens.
        ["stream"] => {
            let (pieces, mut waiting) = mpsc::channel::<&'static str>(1);
            tokio::spawn(async move {
                let _ = pieces.send("first").await;
                app.gate.notified().await;
                let _ = pieces.send("second").await;
            });
            let stream = futures_util::stream::poll_fn(move |cx| {
                waiting.poll_recv(cx).map(|piece| Some(Ok(Frame::data(Bytes::from_static(piece?.as_bytes())))))
            });
            *response.body_mut() = BodyExt::boxed(StreamBody::new(stream));
        }
        ["upgrade"] => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut io);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
            response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        }
        _ => {
            let uri = request.uri().clone();
            let mut text = format!("{name}\n{} {uri} {:?}\n", request.method(), request.version());
            let mut headers: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                .collect();
            headers.sort();
            text.push_str(&headers.join("\n"));
            let line = format!("{} {uri}", request.method());
            if let Ok(body) = request.into_body().collect().await {
                let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                app.seen.send_replace(Some(Seen { line, headers, body }));
            }
            *response.body_mut() = full(text);
        }
    }
    response.headers_mut().insert("x-app", HeaderValue::from_static(name));
    Ok(response)
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
