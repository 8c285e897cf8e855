//! Members with real disks, talked to over real gRPC on streams in memory.

use std::sync::Mutex;

use taut_snapshot::Snapshot;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::message::{Boots, FromMember, Refusal, Report, Running};
use crate::part::Part;
use crate::publisher::{self, Change};
use crate::serve::{Arrival, Outbox, serve};
use crate::simulation::{endpoint, mesh};

const WORKLOAD: &str = "shop/cart";
const PEER: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const LEASE: Duration = Duration::from_secs(10);

fn kind() -> MemberKind {
    MemberKind::Proxy { workload: WORKLOAD.to_owned() }
}

fn snapshot(mark: u32) -> Snapshot {
    mesh(&[WORKLOAD, "shop/orders"], mark)
}

fn part(mark: u32) -> Arc<Part> {
    Arc::new(Part::of(&snapshot(mark), &kind()).unwrap())
}

fn run(mark: u32, generation: u64) -> Running {
    Running { snapshot: snapshot(mark).id, generation }
}

/// Streams in memory: what one end connects, the other accepts.
struct Wires(mpsc::UnboundedSender<io::Result<(DuplexStream, String)>>);

impl Connect for Wires {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 << 10);
        match self.0.send(Ok((far, PEER.to_owned()))) {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// Runs snapshots by writing down that it does.
#[derive(Default)]
struct Notebook {
    ran: Mutex<Vec<Running>>,
    endpoints: Mutex<usize>,
    panics_at: Option<Digest>,
}

impl Runner for Notebook {
    type Prepared = ();

    fn prepare(&self, snapshot: Digest, _objects: &Objects) -> Result<(), Refused> {
        assert!(self.panics_at != Some(snapshot), "no such place");
        Ok(())
    }

    fn activate(&self, (): (), snapshot: Digest, generation: u64) {
        self.ran.lock().unwrap().push(Running { snapshot, generation });
    }

    fn endpoints(&self, endpoints: &EndpointSet) {
        *self.endpoints.lock().unwrap() = endpoints.endpoints.len();
    }

    fn certificate(&self) -> Option<CertificateReport> {
        None
    }
}

/// A publisher with one member, driven by hand.
struct Table {
    arrivals: mpsc::Receiver<Arrival>,
    session: publisher::Session,
    outbox: Option<Outbox>,
    started: Instant,
}

impl Table {
    /// A server for members, and the way to it.
    fn serve() -> (Table, Wires) {
        let (wires, incoming) = mpsc::unbounded_channel();
        let (sender, arrivals) = mpsc::channel(64);
        tokio::spawn(serve(UnboundedReceiverStream::new(incoming), sender, std::future::pending()));
        let session = publisher::Session::new(Duration::ZERO, LEASE);
        (Table { arrivals, session, outbox: None, started: Instant::now() }, Wires(wires))
    }

    fn input(&mut self, input: publisher::Input) -> Vec<Change> {
        let mut changes = Vec::new();
        for output in self.session.handle(self.started.elapsed(), input) {
            match output {
                publisher::Output::Send(message) => self.outbox.as_ref().unwrap().send(message),
                publisher::Output::Changed(change) => changes.push(change),
            }
        }
        changes
    }

    /// Goes on until the member has changed in some way.
    async fn until_changed(&mut self) -> Change {
        loop {
            let changes = match self.arrivals.recv().await.unwrap() {
                Arrival::Joined { peer, join, outbox, .. } => {
                    assert_eq!((peer.as_str(), join.name.as_str()), (PEER, "cart-1"));
                    self.outbox = Some(outbox);
                    self.input(publisher::Input::Joined(join))
                }
                Arrival::Reported { report, .. } => self.input(publisher::Input::Reported(report)),
                Arrival::Left { .. } => self.input(publisher::Input::Left),
                Arrival::Closed { .. } => self.input(publisher::Input::Disconnected),
            };
            if let Some(change) = changes.into_iter().next() {
                return change;
            }
        }
    }

    async fn until(&mut self, what: impl Fn(&Report) -> bool) -> Report {
        loop {
            if let Some(report) = self.session.report().filter(|report| what(report)) {
                return report.clone();
            }
            match self.arrivals.recv().await.unwrap() {
                Arrival::Joined { join, outbox, .. } => {
                    self.outbox = Some(outbox);
                    self.input(publisher::Input::Joined(join))
                }
                Arrival::Reported { report, .. } => self.input(publisher::Input::Reported(report)),
                Arrival::Left { .. } | Arrival::Closed { .. } => panic!("it went away"),
            };
        }
    }

    async fn deliver(&mut self, mark: u32, generation: u64) {
        self.until(|_| true).await;
        self.input(publisher::Input::Stage(part(mark), generation));
        assert_eq!(self.until_changed().await, Change::Staged(snapshot(mark).id));
        self.input(publisher::Input::Activate(run(mark, generation)));
        assert_eq!(self.until_changed().await, Change::Activated(run(mark, generation)));
    }
}

struct Member {
    runner: Arc<Notebook>,
    stop: watch::Sender<bool>,
    endpoint: watch::Sender<Option<Endpoint>>,
    life: JoinHandle<Result<(), DeliveryError>>,
}

fn member(state: &std::path::Path, wires: Wires, runner: Notebook) -> Member {
    let runner = Arc::new(runner);
    let (stop, stopped) = watch::channel(false);
    let (place, endpoint) = watch::channel(None);
    let told = watch::Sender::new(Told::Nobody);
    let config = MemberConfig { name: "cart-1".to_owned(), kind: kind(), state: state.to_owned(), endpoint, told };
    let life = tokio::spawn(follow(config, Arc::clone(&runner), wires, stopped));
    Member { runner, stop, endpoint: place, life }
}

impl Member {
    async fn stop(self) -> Arc<Notebook> {
        self.stop.send(true).unwrap();
        self.life.await.unwrap().unwrap();
        self.runner
    }
}

#[tokio::test]
async fn a_member_is_given_its_part_and_boots_from_it_with_nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let first = member(folder.path(), wires, Notebook::default());
    table.deliver(1, 1).await;
    table.deliver(2, 2).await;
    let report = table.until(|report| matches!(report.boots, Boots::From { .. })).await;
    assert_eq!(report.boots, Boots::From { running: run(2, 2), contents: part(2).contents });
    table.input(publisher::Input::Endpoints(vec![endpoint("orders-1", "shop", "orders", 2)]));
    table.until(|report| report.endpoints == 1).await;
    assert_eq!(*first.stop().await.ran.lock().unwrap(), [run(1, 1), run(2, 2)]);

    let (nowhere, _) = mpsc::unbounded_channel();
    let second = member(folder.path(), Wires(nowhere), Notebook::default());
    let runner = second.stop().await;
    assert_eq!(*runner.ran.lock().unwrap(), [run(2, 2)], "booted before anybody was asked");
    assert_eq!(*runner.endpoints.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_nothing_is_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let member = member(folder.path(), wires, Notebook::default());
    table.deliver(1, 1).await;
    table.outbox = None; // the stream ends
    while table.outbox.is_none() {
        if let Arrival::Joined { join, outbox, .. } = table.arrivals.recv().await.unwrap() {
            assert_eq!(join.report.running, Some(run(1, 1)));
            let part = part(1);
            assert!(part.objects.iter().all(|(name, _)| join.holds.contains(name)), "{:?}", join.holds);
            table.outbox = Some(outbox);
        }
    }
    assert_eq!(*member.stop().await.ran.lock().unwrap(), [run(1, 1)]);
}

#[tokio::test]
async fn a_runner_that_panics_over_a_snapshot_refuses_it_and_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let runner = Notebook { panics_at: Some(snapshot(2).id), ..Notebook::default() };
    let member = member(folder.path(), wires, runner);
    table.deliver(1, 1).await;
    table.input(publisher::Input::Stage(part(2), 2));
    let refused = Refused { object: None, why: "a fault of the program: no such place".to_owned() };
    let refusal = Refusal { snapshot: snapshot(2).id, generation: 2, refused };
    assert_eq!(table.until_changed().await, Change::Refused(refusal));
    table.deliver(3, 3).await;
    member.stop().await;
}

