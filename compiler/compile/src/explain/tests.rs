//! What becomes of requests in small meshes, as tables.

use taut_source::{SourceFile, SourceSet};

use super::*;

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: http, port: 80}, {name: tcp-db, port: 5432}, {name: tls-x, port: 8443}, {name: auto, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: bank}
spec:
  clusterIP: 10.0.0.2
  ports: [{name: http, port: 80}]
---
";

fn question(port: u16, host: &str) -> Question {
    Question {
        proxy: ProxyOf {
            gateway: false,
            namespace: "shop".into(),
            labels: labels([("app".into(), "web".into())]),
            addresses: vec!["10.1.0.1".into()],
        },
        direction: Direction::Outbound,
        address: [1, 2, 3, 4].into(),
        source: None,
        port,
        bytes: Bytes::Http,
        tls: Tls::Plaintext,
        server_name: None,
        alpn: None,
        peer: None,
        method: "GET".into(),
        host: host.into(),
        path: "/".into(),
        headers: vec![],
        jwt: None,
    }
}

fn tcp(address: [u8; 4], port: u16) -> Question {
    Question { bytes: Bytes::Tcp, address: address.into(), ..question(port, "") }
}

fn tls(port: u16, name: &str) -> Question {
    Question { tls: Tls::Tls, server_name: Some(name.into()), ..tcp([10, 0, 0, 1], port) }
}

fn inbound(port: u16, bytes: Bytes, tls: Tls) -> Question {
    Question { direction: Direction::Inbound, bytes, tls, ..question(port, "orders") }
}

/// The word of the fault, or the cluster, or the virtual host of what is answered here.
fn outcome(mesh: &str, question: Question) -> String {
    let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", format!("{SERVICES}{mesh}").as_bytes())]);
    let answer = explain(&sources, &Options::default(), &[question]).remove(0);
    assert_eq!(answer.impossible, None);
    match (answer.fault, answer.cluster, answer.virtual_host) {
        (Some(fault), ..) => fault.word().to_owned(),
        (None, Some(cluster), _) => cluster,
        (None, None, host) => host.unwrap_or_default(),
    }
}

fn check(mesh: &str, table: Vec<(Question, &str)>) {
    for (at, (question, want)) in table.into_iter().enumerate() {
        assert_eq!(outcome(mesh, question), want, "row {at}");
    }
}

#[test]
fn a_connection_is_for_whoever_has_its_address_and_a_request_for_whoever_has_its_host() {
    check(
        "",
        vec![
            (question(80, "orders"), "outbound|80||orders.shop.svc.cluster.local"),
            (question(80, "orders.shop"), "outbound|80||orders.shop.svc.cluster.local"),
            (question(80, "payments"), "PassthroughCluster"),
            (question(80, "payments.bank:80"), "outbound|80||payments.bank.svc.cluster.local"),
            (question(81, "orders"), "PassthroughCluster"),
            (tcp([10, 0, 0, 1], 5432), "outbound|5432||orders.shop.svc.cluster.local"),
            (tcp([10, 0, 0, 9], 5432), "PassthroughCluster"),
            (tcp([10, 0, 0, 1], 80), "PassthroughCluster"),
            (tls(8443, "anything"), "outbound|8443||orders.shop.svc.cluster.local"),
            (
                Question { address: [10, 0, 0, 1].into(), ..question(9000, "whatever") },
                "outbound|9000||orders.shop.svc.cluster.local",
            ),
            (tcp([10, 0, 0, 1], 9000), "outbound|9000||orders.shop.svc.cluster.local"),
            (tcp([1, 2, 3, 4], 15001), "BlackHoleCluster"),
        ],
    );
}

#[test]
fn a_sidecar_says_what_a_workload_knows() {
    let mesh = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  ingress:
  - port: {number: 9080, protocol: HTTP, name: http}
    defaultEndpoint: 127.0.0.1:9080
  egress:
  - hosts: ['bank/*']
";
    check(
        mesh,
        vec![
            (question(80, "orders"), "block_all"),
            (question(80, "payments.bank"), "outbound|80||payments.bank.svc.cluster.local"),
            (tcp([10, 0, 0, 1], 5432), "BlackHoleCluster"),
            (inbound(9080, Bytes::Http, Tls::Plaintext), "inbound|9080||"),
            (inbound(80, Bytes::Http, Tls::Plaintext), "InboundPassthroughCluster"),
        ],
    );
}

