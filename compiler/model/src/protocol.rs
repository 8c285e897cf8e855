//! What a port speaks (semantics.md §2.1).

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Not said: found out from the bytes.
    Auto,
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC for browsers.
    GrpcWeb,
    /// HTTP with absolute addresses.
    HttpProxy,
    /// TLS around HTTP, opaque to the mesh.
    Https,
    /// TLS around anything, opaque to the mesh.
    Tls,
    /// Bytes.
    Tcp,
    /// Bytes with a name.
    Mongo,
    /// Bytes with a name.
    Redis,
    /// Bytes with a name.
    Mysql,
    /// Not carried at all.
    Udp,
}

impl Protocol {
    /// The protocol of a name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Protocol> {
        Some(match name.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "grpc" => Protocol::Grpc,
            "grpc-web" => Protocol::GrpcWeb,
            "http" => Protocol::Http,
            "http_proxy" => Protocol::HttpProxy,
            "http2" => Protocol::Http2,
            "https" => Protocol::Https,
            "tls" => Protocol::Tls,
            "mongo" => Protocol::Mongo,
            "redis" => Protocol::Redis,
            "mysql" => Protocol::Mysql,
            _ => return None,
        })
    }

    /// The protocol of a port of a Kubernetes Service.
    #[must_use]
    pub fn of_service_port(port: u16, name: &str, app_protocol: Option<&str>, transport: Option<&str>) -> Protocol {
        if transport == Some("UDP") {
            return Protocol::Udp;
        }
        if let Some(app) = app_protocol {
            // An unknown one hides the port's name: it is not a fallback.
            return match app {
                "kubernetes.io/h2c" => Protocol::Http2,
                "kubernetes.io/ws" => Protocol::Http,
                "kubernetes.io/wss" => Protocol::Https,
                other => Protocol::parse(other).unwrap_or(Protocol::Auto),
            };
        }
        let lower = name.to_ascii_lowercase();
        let named = if lower.starts_with("grpc-web") {
            Some(Protocol::GrpcWeb)
        } else {
            Protocol::parse(lower.split('-').next().unwrap_or_default())
        };
        match (named, port) {
            (Some(protocol), _) => protocol,
            // Servers that speak first: waiting for the client's bytes would hang.
            (None, 25 | 53 | 3306 | 27017) => Protocol::Tcp,
            (None, _) => Protocol::Auto,
        }
    }

    /// Whether its requests are looked at.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Http2 | Protocol::HttpProxy | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// Whether it is TLS of the application's own.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn ports_speak_what_their_name_says() {
        use Protocol::{Auto, Grpc, GrpcWeb, Http, Http2, Https, Mysql, Tcp, Udp};
        let table = [
            (80, "http", None, None, Http), (80, "http-foo", None, None, Http), (80, "httpfoo", None, None, Auto),
            (80, "HTTP2-x", None, None, Http2), (80, "grpc-web", None, None, GrpcWeb), (80, "grpc-web-x", None, None, GrpcWeb),
            (80, "grpc", None, None, Grpc), (3306, "", None, None, Tcp), (3306, "mysql", None, None, Mysql),
            (80, "http", Some("weird"), None, Auto), (80, "tcp", Some("kubernetes.io/h2c"), None, Http2),
            (443, "https", None, None, Https), (53, "dns", None, Some("UDP"), Udp), (80, "", None, Some("TCP"), Auto),
        ];
        for (port, name, app, transport, want) in table {
            assert_eq!(Protocol::of_service_port(port, name, app, transport), want, "{port} {name} {app:?}");
        }
    }
}