#[tokio::test]
async fn a_change_of_place_is_reported_at_once_and_leaving_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let member = member(folder.path(), wires, Notebook::default());
    table.until(|_| true).await;
    let place = endpoint("cart-1", "shop", "cart", 1);
    member.endpoint.send(Some(place.clone())).unwrap();
    assert_eq!(table.until(|report| report.endpoint.is_some()).await.endpoint, Some(place));
    let stopping = tokio::spawn(member.stop());
    let left = loop {
        match table.arrivals.recv().await.unwrap() {
            Arrival::Left { .. } => break true,
            Arrival::Closed { .. } => break false,
            _ => (),
        }
    };
    assert!(left, "it says that it leaves before it goes");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_flipped_byte_on_disk_is_reported_while_the_member_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let member = member(folder.path(), wires, Notebook::default());
    table.deliver(1, 1).await;
    let file = folder.path().join(format!("part-{}", snapshot(1).id));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let report = table.until(|report| matches!(report.boots, Boots::Damaged(_))).await;
    assert_eq!(report.running, Some(run(1, 1)));

    table.deliver(1, 1).await; // what runs is delivered again, and the disk is whole again
    table.until(|report| matches!(report.boots, Boots::From { .. })).await;
    member.stop().await;
}

#[tokio::test]
async fn whoever_does_not_begin_with_a_join_is_told_so() {
    let (_table, wires) = Table::serve();
    let mut connected = dial(Arc::new(wires)).await.unwrap();
    let outbox = connected.outbox.take().unwrap();
    outbox.send(from_member(FromMember::Leave)).await.unwrap();
    let said = read_to_member(connected.inbox.message().await.unwrap().unwrap()).unwrap();
    assert_eq!(said, ToMember::Rejected { why: "the first message must be a join".to_owned() });
    assert!(connected.inbox.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_member_on_one_folder_is_told_to_take_another() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, wires) = Table::serve();
    let first = member(folder.path(), wires, Notebook::default());
    table.until(|_| true).await;
    let (nowhere, _) = mpsc::unbounded_channel();
    let second = member(folder.path(), Wires(nowhere), Notebook::default());
    let error = second.life.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("give this one a folder of its own"), "{error}");
    first.stop().await;
}
