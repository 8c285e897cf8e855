//! Beginning, changing and ending, without losing a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use taut_proxy::{DrainConfig, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::{Http1, get, send, send_http2, until_refused};
use crate::fixture::*;
use crate::server::App;

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_snapshot_nobody_is_served_and_told_why() {
    let sidecar = Running::calling(&Issuer::new());
    let answer = get(sidecar.address(), "orders", "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("no configuration yet"), "{}", answer.body);
    assert_eq!(get(sidecar.admin(), "admin", "/ready").await.status, 503);
    assert_eq!(get(sidecar.admin(), "admin", "/healthz").await.status, 200);
    sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()));
    assert_eq!(get(sidecar.admin(), "admin", "/ready").await.status, 200);
    assert_eq!(get(sidecar.admin(), "admin", "/healthz/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_while_the_first_snapshot_is_read_is_served_by_it() {
    let (app, sidecar) = (App::start("v1").await, Running::calling(&Issuer::new()));
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    let mut early = Http1::connect(sidecar.address()).await;
    let (answer, _) = tokio::join!(early.get("orders", "/"), async {
        while !get(sidecar.admin(), "admin", "/metrics").await.body.contains("taut_connections_accepted_total 1\n") {}
        sidecar.activate(Case::orders(&cluster(""), vec![], Objects::default()))
    });
    assert_eq!(answer.unwrap().app(), "v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_without_the_workload_is_refused() {
    let sidecar = Running::calling(&Issuer::new());
    let refused = sidecar.prepare(Case::new("somebody-else")).map(|_| ()).unwrap_err();
    assert_eq!(refused.why, "the snapshot has no workload `shop/frontend`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config("frontend", &[Role::OutboundAny]);
    config.binds[0].address = taken.local_addr().unwrap();
    let error = taut_proxy::Proxy::start(config, Issuer::new().identity("frontend")).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}", taken.local_addr().unwrap())), "{error}");
}

/// Both sidecars, mTLS between them, snapshots changing all the time in both, endpoints as well; every request is served,
/// and each by one whole snapshot: the header that a rule sets on the way there and the one that it sets on the way back
/// are of the same one.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_snapshots_change() {
    let issuer = Issuer::new();
    let (app, spare) = (App::start("v1").await, App::start("v2").await);
    let server = Running::serving(app.address, &issuer);
    server.activate(Case::serving(MtlsMode::Strict, None));
    let client = Running::calling(&issuer);
    let of_server = server.proxy.endpoint().borrow().clone().unwrap();
    client.endpoints(vec![of_server.clone()]);
    let case = |salt: u64| {
        let mut objects = Objects::default();
        // Every third snapshot has a cluster that differs, so that connections and health move over to another one.
        let connect_timeout_ms = 2_000 + salt % 3;
        let cluster = Cluster { tls: auto_mtls(&["orders"]), connect_timeout_ms, ..cluster("") };
        let mut marked = rule(&[(&cluster, 1)], &mut objects);
        let set = |name: &str| HeaderOps {
            remove: vec![],
            set: vec![(name.into(), salt.to_string().into())],
            add: vec![],
            made: vec![],
        };
        (marked.request_headers, marked.response_headers) = (Some(set("x-there")), Some(set("x-back")));
        Case::orders(&cluster, vec![marked], objects).salted(salt)
    };
    client.activate(case(1));

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let at = client.address();
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (stop, served) = (stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut http = Http1::connect(at).await;
                while !stop.load(Ordering::Relaxed) {
                    if number == 0 {
                        // And one who connects anew each time.
                        http = Http1::connect(at).await;
                    }
                    let answer = http.get("orders", "/").await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let back = answer.header("x-back").unwrap();
                    let there = format!("x-there: {back}");
                    assert!(answer.body.lines().any(|line| line == there), "{back} of {}", answer.body);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut salt = 1;
    // Two hundred times, and on until enough was served meanwhile.
    while salt <= 200 || served.load(Ordering::Relaxed) < 2_000 {
        salt += 1;
        client.activate(case(salt));
        server.activate(Case::serving(MtlsMode::Strict, None).salted(salt));
        let v2 = endpoint("orders-2", "v2", spare.address);
        client.endpoints(if salt.is_multiple_of(2) { vec![of_server.clone(), v2] } else { vec![of_server.clone()] });
        // Each snapshot has some requests of its own.
        let enough = served.load(Ordering::Relaxed) + 5;
        while served.load(Ordering::Relaxed) < enough && !load.iter().any(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        assert!(!load.iter().any(JoinHandle::is_finished), "a request failed while snapshot {salt} was activated");
    }
    stop.store(true, Ordering::Relaxed);
    for one in load {
        one.await.unwrap();
    }
    let metrics = get(client.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains(&format!("taut_generation {salt}\n")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_survive_activations() {
    let (app, sidecar) = (App::start("v1").await, Running::calling(&Issuer::new()));
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    for salt in 1..20 {
        let cluster = Cluster { connect_timeout_ms: 1_000 + salt, ..cluster("") };
        sidecar.activate(Case::orders(&cluster, vec![], Objects::default()).salted(salt));
        // One worker may have taken the connection, and the next request come in by the other.
        let mut http = Http1::connect(sidecar.address()).await;
        assert_eq!(http.get("orders", "/").await.unwrap().status, 200);
    }
    let connections = app.connections.load(Ordering::SeqCst);
    assert!(connections <= 2, "{connections} connections of two workers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_requests_end_and_takes_no_more() {
    let (app, sidecar) = (App::start("v1").await, Running::serving_noticed(Duration::from_millis(200)).await);
    let (sidecar, own) = (sidecar.0, sidecar.1);
    let at = sidecar.address();
    let under_way = tokio::spawn(async move { get(at, "orders", "/wait").await });
    own.until_waiting(1).await;
    let idle = TcpStream::connect(at).await.unwrap();
    let proxy = sidecar.proxy.clone();
    let drained = tokio::spawn(async move { proxy.drain().await });
    let mut endpoint = sidecar.proxy.endpoint();
    endpoint.wait_for(|endpoint| endpoint.as_ref().is_some_and(|endpoint| endpoint.draining)).await.unwrap();
    let late = get(at, "orders", "/").await;
    assert_eq!(
        (late.status, late.header("connection")),
        (200, Some("close")),
        "those who had not heard are still served"
    );
    assert_eq!(get(sidecar.admin(), "admin", "/ready").await.status, 503);
    until_refused(at).await;
    assert!(!drained.is_finished(), "a request is under way");
    own.gate.notify_waiters();
    assert_eq!(under_way.await.unwrap().status, 200);
    drop(idle);
    drained.await.unwrap();
    assert_eq!(app.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_is_there_until_others_know() {
    let (sidecar, _own) = Running::serving_noticed(Duration::ZERO).await;
    let (proxy, known) = (sidecar.proxy.clone(), Arc::new(tokio::sync::Notify::new()));
    let told = known.clone();
    let others_know = async move {
        told.notified().await;
        true
    };
    let drained = tokio::spawn(async move { proxy.drain_when(others_know).await });
    let mut endpoint = sidecar.proxy.endpoint();
    endpoint.wait_for(|endpoint| endpoint.as_ref().is_some_and(|endpoint| endpoint.draining)).await.unwrap();
    for _ in 0..20 {
        assert_eq!(get(sidecar.address(), "orders", "/").await.status, 200, "somebody has not heard yet");
    }
    known.notify_one();
    until_refused(sidecar.address()).await;
    drained.await.unwrap();
}

impl Running {
    /// A sidecar in front of an application, that says for a while that it is leaving.
    async fn serving_noticed(notice: Duration) -> (Running, App) {
        let app = App::start("own").await;
        let mut config = config("orders", &[Role::Inbound { port: PORT, application: app.address }]);
        config.drain = DrainConfig { notice, deadline: Duration::from_secs(20) };
        let sidecar = Running::start_with(config, Issuer::new().identity("orders"));
        sidecar.activate(Case::serving(MtlsMode::Permissive, None));
        (sidecar, app)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_requests_of_others_have_ended_the_application_can_ask_what_it_needs_for_them() {
    let (own, other) = (App::start("own").await, App::start("v1").await);
    let roles = [Role::Inbound { port: PORT, application: own.address }, Role::Outbound { port: PORT }];
    let sidecar = Running::start("frontend", &roles, Issuer::new().identity("frontend"));
    let inbound = Case::serving(MtlsMode::Permissive, None).inbound;
    sidecar.activate(Case { inbound, ..Case::orders(&cluster(""), vec![], Objects::default()) });
    sidecar.endpoints(vec![endpoint("orders-1", "v1", other.address)]);
    let [inward, outward] = [0, 1].map(|at: usize| sidecar.proxy.addresses().binds[at].address);
    let under_way = tokio::spawn(async move { get(inward, "frontend", "/wait").await });
    own.until_waiting(1).await;
    let proxy = sidecar.proxy.clone();
    let drained = tokio::spawn(async move { proxy.drain().await });
    until_refused(inward).await;
    assert_eq!(get(outward, "orders:8080", "/").await.app(), "v1", "on a new connection");
    own.gate.notify_waiters();
    assert_eq!(under_way.await.unwrap().status, 200);
    drained.await.unwrap();
    until_refused(outward).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_by_the_deadline_is_cut() {
    let app = App::start("v1").await;
    let mut config = config("orders", &[Role::Inbound { port: PORT, application: app.address }]);
    config.drain = DrainConfig { notice: Duration::ZERO, deadline: Duration::from_millis(100) };
    let server = Running::start_with(config, Issuer::new().identity("orders"));
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let mut http = Http1::connect(server.address()).await;
    let never = tokio::spawn(async move { http.get("orders", "/wait").await });
    app.until_waiting(1).await;
    server.proxy.drain().await;
    assert!(never.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_are_told_to_go_and_lose_nothing() {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate(Case::serving(MtlsMode::Permissive, None));
    let at = server.address();
    let under_way = tokio::spawn(async move {
        let stream = TcpStream::connect(at).await.unwrap();
        send_http2(stream, "GET", "http://orders/wait", &[], "").await
    });
    app.until_waiting(1).await;
    let proxy = server.proxy.clone();
    let drained = tokio::spawn(async move { proxy.drain().await });
    until_refused(at).await;
    app.gate.notify_waiters();
    assert_eq!(under_way.await.unwrap().status, 200);
    drained.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_page_tells_what_runs() {
    let (app, sidecar) = (App::start("v1").await, Running::calling(&Issuer::new()));
    sidecar.endpoints(vec![endpoint("orders-1", "v1", app.address)]);
    let mut objects = Objects::default();
    let all = rule(&[(&cluster("v1"), 1)], &mut objects);
    let snapshot = sidecar.activate(Case::orders(&cluster(""), vec![all], objects));
    let admin = sidecar.admin();
    let config: serde_json::Value = serde_json::from_str(&get(admin, "admin", "/config").await.body).unwrap();
    assert_eq!(config["snapshot"], snapshot.to_string());
    assert_eq!(config["generation"], 1);
    let route = &config["services"][0]["routes"]["rules"][0]["to"][0]["cluster"];
    assert_eq!(*route, format!("outbound|8080|v1|{ORDERS}"));
    let endpoints: serde_json::Value = serde_json::from_str(&get(admin, "admin", "/endpoints").await.body).unwrap();
    assert_eq!(endpoints[0]["endpoints"][0]["address"], app.address.to_string());
    let certs = get(admin, "admin", "/certs").await.body;
    assert!(certs.contains(&id("frontend")) && !certs.contains("PRIVATE"), "{certs}");
    assert_eq!(get(admin, "admin", "/nothing").await.status, 404);
    assert_eq!(get(admin, "admin", "/drain").await.status, 405);
    assert_eq!(send(admin, "POST", "admin", "/drain", &[], "").await.status, 200);
}
