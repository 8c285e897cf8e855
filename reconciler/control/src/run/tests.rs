//! The real thing: a ledger on disk, operators on a socket, and members with disks of their own over gRPC.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use taut_delivery::simulation::{endpoint, mesh};
use taut_delivery::{
    CertificateReport, Connect, MemberConfig, MemberKind, Refused, Runner, Running, Told, follow, serve,
};
use taut_snapshot::{Digest, Endpoint, EndpointSet, Objects, Snapshot, SourceMap};
use tokio::io::DuplexStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::api::{ApiError, Client};
use crate::command::{Order, Target};
use crate::offer::{Broken, Compiled};
use crate::record::{Record, What};
use crate::status::{DriftKind, MemberState, Outcome, Waited, sample};

const WORKLOADS: [&str; 2] = ["shop/cart", "shop/orders"];

/// Longer than any test: nothing here waits for a lease to end.
const LONG: Duration = Duration::from_secs(120);

fn snapshot(mark: u8) -> Snapshot {
    mesh(&WORKLOADS, u32::from(mark))
}

fn offer(mark: u8) -> Offer {
    let source_map = SourceMap {
        repository: "shop".into(),
        commit: "".into(),
        compiler: "1".into(),
        files: vec![],
        objects: vec![],
    };
    let endpoints = EndpointSet { endpoints: vec![] };
    let compiled = Compiled { snapshot: snapshot(mark), endpoints, source_map };
    Offer { commit: sample::release(mark).commit, compiled: Ok(compiled) }
}

fn commit(mark: u8) -> Target {
    Target::Commit(offer(mark).commit.short().to_owned())
}

fn ada() -> Order {
    Order { who: "Ada".to_owned(), why: "a bad day".to_owned() }
}

/// Streams in memory: what one end connects, the other accepts.
#[derive(Clone)]
struct Wires {
    peer: String,
    wires: mpsc::UnboundedSender<io::Result<(DuplexStream, String)>>,
}

