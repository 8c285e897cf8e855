//! Clients: real connections, over plaintext and TLS, in HTTP/1 and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use taut_identity::{Accepted, LiveIdentity};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The application that answered.
    pub(crate) fn app(&self) -> &str {
        self.header("x-app").unwrap_or("none")
    }
}

pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, trailers })
}

/// A request in the form of HTTP/1.
pub(crate) fn request(
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// A connection that is kept.
pub(crate) struct Http1(http1::SendRequest<Full<Bytes>>);

impl Http1 {
    pub(crate) async fn connect(address: SocketAddr) -> Http1 {
        Http1::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Http1 {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Http1(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> hyper::Result<Answer> {
        read(self.send(request("GET", host, path, &[], "")).await?).await
    }
}

pub(crate) async fn http2(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> http2::SendRequest<Full<Bytes>> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One request over a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut http = Http1::connect(address).await;
    read(http.send(request(method, host, path, headers, body)).await.unwrap()).await.unwrap()
}

pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    send(address, "GET", host, path, &[], "").await
}

pub(crate) async fn get_with(address: SocketAddr, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, "GET", host, path, headers, "").await
}

/// One request in HTTP/2.
pub(crate) async fn send_http2(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut sender = http2(io).await;
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    read(sender.send_request(request).await.unwrap()).await.unwrap()
}

/// Bytes sent as they are; what comes back until the other end closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection in the mesh's mTLS.
pub(crate) async fn mesh_tls(
    address: SocketAddr,
    identity: &LiveIdentity,
    protocol: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    mesh_tls_to(address, "orders", identity, protocol).await
}

/// The same, for a server of this name.
pub(crate) async fn mesh_tls_to(
    address: SocketAddr,
    server_name: &str,
    identity: &LiveIdentity,
    protocol: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = taut_identity::client_config(identity, Accepted::TrustDomain, protocol);
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from(server_name.to_owned()).unwrap(), stream).await
}

/// A connection to a gateway, by one who trusts this certificate alone.
pub(crate) async fn web_tls(
    address: SocketAddr,
    server_name: &str,
    trusted_pem: &str,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(trusted_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Waits until nobody listens at an address.
pub(crate) async fn until_refused(address: SocketAddr) {
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("somebody listens there still");
}