#[test]
fn rules_for_connections_look_at_server_names_and_addresses() {
    let mesh = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders, '*.example.com']
  tls:
  - match: [{sniHosts: [a.example.com], sourceLabels: {app: other}}]
    route: [{destination: {host: nobody}}]
  - match: [{sniHosts: [a.example.com]}]
    route: [{destination: {host: payments.bank.svc.cluster.local, port: {number: 80}}}]
  tcp:
  - match: [{destinationSubnets: [10.9.0.0/16]}]
    route: [{destination: {host: payments.bank.svc.cluster.local, port: {number: 80}}}]
";
    check(
        mesh,
        vec![
            (tls(8443, "a.example.com"), "outbound|80||payments.bank.svc.cluster.local"),
            (tls(8443, "b.example.com"), "PassthroughCluster"),
            (tcp([10, 0, 0, 1], 5432), "outbound|5432||orders.shop.svc.cluster.local"),
        ],
    );
}

#[test]
fn of_two_services_with_one_range_the_older_has_it_and_of_two_ranges_the_narrower() {
    let entry = |name: &str, year: u16, range: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}
spec:
  hosts: [{name}.example.com]
  addresses: [{range}]
  ports: [{{name: tcp, number: 9999, protocol: TCP}}]
  resolution: NONE
---
"
        )
    };
    let mesh = entry("young", 2021, "172.16.0.0/16")
        + &entry("old", 2020, "172.16.5.0/16")
        + &entry("narrow", 2022, "172.16.7.0/24");
    check(
        &mesh,
        vec![
            (tcp([172, 16, 1, 1], 9999), "outbound|9999||old.example.com"),
            (tcp([172, 16, 7, 1], 9999), "outbound|9999||narrow.example.com"),
            (tcp([172, 17, 0, 1], 9999), "PassthroughCluster"),
        ],
    );
}

#[test]
fn a_port_takes_what_its_mode_says() {
    let mesh = |mode: &str| {
        format!(
            "
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 8080}}, {{name: tcp, port: 8081}}, {{name: auto, port: 8082}}]}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: web, namespace: shop}}
spec: {{mtls: {{mode: {mode}}}}}
"
        )
    };
    use Bytes::{Http, Tcp};
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        // port, bytes, TLS: DISABLE, PERMISSIVE, STRICT
        (8080, Http, Tls::Plaintext, ["inbound|8080||", "inbound|8080||", "NoFilterChain"]),
        (8080, Http, Tls::Tls,       ["ProtocolError",  "NoFilterChain",  "MTLSError"]),
        (8080, Http, Tls::Mesh,      ["ProtocolError",  "inbound|8080||", "inbound|8080||"]),
        (8081, Tcp,  Tls::Plaintext, ["inbound|8081||", "inbound|8081||", "NoFilterChain"]),
        (8081, Tcp,  Tls::Tls,       ["inbound|8081||", "inbound|8081||", "MTLSError"]),
        (8082, Tcp,  Tls::Mesh,      ["inbound|8082||", "inbound|8082||", "inbound|8082||"]),
        (8082, Http, Tls::Tls,       ["inbound|8082||", "inbound|8082||", "MTLSError"]),
        (9999, Tcp,  Tls::Plaintext, ["InboundPassthroughCluster", "InboundPassthroughCluster", "NoFilterChain"]),
    ];
    for (port, bytes, tls, wants) in table {
        for (mode, want) in ["DISABLE", "PERMISSIVE", "STRICT"].into_iter().zip(wants) {
            assert_eq!(outcome(&mesh(mode), inbound(port, bytes, tls)), want, "{mode} {port} {bytes:?} {tls:?}");
        }
    }
}

#[test]
fn a_delegate_continues_where_both_match() {
    let mesh = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {prefix: /api}}]
    delegate: {name: api, namespace: bank}
  - match: [{uri: {prefix: /gone}}]
    delegate: {name: nobody}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: bank}
