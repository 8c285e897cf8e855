//! What becomes of requests by routes of the Kubernetes Gateway API and by Ingresses, as tables.

use taut_source::{SourceFile, SourceSet};

use super::*;

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}, {name: tls, port: 9443}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: admin, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: bank}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank, labels: {team: money}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: wide, port: 80, protocol: HTTP, hostname: \"*.example.com\", allowedRoutes: {namespaces: {from: All}}}
  - {name: narrow, port: 80, protocol: HTTP, hostname: only.example.com}
  - name: money
    port: 80
    protocol: HTTP
    hostname: bank.example.org
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: money}}}, kinds: [{kind: HTTPRoute}]}
  - {name: pass, port: 9443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: bytes, port: 9000, protocol: TCP}
---
";

/// A request to the pods of a gateway, or on its way out of a pod of `shop` if the port is one of a service.
fn ask(mesh: &str, direction: Direction, to: (u16, &str, &str), with: &[(&str, &str)]) -> Answer {
    let text = format!("{SERVICES}{mesh}");
    let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", text.as_bytes())]);
    let gateway = direction == Direction::Gateway;
    let label = |name: &str, value: &str| (Text::new(name), Text::new(value));
    let question = Question {
        proxy: ProxyOf {
            gateway,
            namespace: "shop".into(),
            labels: labels([if gateway { label("app", "edge") } else { label("app", "client") }]),
            addresses: vec!["10.1.0.1".into()],
        },
        direction,
        address: [1, 2, 3, 4].into(),
        source: None,
        port: to.0,
        bytes: Bytes::Http,
        tls: Tls::Plaintext,
        server_name: None,
        alpn: None,
        peer: None,
        method: with.iter().find(|(name, _)| *name == ":method").map_or("GET".into(), |(_, value)| (*value).into()),
        host: to.1.into(),
        path: to.2.into(),
        headers: with
            .iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        jwt: None,
    };
    explain(&sources, &Options::default(), &[question]).remove(0)
}

/// What becomes of it, in a word: `name:port` of the cluster, a status, or why not.
fn told(answer: &Answer) -> String {
    if let Some(fault) = &answer.fault {
        return fault.word().to_owned();
    }
    if let Some(status) = answer.status {
        return status.to_string();
    }
    let short = |cluster: &String| {
        let parts: Vec<&str> = cluster.split('|').collect();
        format!("{}:{}", parts[3].split('.').next().unwrap_or_default(), parts[1])
    };
    answer.clusters.iter().map(short).collect::<Vec<_>>().join(" ")
}

fn at_edge(mesh: &str, host: &str, path: &str, with: &[(&str, &str)]) -> String {
    told(&ask(mesh, Direction::Gateway, (8080, host, path), with))
}

fn route(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{spec}\n---\n"
    )
}

const EDGE: &str = "  parentRefs: [{name: edge, namespace: shop}]\n";

