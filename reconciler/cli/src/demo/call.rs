//! One HTTP request, as the demo's applications and its load make them.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longer than any timeout of the demo's mesh: whoever waits longer waits for ever.
const CALL_MAX: Duration = Duration::from_secs(15);

/// A client with a pool of connections, as any application has one.
pub(super) type Connections = Client<HttpConnector, Empty<Bytes>>;

/// What a request says beside its path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ask<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Whether it carries `x-canary: true`.
    pub(super) canary: bool,
}

pub(super) fn connections() -> Connections {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A GET through an address, to a host. Answers in sentences if there is no response.
pub(super) async fn get(
    connections: &Connections,
    through: SocketAddr,
    ask: Ask<'_>,
) -> Result<(StatusCode, String), String> {
    let mut request =
        Request::builder().method(Method::GET).uri(format!("http://{through}{}", ask.path)).header("host", ask.host);
    if ask.canary {
        request = request.header("x-canary", "true");
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let exchange = async {
        let response = connections.request(request).await.map_err(|error| words(&error))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| words(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    let waited = tokio::time::timeout(CALL_MAX, exchange).await;
    waited.unwrap_or_else(|_| Err(format!("no response in {CALL_MAX:?}")))
}

/// An error with what caused it: the outermost alone says little.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