spec:
  http:
  - match: [{uri: {prefix: /other}}]
    route: [{destination: {host: orders.shop.svc.cluster.local}}]
  - match: [{uri: {prefix: /api/pay}}]
    route: [{destination: {host: payments}}]
";
    let at = |path: &str| Question { path: path.into(), ..question(80, "orders") };
    check(
        mesh,
        vec![
            (at("/api/pay/1"), "outbound|80||payments.bank.svc.cluster.local"),
            (at("/api"), "NoRoute"),
            (at("/other"), "NoRoute"),
            (at("/gone"), "NoRoute"),
        ],
    );
}

#[test]
fn a_gateway_chooses_by_server_name_and_then_by_host() {
    let mesh = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example.com'], tls: {httpsRedirect: true}}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: a}}
  - {port: {number: 443, name: pass, protocol: TLS}, hosts: [b.example.com], tls: {mode: PASSTHROUGH}}
  - {port: {number: 15443, name: mesh, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  gateways: [edge]
  http: [{route: [{destination: {host: orders, port: {number: 80}}}]}]
  tls:
  - match: [{port: 443, sniHosts: [b.example.com]}]
    route: [{destination: {host: orders, port: {number: 8443}}}]
";
    let at = |port: u16, host: &str, tls: Tls| {
        let asked = question(port, host);
        let proxy = ProxyOf { gateway: true, labels: labels([("app".into(), "edge".into())]), ..asked.proxy.clone() };
        Question { proxy, direction: Direction::Gateway, tls, server_name: Some(host.into()), ..asked }
    };
    let by_cluster = "outbound_.80_._.orders.shop.svc.cluster.local";
    check(
        mesh,
        vec![
            (at(80, "a.example.com", Tls::Plaintext), "TLSRedirect"),
            (at(443, "a.example.com", Tls::Tls), "outbound|80||orders.shop.svc.cluster.local"),
            (at(443, "b.example.com", Tls::Tls), "outbound|8443||orders.shop.svc.cluster.local"),
            (at(443, "c.example.com", Tls::Tls), "NoFilterChain"),
            (at(8443, "a.example.com", Tls::Tls), "NoListener"),
            (at(15443, by_cluster, Tls::Mesh), "outbound|80||orders.shop.svc.cluster.local"),
        ],
    );
}

#[test]
fn whom_nobody_can_ask_is_denied_and_what_is_tried_out_is_only_noted() {
    let mesh = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: [/admin]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: try, namespace: shop, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: shop}
spec: {rules: [{when: [{key: source.namespace, values: [bank]}]}]}
";
    let peer = |namespace: &str, path: &str| Question {
        peer: Some(format!("spiffe://cluster.local/ns/{namespace}/sa/x").into()),
        path: path.into(),
        ..inbound(80, Bytes::Http, Tls::Mesh)
    };
    check(
        mesh,
        vec![
            (peer("bank", "/"), "InboundPassthroughCluster"),
            (peer("bank", "/admin"), "Denied"),
            (peer("shop", "/"), "Denied"),
        ],
    );
}

#[test]
fn an_answer_names_the_sidecar_and_the_peer_authentication_that_took_part() {
    let mesh = "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  egress: [{hosts: ['*/*']}]
  ingress: [{port: {number: 9080, protocol: HTTP, name: http}, defaultEndpoint: '127.0.0.1:9080'}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: istio-system}
spec:
  mtls: {mode: STRICT}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  portLevelMtls:
    9081: {mode: DISABLE}
";
    let lines_before = SERVICES.lines().count();
    let named = |question: Question| {
        let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", format!("{SERVICES}{mesh}").as_bytes())]);
        let answer = explain(&sources, &Options::default(), &[question]).remove(0);
        let governing = answer.because.into_iter().filter(|it| it.kind == "Sidecar" || it.kind == "PeerAuthentication");
        let line = |line: u32| usize::try_from(line).unwrap() - lines_before;
        governing.map(|it| format!("{} {}/{} {}", it.kind, it.namespace, it.name, line(it.line))).collect::<Vec<_>>()
    };
    let sidecar = "Sidecar shop/web 1";
    assert_eq!(named(question(80, "orders")), [sidecar]);
    assert_eq!(named(inbound(9080, Bytes::Http, Tls::Mesh)), [sidecar, "PeerAuthentication istio-system/all 12"]);
    assert_eq!(named(inbound(9081, Bytes::Http, Tls::Plaintext)), ["PeerAuthentication shop/web 20"]);
    assert_eq!(named(inbound(9082, Bytes::Http, Tls::Mesh)), ["PeerAuthentication istio-system/all 12"]);
    let elsewhere = ProxyOf { namespace: "bank".into(), ..question(80, "").proxy };
    assert_eq!(named(Question { proxy: elsewhere, ..question(80, "payments") }), [""; 0]);
}

#[test]
fn headers_that_are_made_are_shown_as_far_as_the_question_decides_them() {
    let mesh = |rule: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: shop}}\nspec:\n  hosts: [orders]\n  http:\n  - name: first\n    {rule}\n"
        )
    };
    let to = |rest: &str| format!("route: [{{destination: {{host: orders}}{rest}}}]");
    let set = |value: &str| mesh(&format!("headers: {{request: {{set: {{x-a: '{value}'}}}}}}\n    {}", to("")));
    let split = "route: [{destination: {host: orders}, weight: 1, headers: {request: {add: {x-a: 'to %UPSTREAM_CLUSTER%'}}}}, {destination: {host: payments.bank.svc.cluster.local}, weight: 1}]";
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        (set("plain"),                                     ""),
        (set("%REQ(x-user)% of %REQ(:path)%"),             "x-a: bob of /?q=1"),
        (set("%REQ(x-none?x-user)%"),                      "x-a: bob"),
        (set("%REQ(x-none)%"),                             ""), // it comes to nothing, and is left out
        (set("%REQ(x-user):2%"),                           "x-a: bo"),
        (set("%REQ(x-request-id)%"),                       "x-a: %REQ(x-request-id)%"), // the proxy gives one
        (set("%PROTOCOL% %ROUTE_NAME%"),                   "x-a: HTTP/1.1 first"),
        (set("%UPSTREAM_CLUSTER%"),                        "x-a: outbound|80||orders.shop.svc.cluster.local"),
        (set("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),  "x-a: 10.1.0.1"),
        (set("%DOWNSTREAM_REMOTE_ADDRESS% %START_TIME%"),  "x-a: %DOWNSTREAM_REMOTE_ADDRESS% %START_TIME%"),
        (mesh(&format!("headers: {{request: {{remove: [x-user], set: {{x-a: '<%REQ(x-user)%>'}}}}}}\n    {}", to(""))), "x-a: <>"),
        (mesh(&format!("headers: {{request: {{set: {{x-user: '%REQ(:method)%'}}}}, response: {{add: {{x-b: '%REQ(x-user)% %RESPONSE_CODE%'}}}}}}\n    {}", to(""))),
                                                           "x-user: GET; answer +x-b: GET %RESPONSE_CODE%"),
        (mesh(&format!("headers: {{request: {{set: {{x-a: '%REQ(x-user)%'}}}}}}\n    {}", to(", headers: {request: {set: {x-a: own}}}"))), ""),
        (mesh(&format!("headers: {{request: {{set: {{x-b: '%REQ(x-user)%'}}}}}}\n    {split}")),
                                                           "+x-a: to outbound|80||orders.shop.svc.cluster.local (alone); x-b: bob"),
    ];
    for (mesh, want) in table {
        let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", format!("{SERVICES}{mesh}").as_bytes())]);
        let question = Question {
            headers: vec![("x-user".into(), "bob".into())],
            path: "/?q=1".into(),
            source: Some([10, 1, 0, 1].into()),
            ..question(80, "orders")
        };
        let answer = explain(&sources, &Options::default(), &[question]).remove(0);
        let shown = |made: &Made| {
            let (answer, adds) = (if made.of_answer { "answer " } else { "" }, if made.adds { "+" } else { "" });
            let alone = if made.only_for.is_some() { " (alone)" } else { "" };
            format!("{answer}{adds}{}: {}{alone}", made.name, made.value)
        };
        assert_eq!(answer.made.iter().map(shown).collect::<Vec<_>>().join("; "), want, "{mesh}");
    }
}