#[test]
#[rustfmt::skip]
fn the_narrower_rule_counts_wherever_it_stands() {
    let mesh = route("r", "shop", &format!("{EDGE}
  hostnames: [a.example.com]
  rules:
  - {{name: all, backendRefs: [{{name: a, port: 80}}]}}
  - {{name: below, matches: [{{path: {{type: PathPrefix, value: /x}}}}], backendRefs: [{{name: b, port: 80}}]}}
  - {{name: deeper, matches: [{{path: {{type: PathPrefix, value: /x/y/}}}}], backendRefs: [{{name: a, port: 81}}]}}
  - {{name: exact, matches: [{{path: {{type: Exact, value: /x}}}}], backendRefs: [{{name: a, port: 80}}]}}
  - {{name: post, matches: [{{path: {{value: /x}}, method: POST}}], backendRefs: [{{name: a, port: 81}}]}}
  - {{name: header, matches: [{{path: {{value: /x}}, headers: [{{name: v, value: '2'}}]}}], backendRefs: [{{name: a, port: 80}}]}}
  - {{name: query, matches: [{{path: {{value: /x}}, queryParams: [{{name: q, value: '1'}}]}}], backendRefs: [{{name: a, port: 81}}]}}"));
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let table: [Row; 11] = [
        ("/", &[], "a:80"),
        ("/x", &[], "a:80"),                                   // equality before any prefix
        ("/x/", &[], "b:80"),
        ("/xy", &[], "a:80"),                                  // whole segments
        ("/x/y", &[], "a:81"),                                 // the longer prefix, its last slash aside
        ("/x/y/z", &[], "a:81"),
        ("/x/z", &[(":method", "POST")], "a:81"),              // a method before headers
        ("/x/z", &[(":method", "POST"), ("v", "2")], "a:81"),
        ("/x/z", &[("v", "2")], "a:80"),
        ("/x/z?q=1", &[("v", "2")], "a:80"),                   // headers before parameters
        ("/x/z?q=1", &[], "a:81"),
    ];
    for (path, with, want) in table {
        assert_eq!(at_edge(&mesh, "a.example.com", path, with), want, "{path} {with:?}");
    }
}

#[test]
fn of_equal_rules_the_older_route_counts_and_then_the_name() {
    let one = |name: &str, created: &str, to: &str| {
        let text = route(
            name,
            "shop",
            &format!("{EDGE}  hostnames: [a.example.com]\n  rules: [{{backendRefs: [{{name: {to}, port: 80}}]}}]"),
        );
        text.replace("namespace: shop}", &format!("namespace: shop, creationTimestamp: \"{created}\"}}"))
    };
    let mesh = one("a", "2021-01-01T00:00:00Z", "a") + &one("z", "2020-01-01T00:00:00Z", "b");
    assert_eq!(at_edge(&mesh, "a.example.com", "/", &[]), "b:80");
    let mesh = one("z", "2020-01-01T00:00:00Z", "a") + &one("a", "2020-01-01T00:00:00Z", "b");
    assert_eq!(at_edge(&mesh, "a.example.com", "/", &[]), "b:80");
}

#[test]
#[rustfmt::skip]
fn listeners_take_what_their_host_namespace_kind_and_name_admit() {
    let to_a = "  rules: [{backendRefs: [{name: a, namespace: shop, port: 80}]}]";
    let grant = "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: shop}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: bank}], to: [{group: \"\", kind: Service}]}\n---\n";
    let one = |parent: &str, hosts: &str, namespace: &str| {
        grant.to_owned() + &route("r", namespace, &format!("  parentRefs: [{{name: edge, namespace: shop{parent}}}]\n  hostnames: [{hosts}]\n{to_a}"))
    };
    let table = [
        ("", "a.example.com", "shop", "a.example.com", "a:80"),
        ("", "'*.a.example.com'", "shop", "x.a.example.com", "a:80"),
        ("", "'*.com'", "shop", "b.example.com", "a:80"),                   // the narrower host is the listener's
        ("", "'*.com'", "shop", "b.example.net", "NoVirtualHost"),
        ("", "", "shop", "only.example.com", "a:80"),
        (", sectionName: wide", "", "shop", "c.example.com", "a:80"),
        (", sectionName: wide", "", "shop", "only.example.com", "NoRoute"), // what a narrower listener has is not served by a wider one
        (", sectionName: nobody", "", "shop", "c.example.com", "NoVirtualHost"),
        (", port: 80", "", "shop", "c.example.com", "a:80"),
        (", port: 81", "", "shop", "c.example.com", "NoVirtualHost"),
        ("", "", "bank", "bank.example.org", "a:80"),
        ("", "", "shop", "bank.example.org", "NoVirtualHost"),            // only namespaces of one team
        ("", "only.example.com", "bank", "only.example.com", "NoRoute"),        // only its own namespace
    ];
    for (parent, hosts, namespace, host, want) in table {
        assert_eq!(at_edge(&one(parent, hosts, namespace), host, "/", &[]), want, "{parent} [{hosts}] {namespace} {host}");
    }
    let grpc = "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g, namespace: bank}\nspec: {parentRefs: [{name: edge, namespace: shop}], hostnames: [bank.example.org], rules: [{backendRefs: [{name: vault, port: 80}]}]}\n---\n";
    assert_eq!(at_edge(grpc, "bank.example.org", "/", &[]), "NoVirtualHost", "a kind that the listener does not take");
}

#[test]
#[rustfmt::skip]
fn a_broken_reference_keeps_its_share() {
    let one = |backends: &str| route("r", "shop", &format!("{EDGE}  hostnames: [a.example.com]\n  rules: [{{backendRefs: [{backends}]}}]"));
    let table = [
        ("{name: a, port: 80, weight: 3}, {name: b, port: 80}", "a:80 b:80"),
        ("{name: a, port: 80}, {name: nobody, port: 80}", "a:80 nobody:80"),
        ("{name: a, port: 80}, {name: vault, namespace: bank, port: 80}", "a:80 :80"),
        ("{name: a, port: 80, weight: 0}", "500"),
        ("", "500"),
        ("{name: a, port: 80}, {name: b, port: 80, weight: 0}", "a:80"),
    ];
    for (backends, want) in table {
        assert_eq!(at_edge(&one(backends), "a.example.com", "/", &[]), want, "{backends}");
    }
    let answer = ask(&one("{name: a, port: 80, weight: 3}, {name: b, port: 80}"), Direction::Gateway, (8080, "a.example.com", "/"), &[]);
    assert_eq!(answer.split.iter().map(|share| share.weight).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn every_rule_knows_the_line_of_its_own_route() {
    let mesh = route(
        "one",
        "shop",
        &format!(
            "{EDGE}  hostnames: [a.example.com]\n  rules: [{{matches: [{{path: {{value: /1}}}}], backendRefs: [{{name: a, port: 80}}]}}]"
        ),
    ) + &route(
        "two",
        "bank",
        &format!("{EDGE}  hostnames: [a.example.com]\n  rules: [{{backendRefs: [{{name: vault, port: 80}}]}}]"),
    );
    let answer = ask(&mesh, Direction::Gateway, (8080, "a.example.com", "/2"), &[]);
    let because = &answer.because[0];
    assert_eq!(
        (because.kind.as_str(), because.namespace.as_str(), because.name.as_str()),
        ("HTTPRoute", "bank", "two")
    );
    assert_eq!(answer.route.as_deref(), Some("bank.two.0"));
    let passed = answer.passed[0].rule.as_ref().map(|rule| rule.name.as_str());
    assert_eq!(passed, Some("one"), "the rule that was tried before is another route's");
}

#[test]
#[rustfmt::skip]
fn routes_of_services_are_for_their_clients() {
    let mesh = |namespace: &str, parent: &str| route("r", namespace, &format!("  parentRefs: [{{group: \"\", kind: Service, name: a, namespace: shop{parent}}}]
  rules: [{{matches: [{{path: {{value: /x}}}}], backendRefs: [{{group: networking.istio.io, kind: Hostname, name: b.shop.svc.cluster.local, port: 80}}]}}]"));
    let table = [
        ("shop", "", 80, "/x", "b:80"),
        ("shop", "", 81, "/x", "b:80"),
        ("shop", "", 80, "/", "NoRoute"),        // there is nothing else where there is a route
        ("shop", ", port: 81", 81, "/x", "b:80"),
        ("shop", ", port: 81", 80, "/x", "a:80"), // its other ports are as they were
        ("bank", "", 80, "/x", "a:80"),           // of another namespace it is for that namespace alone
    ];
    for (namespace, parent, port, path, want) in table {
        let answer = ask(&mesh(namespace, parent), Direction::Outbound, (port, "a", path), &[]);
        assert_eq!(told(&answer), want, "{namespace} {parent} {port} {path}");
    }
    let unknown = mesh("shop", "").replace("name: a,", "name: ghost,");
    assert_eq!(told(&ask(&unknown, Direction::Outbound, (80, "a", "/"), &[])), "a:80", "a service that is none has no routes");
}

#[test]
#[rustfmt::skip]
fn methods_of_grpc_are_paths() {
    let one = |matched: &str| format!("apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: g, namespace: shop}}
spec:\n{EDGE}  hostnames: [g.example.com]\n  rules: [{{matches: [{matched}], backendRefs: [{{name: a, port: 80}}]}}]\n---\n");
    let table = [
        ("{method: {service: s.S, method: M}}", "/s.S/M", "a:80"),
        ("{method: {service: s.S, method: M}}", "/s.S/Mx", "NoRoute"),
        ("{method: {service: s.S}}", "/s.S/Any", "a:80"),
        ("{method: {service: s.S}}", "/s.Sx/Any", "NoRoute"),
        ("{method: {method: M}}", "/any.S/M", "a:80"),
        ("{method: {method: M}}", "/a/b/M", "NoRoute"),
        ("{method: {type: RegularExpression, service: 's[.].', method: 'M+'}}", "/s.X/MM", "a:80"),
        ("{headers: [{name: v, value: '1'}]}", "/s/M", "NoRoute"),
        ("", "/s/M", "a:80"),
    ];
    for (matched, path, want) in table {
        assert_eq!(at_edge(&one(matched), "g.example.com", path, &[]), want, "{matched} {path}");
    }
}

#[test]
#[rustfmt::skip]
fn connections_go_by_server_name_or_by_port() {
    let mesh = "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: t, namespace: shop}\nspec: {parentRefs: [{name: edge}], hostnames: ['*.pass.net'], rules: [{backendRefs: [{name: a, port: 80}]}]}\n---
apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: z, namespace: shop, creationTimestamp: \"2019-01-01T00:00:00Z\"}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: b, port: 80}]}]}\n---
apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: a, namespace: shop, creationTimestamp: \"2020-01-01T00:00:00Z\"}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: a, port: 80}]}]}\n---\n";
    let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", format!("{SERVICES}{mesh}").as_bytes())]);
    let gateway = ProxyOf { gateway: true, namespace: "shop".into(), labels: labels([("app".into(), "edge".into())]), addresses: vec![] };
    let asked = |port: u16, name: Option<&str>| Question {
        proxy: gateway.clone(), direction: Direction::Gateway, address: [1, 2, 3, 4].into(), source: None, port, bytes: Bytes::Tcp,
        tls: if name.is_some() { Tls::Tls } else { Tls::Plaintext }, server_name: name.map(Into::into), alpn: None, peer: None,
        method: "GET".into(), host: "".into(), path: "/".into(), headers: vec![], jwt: None,
    };
    let table = [
        (9443, Some("x.pass.net"), "a:80"),
        (9443, Some("x.other.net"), "NoFilterChain"),
        (9000, None, "b:80"), // of two routes the older counts
    ];
    for (port, name, want) in table {
        assert_eq!(told(&explain(&sources, &Options::default(), &[asked(port, name)])[0]), want, "{port} {name:?}");
    }
}

#[test]
#[rustfmt::skip]
fn paths_of_ingresses_are_tried_longest_first() {
    let mesh = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  defaultBackend: {service: {name: a, port: {number: 80}}}
  rules:
  - host: i.example.com
    http:
      paths:
      - {path: /x, pathType: Prefix, backend: {service: {name: b, port: {name: http}}}}
      - {path: /x, pathType: Exact, backend: {service: {name: a, port: {number: 80}}}}
      - {path: /x/y/*, pathType: ImplementationSpecific, backend: {service: {name: a, port: {number: 81}}}}
      - {path: /z, pathType: ImplementationSpecific, backend: {service: {name: a, port: {number: 80}}}}
      - {path: /w, pathType: Prefix, backend: {service: {name: a, port: {name: nobody}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: other, namespace: shop, annotations: {kubernetes.io/ingress.class: nginx}}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}
---
";
    let text = format!("{SERVICES}{mesh}");
    let sources = SourceSet::new(vec![SourceFile::new("mesh.yaml", text.as_bytes())]);
    let asked = |host: &str, path: &str| Question {
        proxy: ProxyOf { gateway: true, namespace: "istio-system".into(), labels: labels([("istio".into(), "ingressgateway".into())]), addresses: vec![] },
        direction: Direction::Gateway, address: [1, 2, 3, 4].into(), source: None, port: 80, bytes: Bytes::Http, tls: Tls::Plaintext,
        server_name: None, alpn: None, peer: None, method: "GET".into(), host: host.into(), path: path.into(), headers: vec![], jwt: None,
    };
    let table = [
        ("i.example.com", "/x", "a:80"),
        ("i.example.com", "/x/1", "b:80"),
        ("i.example.com", "/xy", "NoRoute"),
        ("i.example.com", "/x/y/z", "a:81"),
        ("i.example.com", "/z", "a:80"),
        ("i.example.com", "/z/1", "NoRoute"),
        ("i.example.com", "/w", "NoRoute"),     // a port that nobody has
        ("i.example.com", "/", "NoRoute"),      // the trap: the default backend is not looked at
        ("j.example.com", "/", "NoVirtualHost"), // the other Ingress is somebody else's
    ];
    for (host, path, want) in table {
        assert_eq!(told(&explain(&sources, &Options::default(), &[asked(host, path)])[0]), want, "{host} {path}");
    }
}
