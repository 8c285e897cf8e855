//! Keys that are fetched from their issuer, off the path of requests.
//!
//! Owns: when keys are fetched again.
//! Invariant: the last good keys stay until there are better ones. An issuer that is away takes nobody down.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use taut_snapshot::Text;
use taut_snapshot::object::{TokenKeys, TokenRule};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::Keys;
use crate::config::Refresh;
use crate::dns::Dns;
use crate::race;

/// The longest set of keys that is read.
const BYTES_MAX: usize = 1 << 20;

/// One set of keys to be fetched.
pub(crate) struct Fetch {
    keys: Weak<Keys>,
    from: From,
    limit: Duration,
}

enum From {
    Keys(Text),
    /// The address of the keys is at the issuer.
    Issuer(Text),
}

impl Fetch {
    /// What is to be fetched for a rule, if anything.
    pub(super) fn of(rule: &TokenRule, keys: &Arc<Keys>) -> Option<Fetch> {
        let from = match &rule.keys {
            TokenKeys::Inline(_) => return None,
            TokenKeys::Fetched(uri) => From::Keys(uri.clone()),
            TokenKeys::Discovered => From::Issuer(rule.issuer.clone()),
        };
        // One fetcher for each set of keys, however many snapshots use it.
        (Arc::weak_count(keys) == 0).then(|| Fetch {
            keys: Arc::downgrade(keys),
            from,
            limit: Duration::from_millis(rule.timeout_ms.max(1)),
        })
    }
}

/// Fetches keys for as long as somebody needs them. `first` is dropped after the first attempt.
pub(crate) fn keep_fetched(fetch: Fetch, refresh: Refresh, dns: &Arc<Dns>, runtime: &Handle, first: Sender<()>) {
    let dns = dns.clone();
    runtime.spawn(async move {
        let mut first = Some(first);
        loop {
            let fetched =
                timeout(fetch.limit, load(&dns, &fetch.from)).await.unwrap_or_else(|_| Err("it takes too long".into()));
            let Some(keys) = fetch.keys.upgrade() else { return };
            let result = fetched.and_then(|json| keys.replace(&json));
            drop(keys);
            first.take();
            match result {
                Ok(()) => sleep(refresh.keys).await,
                Err(why) => {
                    let from = match &fetch.from {
                        From::Keys(from) | From::Issuer(from) => from,
                    };
                    tracing::warn!(%from, %why, "keys of tokens cannot be fetched; the last ones stay");
                    sleep(refresh.keys_after_failure).await;
                }
            }
        }
    });
}

async fn load(dns: &Dns, from: &From) -> Result<Vec<u8>, String> {
    match from {
        From::Keys(uri) => get(dns, uri).await,
        From::Issuer(issuer) => {
            let known = get(dns, &format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
            let known: serde_json::Value = serde_json::from_slice(&known).map_err(|bad| format!("no JSON: {bad}"))?;
            get(dns, known.get("jwks_uri").and_then(|uri| uri.as_str()).ok_or("the issuer names no `jwks_uri`")?).await
        }
    }
}

async fn get(dns: &Dns, uri: &str) -> Result<Vec<u8>, String> {
    let uri: Uri = uri.parse().map_err(|bad| format!("`{uri}` is no address: {bad}"))?;
    let host = uri.host().ok_or("the address has no host")?.trim_matches(['[', ']']).to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let sentence = |error: io::Error| error.to_string();
    let stream = race::connect(dns, &host, port).await.map_err(sentence)?;
    if !secure {
        return ask(stream, &uri).await;
    }
    let config = crate::tls::system_client()?;
    let name = ServerName::try_from(host).map_err(|bad| bad.to_string())?;
    ask(TlsConnector::from(config).connect(name, stream).await.map_err(sentence)?, &uri).await
}

async fn ask(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, uri: &Uri) -> Result<Vec<u8>, String> {
    let sentence = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(sentence)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| "no path")?;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(|bad| bad.to_string())?);
    let response = sender.send_request(request).await.map_err(sentence)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await.map_err(|error| error.to_string());
    connection.abort();
    match status.is_success() {
        true => Ok(body?.to_bytes().to_vec()),
        false => Err(format!("the answer is {status}")),
    }
}
