//! Any bytes as a question about a mesh.

use std::net::{IpAddr, Ipv4Addr};

use taut_compile::Options;
use taut_compile::explain::{Bytes, Direction, ProxyOf, Question, Tls, explain, labels};
use taut_snapshot::Text;
use taut_source::{SourceFile, SourceSet};

/// A mesh with every way to look at a request.
const MESH: &str = "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  http:
  - match:
    - uri: {prefix: /api}
      headers: {x-canary: {regex: '[a-z]+\\d*'}}
      queryParams: {q: {exact: '1'}}
    rewrite: {uriRegexRewrite: {match: '/api/(.*)', rewrite: '/\\1'}}
    route: [{destination: {host: orders}}]
  - match: [{uri: {regex: '/(a|b)*c'}, ignoreUriCase: false}]
    redirect: {uri: /d, authority: e}
  - route: [{destination: {host: orders}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
  - to: [{operation: {paths: ['/api/*', '*/b', '/t/{*}/{**}'], methods: [GET], hosts: ['*.shop']}}]
    when: [{key: 'request.headers[x-a]', values: ['a*']}]
";

/// Whatever is asked, there is an answer. The lines of the input are method, host, path and headers.
///
/// # Panics
/// If there is none.
pub fn requests(bytes: &[u8]) {
    let Some((bits, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut lines = text.split('\n');
    let mut line = || Text::from(lines.next().unwrap_or_default());
    let (method, host, path) = (line(), line(), line());
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.into()));
    let of = |number: u8| bits >> number & 1 == 1;
    let direction = if of(0) { Direction::Outbound } else { Direction::Inbound };
    let question = Question {
        proxy: ProxyOf {
            gateway: false,
            namespace: "shop".into(),
            labels: labels([("app".into(), "orders".into())]),
            addresses: Vec::new(),
        },
        direction,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, bits >> 4)),
        source: None,
        port: 8080,
        bytes: if of(1) { Bytes::Http } else { Bytes::Http2 },
        tls: if of(2) { Tls::Plaintext } else { Tls::Mesh },
        server_name: None,
        alpn: None,
        peer: of(3).then(|| host.clone()),
        method,
        host,
        path,
        headers: headers.collect(),
        jwt: None,
    };
    let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", MESH.as_bytes())]);
    assert_eq!(explain(&sources, &Options::default(), &[question]).len(), 1);
}