impl Connect for Wires {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 << 10);
        match self.wires.send(Ok((far, self.peer.clone()))) {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// Runs snapshots by writing down that it does.
#[derive(Default)]
struct Notebook {
    ran: Mutex<Vec<Running>>,
    refuses: Option<Digest>,
}

impl Runner for Notebook {
    type Prepared = ();

    fn prepare(&self, snapshot: Digest, _objects: &Objects) -> Result<(), Refused> {
        match self.refuses {
            Some(refused) if refused == snapshot => Err(Refused { object: None, why: "port 8080 is taken".to_owned() }),
            _ => Ok(()),
        }
    }

    fn activate(&self, (): (), snapshot: Digest, generation: u64) {
        self.ran.lock().unwrap().push(Running { snapshot, generation });
    }

    fn endpoints(&self, _endpoints: &EndpointSet) {}

    fn certificate(&self) -> Option<CertificateReport> {
        None
    }
}

struct Reconciler {
    offers: mpsc::Sender<Offer>,
    wires: mpsc::UnboundedSender<io::Result<(DuplexStream, String)>>,
    stop: oneshot::Sender<()>,
    life: JoinHandle<Result<(), ControlError>>,
}

impl Reconciler {
    fn start(state: &Path) -> Reconciler {
        Reconciler::start_with(state, LONG)
    }

    fn start_with(state: &Path, lease: Duration) -> Reconciler {
        let ledger = Ledger::open(state).unwrap();
        let (wires, incoming) = mpsc::unbounded_channel();
        let (sender, arrivals) = mpsc::channel(64);
        tokio::spawn(serve(UnboundedReceiverStream::new(incoming), sender, std::future::pending()));
        let (offers, offered) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let config = ControlConfig {
            lease,
            heal_after: Duration::from_millis(200),
            endpoint_grace: LONG,
            authority: "spiffe://cluster.local/ns/taut/sa/ca".to_owned(),
        };
        let shutdown = async { drop(stopped.await) };
        let life = tokio::spawn(run(config, ledger, offered, arrivals, shutdown));
        Reconciler { offers, wires, stop, life }
    }

    /// A connection, as soon as the socket is there.
    async fn client(&self, state: &Path) -> Client {
        loop {
            match Client::connect(state).await {
                Ok(client) => return client,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn member(&self, workload: &str, state: &Path, runner: Notebook) -> Member {
        let (namespace, name) = workload.split_once('/').unwrap();
        let peer = format!("spiffe://cluster.local/ns/{namespace}/sa/{name}");
        let wires = Wires { peer, wires: self.wires.clone() };
        let runner = Arc::new(runner);
        let (stop, stopped) = watch::channel(false);
        let (place, places) = watch::channel(Some(endpoint(name, namespace, name, 1)));
        let kind = MemberKind::Proxy { workload: workload.to_owned() };
        let told = watch::Sender::new(Told::Nobody);
        let config = MemberConfig { name: format!("{name}-1"), kind, state: state.to_owned(), endpoint: places, told };
        let life = tokio::spawn(follow(config, Arc::clone(&runner), wires, stopped));
        Member { runner, stop, _place: place, life }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.life.await.unwrap().unwrap();
    }
}

struct Member {
    runner: Arc<Notebook>,
    stop: watch::Sender<bool>,
    _place: watch::Sender<Option<Endpoint>>,
    life: JoinHandle<Result<(), taut_delivery::DeliveryError>>,
}

impl Member {
    fn ran(&self) -> Vec<Running> {
        self.runner.ran.lock().unwrap().clone()
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.life.await.unwrap().unwrap();
    }
}

async fn waited(client: &mut Client, target: Target) -> Waited {
    client.wait(target, LONG, |_| ()).await.unwrap()
}

/// What happened, oldest first.
async fn words(client: &mut Client) -> Vec<&'static str> {
    let mut records = client.history(100).await.unwrap();
    records.reverse();
    records.iter().map(|record| record.what.word()).collect()
}

async fn until(client: &mut Client, what: What) -> Record {
    loop {
        let records = client.history(100).await.unwrap();
        if let Some(record) = records.into_iter().find(|record| record.what == what) {
            return record;
        }
    }
}

async fn until_members(client: &mut Client, count: usize) {
    while client.status().await.unwrap().members.len() != count {
        tokio::task::yield_now().await;
    }
}

fn run_of(mark: u8, generation: u64) -> Running {
    Running { snapshot: snapshot(mark).id, generation }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_goes_live_on_all_and_is_taken_back_by_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let reconciler = Reconciler::start(&state);
    let mut client = reconciler.client(&state).await;
    let cart = reconciler.member("shop/cart", &folder.path().join("cart"), Notebook::default());
    let orders = reconciler.member("shop/orders", &folder.path().join("orders"), Notebook::default());
    until_members(&mut client, 2).await;
    assert!(!client.status().await.unwrap().converged, "nothing is active yet");

    reconciler.offers.send(offer(1)).await.unwrap();
    let done = waited(&mut client, commit(1)).await;
    assert_eq!(done.outcome, Outcome::Done, "{}", done.said);
    reconciler.offers.send(offer(2)).await.unwrap();
    assert_eq!(waited(&mut client, commit(2)).await.outcome, Outcome::Done);
    let status = client.status().await.unwrap();
    assert!(status.converged);
    let states: Vec<_> = status.members.iter().map(|it| (it.name.as_str(), it.state, it.running)).collect();
    let live = |name| (name, MemberState::Live, Some(run_of(2, 2)));
    assert_eq!(states, [live("cart-1"), live("orders-1")]);
    assert_eq!(client.drift().await.unwrap(), []);

    let done = client.rollback(None, &ada()).await.unwrap();
    assert_eq!((done.generation, done.snapshot), (Some(3), Some(snapshot(1).id)));
    assert_eq!(waited(&mut client, Target::Generation(3)).await.outcome, Outcome::Done);
    assert_eq!(waited(&mut client, Target::Current).await.outcome, Outcome::Done);
    let refused = waited(&mut client, commit(2)).await;
    let why = "generation 3 is active, a rollback to what generation 1 was".to_owned();
    assert_eq!(refused, Waited { outcome: Outcome::Refused, said: why });

    reconciler.offers.send(offer(3)).await.unwrap();
    until(&mut client, What::Waiting).await;
    let status = client.status().await.unwrap();
    assert_eq!(status.waiting, [offer(3).commit]);
    assert_eq!(status.desired.hold.map(|hold| (hold.who, hold.why)), Some(("Ada".to_owned(), "a bad day".to_owned())));
    assert_eq!(client.drift().await.unwrap().first().map(|drift| drift.kind), Some(DriftKind::Git));
    assert_eq!(cart.ran(), [run_of(1, 1), run_of(2, 2), run_of(1, 3)], "git moves nothing meanwhile");

    assert_eq!(client.resume(&ada()).await.unwrap().generation, Some(4));
    assert_eq!(waited(&mut client, commit(3)).await.outcome, Outcome::Done);
    assert_eq!(cart.ran(), orders.ran());
    assert_eq!(cart.ran().last(), Some(&run_of(3, 4)));
    let expected = [
        "staging",
        "activated",
        "converged",
        "staging",
        "activated",
        "converged",
        "rollback",
        "activated",
        "converged",
        "waiting",
        "resume",
        "staging",
        "activated",
        "converged",
    ];
    assert_eq!(words(&mut client).await, expected);
    cart.stop().await;
    orders.stop().await;
    reconciler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_and_nobody_moves_and_everybody_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let reconciler = Reconciler::start(&state);
    let mut client = reconciler.client(&state).await;
    let picky = Notebook { refuses: Some(snapshot(2).id), ..Notebook::default() };
    let cart = reconciler.member("shop/cart", &folder.path().join("cart"), Notebook::default());
    let orders = reconciler.member("shop/orders", &folder.path().join("orders"), picky);
    until_members(&mut client, 2).await;
    reconciler.offers.send(offer(1)).await.unwrap();
    assert_eq!(waited(&mut client, commit(1)).await.outcome, Outcome::Done);

    reconciler.offers.send(offer(2)).await.unwrap();
    let refused = waited(&mut client, commit(2)).await;
    let said = "orders-1 refuses it: port 8080 is taken".to_owned();
    assert_eq!(refused, Waited { outcome: Outcome::Refused, said });
    let status = client.status().await.unwrap();
    assert_eq!(status.members[1].state, MemberState::Refused);
    assert_eq!(status.desired.rejection.map(|it| it.member), Some("orders-1".to_owned()));

    let broken = Broken { count: 2, lines: vec!["orders.yaml:14:17: no subset `v3`".to_owned()] };
    let commit_4 = sample::release(4).commit;
    reconciler.offers.send(Offer { commit: commit_4, compiled: Err(broken) }).await.unwrap();
    let refused = waited(&mut client, Target::Commit("0404".to_owned())).await;
    let said = "it does not compile: orders.yaml:14:17: no subset `v3`".to_owned();
    assert_eq!(refused, Waited { outcome: Outcome::Refused, said });

    reconciler.offers.send(offer(3)).await.unwrap();
    assert_eq!(waited(&mut client, commit(3)).await.outcome, Outcome::Done);
    let ran: Vec<Digest> = [cart.ran(), orders.ran()].concat().iter().map(|it| it.snapshot).collect();
    let (one, three) = (snapshot(1).id, snapshot(3).id);
    assert_eq!(ran, [one, three, one, three]);
    cart.stop().await;
    orders.stop().await;
    reconciler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_nothing_moves_and_nothing_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (state, disk) = (folder.path().join("state"), folder.path().join("cart"));
    let reconciler = Reconciler::start(&state);
    let mut client = reconciler.client(&state).await;
    reconciler.offers.send(offer(1)).await.unwrap();
    let cart = reconciler.member("shop/cart", &disk, Notebook::default());
    until_members(&mut client, 1).await;
    reconciler.offers.send(offer(2)).await.unwrap();
    assert_eq!(waited(&mut client, commit(2)).await.outcome, Outcome::Done);
    client.rollback(Some("0101".to_owned()), &ada()).await.unwrap();
    assert_eq!(waited(&mut client, Target::Generation(3)).await.outcome, Outcome::Done);
    let before = client.history(100).await.unwrap();
    let error = Ledger::open(&state).unwrap_err().to_string();
    assert!(error.contains("stop it, or give this one a folder of its own"), "{error}");
    reconciler.stop().await;
    cart.stop().await;

    let reconciler = Reconciler::start(&state);
    let mut client = reconciler.client(&state).await;
    reconciler.offers.send(offer(2)).await.unwrap();
    let cart = reconciler.member("shop/cart", &disk, Notebook::default());
    until_members(&mut client, 1).await;
    assert_eq!(waited(&mut client, Target::Generation(3)).await.outcome, Outcome::Done);
    assert_eq!(cart.ran(), [run_of(1, 3)], "booted from its disk, and not moved");
    assert_eq!(client.history(100).await.unwrap(), before, "nothing has happened");
    assert_eq!(client.status().await.unwrap().desired.hold.map(|hold| hold.who), Some("Ada".to_owned()));
    cart.stop().await;
    reconciler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tampered_with_is_drift_and_is_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let (state, disk) = (folder.path().join("state"), folder.path().join("cart"));
    // Members look at their disks with every report, five times in a lease.
    let reconciler = Reconciler::start_with(&state, Duration::from_secs(2));
    let mut client = reconciler.client(&state).await;
    let cart = reconciler.member("shop/cart", &disk, Notebook::default());
    until_members(&mut client, 1).await;
    reconciler.offers.send(offer(1)).await.unwrap();
    assert_eq!(waited(&mut client, commit(1)).await.outcome, Outcome::Done);
    cart.stop().await;
    let file = disk.join(format!("part-{}", snapshot(1).id));
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    // It cannot boot from that, and is given it anew: a member that has nothing is no drift, it is new.
    let cart = reconciler.member("shop/cart", &disk, Notebook::default());
    until(&mut client, What::Returned).await;
    assert_eq!(waited(&mut client, Target::Generation(1)).await.outcome, Outcome::Done);
    assert_eq!(cart.ran(), [run_of(1, 1)]);

    // Behind the back of one that runs, it is.
    std::fs::write(&file, b"nonsense").unwrap();
    let drift = until(&mut client, What::Drift).await;
    assert_eq!((drift.member.as_deref(), drift.what), (Some("cart-1"), What::Drift));
    let healed = until(&mut client, What::Healed).await;
    assert!(drift.at <= healed.at);
    assert_eq!(client.drift().await.unwrap(), []);
    assert_eq!(std::fs::read(&file).unwrap(), whole, "the same, written anew");
    assert!(cart.ran().iter().all(|running| *running == run_of(1, 1)), "{:?}", cart.ran());
    cart.stop().await;
    reconciler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_reconciler_is_told_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = Client::connect(folder.path()).await.unwrap_err();
    assert_eq!(error, ApiError::Nobody { socket: folder.path().join("control.sock") });
    assert!(error.to_string().contains("start one with `taut reconcile`"), "{error}");

    // A socket that a reconciler has left behind when it was killed.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
    let error = Client::connect(folder.path()).await.unwrap_err();
    assert!(matches!(error, ApiError::Nobody { .. }), "{error:?}");
    let reconciler = Reconciler::start(folder.path());
    reconciler.client(folder.path()).await.status().await.unwrap();
    reconciler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_with_too_long_a_name_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let reconciler = Reconciler::start(&folder.path().join("long".repeat(30)));
    let error = reconciler.life.await.unwrap().unwrap_err().to_string();
    assert!(error.ends_with("is too long for the socket in it: choose one of at most 94 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_give_orders() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let reconciler = Reconciler::start(folder.path());
    let mut client = reconciler.client(folder.path()).await;
    let mode = std::fs::metadata(folder.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let nameless = Order { who: String::new(), why: String::new() };
    let error = client.hold(&nameless).await.unwrap_err();
    assert!(matches!(error, ApiError::Refused(_)), "{error:?}");
    let error = client.rollback(None, &ada()).await.unwrap_err();
    assert_eq!(error, ApiError::Refused("nothing was ever active, so there is nothing to go back to".to_owned()));
    reconciler.stop().await;
}
