//! Gateways: hosts, certificates, ports.

use std::net::TcpListener;

use taut_proxy::Role;
use taut_snapshot::Objects;
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::*;

use crate::client::{Http1, get, get_with, send_http2, until_refused, web_tls};
use crate::fixture::*;
use crate::server::App;

/// A certificate for one name, that whoever knows it trusts.
struct Cert {
    pem: String,
    key: String,
}

fn cert(name: &str) -> Cert {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Cert { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn secret(cert: &Cert) -> Certificate {
    let blob = |text: &str| Blob(text.as_bytes().into());
    Certificate { name: "shop/web".into(), chain: blob(&cert.pem), key: blob(&cert.key) }
}

fn hosts(objects: &mut Objects, host: &str, https_only: bool) -> Link<HostTable> {
    let rules = vec![rule(&[(&cluster(""), 1)], objects)];
    let table = table(rules, objects);
    let routes = Some(objects.insert(&table));
    objects.insert(&HostTable {
        hosts: vec![HostEntry { host: host.into(), routes, https_only, shared: "".into(), number: 0 }],
    })
}

fn tls_server(objects: &mut Objects, host: &str, cert: &Cert) -> Server {
    let certificate = Some(objects.insert(&secret(cert)));
    Server {
        number: 443,
        names: vec![host.into()],
        certificate,
        hosts: hosts(objects, host, false),
        tls: None,
        connections: None,
        terms: None,
    }
}

fn plain_listener(objects: &mut Objects, port: u16, host: &str, https_only: bool) -> Listener {
    let hosts = hosts(objects, host, https_only);
    Listener {
        port,
        servers: vec![Server {
            number: 80,
            names: vec!["*".into()],
            certificate: None,
            hosts,
            tls: None,
            connections: None,
            terms: None,
        }],
    }
}

fn case(listeners: impl FnOnce(&mut Objects) -> Vec<Listener>) -> Case {
    let mut case = Case { gateway: true, ..Case::new("web") };
    case.listeners = listeners(&mut case.objects);
    case
}

/// A gateway with binds for ports 80 and 443, before an application.
async fn gateway() -> (Running, App) {
    let app = App::start("v1").await;
    let roles = [Role::Gateway { port: 80 }, Role::Gateway { port: 443 }];
    let gateway = Running::start("web", &roles, Issuer::new().identity("web"));
    gateway.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    (gateway, app)
}

fn port_443(gateway: &Running) -> std::net::SocketAddr {
    gateway.proxy.addresses().binds[1].address
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_chosen_by_the_name_that_is_asked_for() {
    let (gateway, _app) = gateway().await;
    let (one, two) = (cert("one.example"), cert("two.example"));
    gateway.activate(case(|objects| {
        let servers = vec![tls_server(objects, "one.example", &one), tls_server(objects, "two.example", &two)];
        vec![Listener { port: 443, servers }]
    }));
    let at = port_443(&gateway);
    for (name, cert) in [("one.example", &one), ("two.example", &two)] {
        let stream = web_tls(at, name, &cert.pem, b"http/1.1").await.unwrap();
        let answer = Http1::over(stream).await.get(name, "/").await.unwrap();
        assert_eq!(answer.app(), "v1");
        assert!(answer.body.contains("x-forwarded-proto: https") && answer.body.contains("x-forwarded-for: 127.0.0.1"));
        let stream = web_tls(at, name, &cert.pem, b"h2").await.unwrap();
        assert_eq!(send_http2(stream, "GET", &format!("https://{name}/"), &[], "").await.app(), "v1");
    }
    assert!(web_tls(at, "three.example", &one.pem, b"h2").await.is_err(), "there is no server of that name");
    let stream = web_tls(at, "one.example", &one.pem, b"http/1.1").await.unwrap();
    let other = Http1::over(stream).await.get("two.example", "/").await.unwrap();
    assert_eq!(other.status, 404, "a host of another server is none of this one's");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected_where_only_https_is_wanted() {
    let (gateway, app) = gateway().await;
    gateway.activate(case(|objects| vec![plain_listener(objects, 80, "one.example", true)]));
    let headers = [("x-forwarded-proto", "https")];
    let answer = get_with(gateway.address(), "one.example:80", "/a?b=c", &headers).await;
    assert_eq!((answer.status, answer.header("location")), (301, Some("https://one.example/a?b=c")));
    assert_eq!(get(gateway.address(), "two.example", "/").await.status, 404);
    assert_eq!(app.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outsiders_say_of_themselves_is_not_believed() {
    let (gateway, _app) = gateway().await;
    gateway.activate(case(|objects| vec![plain_listener(objects, 80, "*.example", false)]));
    let headers = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin"),
        ("x-envoy-peer-metadata", "AAAA"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-attempt-count", "7"),
    ];
    let answer = get_with(gateway.address(), "one.example", "/", &headers).await;
    for line in ["x-forwarded-for: 10.0.0.1,127.0.0.1", "x-forwarded-proto: http"] {
        assert!(answer.body.lines().any(|one| one == line), "{}", answer.body);
    }
    assert!(
        answer.body.contains("x-envoy-attempt-count: 1") && !answer.body.contains("x-envoy-retry-on"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("server"), Some("istio-envoy"));
    assert!(!answer.body.contains("client-cert") && !answer.body.contains("peer-metadata"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_secret_keeps_a_snapshot_out() {
    let (gateway, _app) = gateway().await;
    let (one, two) = (cert("one.example"), cert("two.example"));
    let mixed = Cert { pem: one.pem, key: two.key };
    let refused = gateway.prepare(case(|objects| {
        vec![Listener { port: 443, servers: vec![tls_server(objects, "one.example", &mixed)] }]
    }));
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(refused.why.contains("Secret `shop/web`"), "{}", refused.why);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_while_connections_with_the_old_one_live_on() {
    let (gateway, _app) = gateway().await;
    let (old, new) = (cert("one.example"), cert("one.example"));
    let with = |cert: &Cert| {
        case(|objects| vec![Listener { port: 443, servers: vec![tls_server(objects, "one.example", cert)] }])
    };
    gateway.activate(with(&old));
    let at = port_443(&gateway);
    let mut http = Http1::over(web_tls(at, "one.example", &old.pem, b"http/1.1").await.unwrap()).await;
    assert_eq!(http.get("one.example", "/").await.unwrap().status, 200);
    gateway.activate(with(&new));
    assert_eq!(http.get("one.example", "/").await.unwrap().status, 200, "the old connection");
    assert!(web_tls(at, "one.example", &new.pem, b"http/1.1").await.is_ok());
    assert!(web_tls(at, "one.example", &old.pem, b"http/1.1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_come_and_go_with_snapshots_and_a_taken_one_is_refused_by_name() {
    let free_port = || TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let (gateway, _app) = gateway().await;
    let (one, two) = (free_port(), free_port());
    let local = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let with =
        |ports: &[u16]| case(|objects| ports.iter().map(|port| plain_listener(objects, *port, "*", false)).collect());
    gateway.activate(with(&[one]));
    assert_eq!(get(local(one), "a.example", "/").await.app(), "v1");

    let taken = TcpListener::bind(("0.0.0.0", two)).unwrap();
    let refused = gateway.prepare(with(&[one, two])).map(|_| ()).unwrap_err();
    assert!(refused.why.contains(&format!("port {two} cannot be listened on")), "{}", refused.why);
    assert_eq!(get(local(one), "a.example", "/").await.app(), "v1", "and nothing has changed");
    drop(taken);

    gateway.activate(with(&[one, two]));
    assert_eq!(get(local(two), "a.example", "/").await.app(), "v1");
    let ports = gateway.proxy.endpoint().borrow().clone().map(|endpoint| endpoint.ports.len());
    assert_eq!(ports, Some(4), "the two binds, and the two ports of the snapshot");
    gateway.activate(with(&[two]));
    assert_eq!(get(local(two), "a.example", "/").await.app(), "v1");
    until_refused(local(one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_hold_at_a_gateway_too() {
    let (gateway, app) = gateway().await;
    let mut guarded = case(|objects| vec![plain_listener(objects, 80, "*", false)]);
    guarded.policies = Some(only(&["frontend"]));
    gateway.activate(guarded);
    assert_eq!(get(gateway.address(), "one.example", "/").await.status, 403);
    assert_eq!(app.asked(), 0);
}
