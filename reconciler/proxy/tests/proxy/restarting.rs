//! Proxies that go and come back, and certificates that are renewed, while others go on asking.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use taut_delivery::publisher::{self, Change};
use taut_delivery::{Arrival, Connect, MemberKind, Outbox, Part};
use taut_proxy::{Addresses, Bind, DrainConfig, Following, Role};
use taut_snapshot::object::*;
use taut_snapshot::{Endpoint, Objects, Snapshot};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{Http1, get, mesh_tls, read, request};
use crate::fixture::*;
use crate::server::App;

/// Clients that ask until they are stopped, each on a connection that it keeps as long as it may.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(at: SocketAddr, clients: usize, method: &'static str) -> Load {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |_| {
            let (stop, served) = (stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut http = Http1::connect(at).await;
                while !stop.load(Ordering::Relaxed) {
                    let request = request(method, "orders", "/echo", &[], if method == "POST" { "order" } else { "" });
                    let answer = read(http.send(request).await.unwrap()).await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Load { stop, served, clients }
    }

    /// Waits until so many more were served. Panics if a request failed.
    async fn until_served(&self, more: u64, when: &str) {
        let enough = self.served.load(Ordering::Relaxed) + more;
        while self.served.load(Ordering::Relaxed) < enough {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a request has failed, {when}");
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.served.load(Ordering::Relaxed)
    }
}

/// A sidecar of `orders` at an address; at another one, if somebody has taken that meanwhile.
fn orders(name: &str, address: SocketAddr, app: &App, issuer: &Issuer) -> Running {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let start = |address: SocketAddr| {
        let mut config = config("orders", &[Role::Inbound { port: PORT, application: app.address }]);
        config.name = name.to_owned();
        config.binds[0].address = address;
        config.drain = DrainConfig { notice: Duration::from_millis(100), deadline: Duration::from_secs(10) };
        Running::try_start(config, issuer.identity("orders"))
    };
    let sidecar = start(address).or_else(|_| start(free)).unwrap();
    sidecar.activate(Case::serving(MtlsMode::Strict, None));
    sidecar
}

fn endpoint_of(running: &Running) -> Endpoint {
    running.proxy.endpoint().borrow().clone().unwrap()
}

/// Two sidecars of `orders`, which restart in turn under load. `announced` says whether the caller hears of it.
async fn restart_in_turn(protocol: Protocol, method: &'static str, announced: bool) {
    let issuer = Issuer::new();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let apps = [App::start("one").await, App::start("two").await];
    let names = ["orders-1", "orders-2"];
    let mut servers = vec![orders(names[0], free, &apps[0], &issuer), orders(names[1], free, &apps[1], &issuer)];
    let client = Running::calling(&issuer);
    client.endpoints(servers.iter().map(endpoint_of).collect());
    let cluster = Cluster { tls: auto_mtls(&["orders"]), protocol: protocol.clone(), ..cluster("") };
    let mut objects = Objects::default();
    let mut all = rule(&[(&cluster, 1)], &mut objects);
    forward(&mut all).retry = Some(taut_snapshot::decide::default_retry());
    client.activate(Case::orders(&cluster, vec![all], objects));

    let load = Load::start(client.address(), 6, method);
    for round in 0..8 {
        load.until_served(40, &format!("{protocol:?} {method} in round {round} with both")).await;
        let leaving = servers.remove(0);
        let address = leaving.address();
        let proxy = leaving.proxy.clone();
        let drained = tokio::spawn(async move { proxy.drain().await });
        if announced {
            let mut place = leaving.proxy.endpoint();
            place.wait_for(|place| place.as_ref().is_some_and(|place| place.draining)).await.unwrap();
            client.endpoints(vec![endpoint_of(&leaving), endpoint_of(&servers[0])]);
        }
        drained.await.unwrap();
        drop(leaving);
        load.until_served(40, &format!("{protocol:?} {method} in round {round} with one gone")).await;
        servers.push(orders(names[round % 2], address, &apps[round % 2], &issuer));
        client.endpoints(servers.iter().map(endpoint_of).collect());
    }
    assert!(640 <= load.end().await);
    assert!(apps.iter().all(|app| 0 < app.asked()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_sidecars_restart() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        for method in ["GET", "POST"] {
            restart_in_turn(protocol.clone(), method, true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_sent_twice_is_not_lost_either_if_nobody_hears_of_the_restart() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        restart_in_turn(protocol, "GET", false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_load_and_no_connection_is_dropped() {
    let issuer = Issuer::new();
    let app = App::start("v1").await;
    let (callers, servers) = (issuer.identity("frontend"), issuer.identity("orders"));
    let server = Running::start("orders", &[Role::Inbound { port: PORT, application: app.address }], servers.clone());
    server.activate(Case::serving(MtlsMode::Strict, None));
    let client = Running::start("frontend", &[Role::Outbound { port: PORT }], callers.clone());
    client.endpoints(vec![endpoint_of(&server)]);
    let cluster = Cluster { tls: auto_mtls(&["orders"]), ..cluster("") };
    client.activate(Case::orders(&cluster, vec![], Objects::default()));

    // One request at a time on one connection from below needs one to above, for good.
    let load = Load::start(client.address(), 1, "POST");
    for _ in 0..50 {
        load.until_served(5, "while certificates changed").await;
        callers.swap(issuer.credentials("frontend"));
        servers.swap(issuer.credentials("orders"));
    }
    let metrics = get(server.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains("taut_connections_accepted_total 1\n"), "{metrics}");
    let anew = mesh_tls(server.address(), &callers, &[b"h2"]).await.unwrap();
    let peer = taut_identity::verified_peer(anew.get_ref().1).unwrap();
    assert_eq!(peer.serial(), servers.current().serial(), "who connects now sees the newest");
    load.end().await;
}

/// Streams in memory to a publisher, if there is one.
struct Wires(mpsc::UnboundedSender<io::Result<(DuplexStream, String)>>);

impl Connect for Wires {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 << 10);
        match self.0.send(Ok((far, id("frontend")))) {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// A publisher with one member.
struct Publisher {
    arrivals: mpsc::Receiver<Arrival>,
    session: publisher::Session,
    outbox: Option<Outbox>,
    began: Instant,
}

impl Publisher {
    fn start() -> (Publisher, Wires) {
        let (wires, mut incoming) = mpsc::unbounded_channel();
        let (sender, arrivals) = mpsc::channel(64);
        let incoming = futures_util::stream::poll_fn(move |cx| incoming.poll_recv(cx));
        tokio::spawn(taut_delivery::serve(incoming, sender, std::future::pending()));
        let session = publisher::Session::new(Duration::ZERO, Duration::from_secs(60));
        (Publisher { arrivals, session, outbox: None, began: Instant::now() }, Wires(wires))
    }

    fn say(&mut self, input: publisher::Input) -> Vec<Change> {
        let mut changes = Vec::new();
        for output in self.session.handle(self.began.elapsed(), input) {
            match output {
                publisher::Output::Send(message) => self.outbox.as_ref().unwrap().send(message),
                publisher::Output::Changed(change) => changes.push(change),
            }
        }
        changes
    }

    async fn until(&mut self, wanted: impl Fn(&Change) -> bool) {
        loop {
            let changes = self.hear().await;
            if changes.iter().any(&wanted) {
                return;
            }
        }
    }

    async fn hear(&mut self) -> Vec<Change> {
        match self.arrivals.recv().await.unwrap() {
            Arrival::Joined { join, outbox, .. } => {
                self.outbox = Some(outbox);
                self.say(publisher::Input::Joined(join))
            }
            Arrival::Reported { report, .. } => self.say(publisher::Input::Reported(report)),
            Arrival::Left { .. } => self.say(publisher::Input::Left),
            Arrival::Closed { .. } => self.say(publisher::Input::Disconnected),
        }
    }

    /// Brings the member to a snapshot, with these endpoints.
    async fn deliver(&mut self, case: Case, endpoints: Vec<Endpoint>) {
        let (id, objects) = case.snapshot();
        let kind = MemberKind::Proxy { workload: "shop/frontend".into() };
        let part = Arc::new(Part::of(&Snapshot { id, objects }, &kind).unwrap());
        while self.outbox.is_none() {
            self.hear().await;
        }
        self.say(publisher::Input::Endpoints(endpoints));
        self.say(publisher::Input::Stage(part, 1));
        self.until(|change| *change == Change::Staged(id)).await;
        self.say(publisher::Input::Activate(taut_delivery::Running { snapshot: id, generation: 1 }));
        self.until(|change| matches!(change, Change::Activated(_))).await;
        while self.session.report().is_none_or(|report| report.endpoints == 0) {
            self.hear().await;
        }
    }
}

/// A proxy as the command runs it, until it is told to stop.
async fn started(
    state: &std::path::Path,
    wires: Wires,
    issuer: &Issuer,
) -> (Addresses, watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    let (ready, listens) = oneshot::channel();
    let (config, identity) = (config("frontend", &[Role::Outbound { port: PORT }]), issuer.identity("frontend"));
    let following = Following { state: state.to_owned(), connect: wires };
    let life = tokio::spawn(async move {
        let ready = move |addresses: &Addresses| ready.send(addresses.clone()).unwrap();
        taut_proxy::run(config, identity, following, stopped, ready).await.unwrap();
    });
    (listens.await.unwrap(), stop, life)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_boots_from_disk_with_the_reconciler_gone() {
    let (issuer, app, folder) = (Issuer::new(), App::start("v1").await, tempfile::tempdir().unwrap());
    let (mut publisher, wires) = Publisher::start();
    let (addresses, stop, life) = started(folder.path(), wires, &issuer).await;
    let case = Case::orders(&cluster(""), vec![], Objects::default());
    publisher.deliver(case, vec![endpoint("orders-1", "v1", app.address)]).await;
    let [Bind { address, .. }] = addresses.binds[..] else { panic!("{addresses:?}") };
    assert_eq!(get(address, "orders", "/").await.app(), "v1");
    drop(publisher);
    stop.send_replace(true);
    life.await.unwrap();

    let (nobody, _) = mpsc::unbounded_channel();
    let (addresses, stop, life) = started(folder.path(), Wires(nobody), &issuer).await;
    // At once: what connects while it reads its disk waits for it.
    assert_eq!(get(addresses.binds[0].address, "orders", "/").await.app(), "v1");
    assert_eq!(get(addresses.admin, "admin", "/healthz/ready").await.status, 200);
    stop.send_replace(true);
    life.await.unwrap();
}
