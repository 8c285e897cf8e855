//! One question: which workload, which connection, which request.

use std::net::IpAddr;

use taut_model::LabelSet;
use taut_snapshot::Text;
use taut_snapshot::decide::Request;

/// A workload, as far as it takes to say what its proxy does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyOf {
    /// Whether it is a gateway, rather than a sidecar.
    pub gateway: bool,
    /// Its namespace.
    pub namespace: Text,
    /// Its labels.
    pub labels: LabelSet,
    /// Its addresses; it may have any if there is none.
    pub addresses: Vec<Text>,
}

/// Which way a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the workload's application.
    Outbound,
    /// To the workload.
    Inbound,
    /// To the workload as a gateway.
    Gateway,
}

/// What the bytes of a connection are, within TLS if there is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// HTTP/1.1.
    Http,
    /// HTTP/2, which gRPC is as well.
    Http2,
    /// Anything else.
    Tcp,
}

/// Whether there is TLS around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is not.
    Plaintext,
    /// The application's own.
    Tls,
    /// The mesh's.
    Mesh,
}

/// The claims of a token that was found to be valid: a path of names, and the texts there.
pub type Claims = Vec<(Vec<Text>, Vec<Text>)>;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose proxy is asked.
    pub proxy: ProxyOf,
    /// Which way the connection goes.
    pub direction: Direction,
    /// The address that the client asked for.
    pub address: IpAddr,
    /// The address that the client has, if it matters.
    pub source: Option<IpAddr>,
    /// The port that it asked for.
    pub port: u16,
    /// What it sends.
    pub bytes: Bytes,
    /// Within what.
    pub tls: Tls,
    /// The server name that it asks for.
    pub server_name: Option<Text>,
    /// The application protocol that it offers, if not the usual one.
    pub alpn: Option<Text>,
    /// The client's SPIFFE id.
    pub peer: Option<Text>,
    /// The method.
    pub method: Text,
    /// The Host header; empty for bytes that are not HTTP.
    pub host: Text,
    /// The path with its query.
    pub path: Text,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The claims of its token, if it has a valid one.
    pub jwt: Option<Claims>,
}

impl Question {
    /// The question with what its token says among the headers, under the names that rules look for: no header can
    /// have them.
    pub(super) fn with_claims(mut self) -> Question {
        let Some(claims) = self.jwt.take() else { return self };
        let one = |name: &str| {
            let found = claims.iter().find(|(path, _)| matches!(path.as_slice(), [only] if only == name));
            found.and_then(|(_, texts)| texts.first())
        };
        if let (Some(issuer), Some(subject)) = (one("iss"), one("sub")) {
            self.headers.push(("@request.auth.principal".into(), format!("{issuer}/{subject}")));
        }
        if let Some(presenter) = one("azp") {
            self.headers.push(("@request.auth.presenter".into(), presenter.to_string()));
        }
        for (path, texts) in &claims {
            let place: String = path.iter().map(|name| format!("[{name}]")).collect();
            for text in texts {
                if place == "[aud]" {
                    self.headers.push(("@request.auth.audiences".into(), text.to_string()));
                }
                self.headers.push((format!("@request.auth.claims{place}"), text.to_string()));
            }
        }
        self
    }

    /// The application protocol that a client offers: what it says, or what its kind usually does.
    pub(super) fn offered(&self, mesh: bool) -> Option<&str> {
        if self.alpn.is_some() {
            return self.alpn.as_deref();
        }
        match (self.bytes, mesh) {
            (Bytes::Http, true) => Some("istio-http/1.1"),
            (Bytes::Http2, true) => Some("istio-h2"),
            (Bytes::Tcp, true) => Some("istio"),
            (Bytes::Http, false) => Some("http/1.1"),
            (Bytes::Http2, false) => Some("h2"),
            (Bytes::Tcp, false) => None,
        }
    }

    /// The path without the query, and the query.
    pub(super) fn split_path(&self) -> (&str, Option<&str>) {
        match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.path, None),
        }
    }

    /// The request as rules see it; `path` is normalised.
    pub(super) fn request<'q>(&'q self, path: &'q str) -> Request<'q> {
        Request {
            method: &self.method,
            scheme: if self.tls == Tls::Plaintext { "http" } else { "https" },
            authority: &self.host,
            path,
            query: self.split_path().1,
            headers: &self.headers,
        }
    }
}
