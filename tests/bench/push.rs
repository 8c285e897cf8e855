//! From a push to live on every member, beside what no design can do without: one fetch, one fsync, and one round trip
//! to each member.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Serving, commit, git, repository, root, serving, taut_with_input};
use taut_control::{Client, Outcome, Target};
use tokio::runtime::Runtime;

use crate::cold::seconds;
use crate::pairs::{Figure, Goal, median};

/// Nine proxies and the authority.
const PROXIES: usize = 9;

/// Longer than any push takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of a record in a ledger.
const RECORD: [u8; 600] = [b'x'; 600];

pub(crate) fn run(quick: bool) -> Vec<Figure> {
    let rounds = if quick { 11 } else { 51 };
    let fleet = Fleet::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let client = fleet.client(&runtime);
    let (mut lives, mut fetches, mut fsyncs, mut trips, mut pairs) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        let live = fleet.push(&runtime, &client, round);
        let (fetch, fsync, trip) = (fleet.fetch(), fleet.fsync(), fleet.round_trips());
        lives.push(live);
        fetches.push(fetch);
        fsyncs.push(fsync);
        trips.push(trip);
        pairs.push((live, fetch + fsync + trip));
    }
    let case = format!("{} members", PROXIES + 1);
    let beside = |metric, theirs: &[f64], goal| {
        let pairs: Vec<(f64, f64)> = lives.iter().copied().zip(theirs.iter().copied()).collect();
        Figure { bench: "push", ..Figure::of_pairs("push to live, seconds", &case, metric, &pairs, goal) }
    };
    let whole = Figure::of_pairs("push to live, seconds", &case, "fetch + fsync + round trips", &pairs, Goal::Seen);
    debug_assert!(0.0 < median(lives.iter().copied()));
    vec![
        beside("one fetch", &fetches, Goal::Seen),
        beside("one fsync", &fsyncs, Goal::Seen),
        beside("one round trip to each", &trips, Goal::Seen),
        Figure { bench: "push", ..whole },
    ]
}

struct Fleet {
    folder: tempfile::TempDir,
    admins: Vec<SocketAddr>,
    _processes: Vec<Serving>,
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Fleet {
    /// A bare repository that is pushed to, a clone that pushes, one that fetches, and everything that follows.
    fn start() -> Fleet {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| text(&folder.path().join(name));
        let work = folder.path().join("work");
        let mesh = fs::read(root().join("golden/cases/demo/shop/mesh.yaml")).expect("the demo's mesh");
        let orders = fs::read(root().join("golden/cases/demo/shop/orders.yaml")).expect("the demo's mesh");
        repository(&work, &[("mesh.yaml", &mesh), ("orders.yaml", &orders)]);
        git(folder.path(), &["clone", "--quiet", "--bare", "work", "remote"]);
        git(folder.path(), &["clone", "--quiet", "--bare", "remote", "other"]);
        git(&work, &["remote", "add", "origin", &path("remote")]);
        let run = |arguments: &[&str]| serving(arguments).unwrap_or_else(|run| panic!("{arguments:?}: {run:?}"));
        let token = |identity: &str| {
            let made = taut_with_input(&["ca", "token", identity, "--state", &path("ca")], b"");
            made.stdout.trim().to_owned()
        };
        fs::create_dir(folder.path().join("ca")).expect("a folder can be made");
        let (ca, reconciler) = (format!("@{}", path("ca/address")), format!("@{}", path("reconciler/address")));
        let mut processes =
            vec![run(&["ca", "serve", "--state", &path("ca"), "--listen", "127.0.0.1:0", "--reconciler", &reconciler])];
        let joined = token("reconciler");
        let mut arguments = vec!["reconcile", "--repo", "REMOTE", "--branch", "main", "--state", "STATE", "--ca", &ca];
        let (remote, state) = (path("remote"), path("reconciler"));
        (arguments[2], arguments[6]) = (&remote, &state);
        arguments.extend(["--join-token", &joined, "--listen", "127.0.0.1:0"]);
        processes.push(run(&arguments));
        let mut admins = Vec::new();
        for number in 0..PROXIES {
            let (name, joined) = (format!("frontend-{number}"), token("shop/frontend"));
            let state = path(&name);
            let mut arguments = vec!["proxy", "--workload", "shop/frontend", "--name", &name, "--state", &state];
            arguments.extend(["--ca", &ca, "--reconciler", &reconciler, "--join-token", &joined, "--workers", "1"]);
            arguments.extend(["--outbound", "8080=127.0.0.1:0", "--admin", "127.0.0.1:0", "--format", "json"]);
            let process = run(&arguments);
            let said: serde_json::Value = serde_json::from_str(&process.first_line).expect("it says where it listens");
            admins.push(said["admin"].as_str().and_then(|it| it.parse().ok()).expect("it has an admin page"));
            processes.push(process);
        }
        Fleet { folder, admins, _processes: processes }
    }

    /// A connection to the reconciler, once all members are live.
    fn client(&self, runtime: &Runtime) -> Client {
        runtime.block_on(async {
            let mut client = Client::connect(&self.folder.path().join("reconciler")).await.expect("it answers");
            loop {
                let status = client.status().await.expect("it answers");
                if status.converged && status.members.len() == PROXIES + 1 {
                    return client;
                }
                tokio::task::yield_now().await;
            }
        })
    }

    /// Seconds from `git push` to live on every member.
    fn push(&self, runtime: &Runtime, client: &Client, round: usize) -> f64 {
        let work = self.folder.path().join("work");
        let step = if round.is_multiple_of(2) { "canary" } else { "all-v2" };
        let orders = fs::read(root().join(format!("golden/cases/demo/steps/{step}.yaml"))).expect("the demo's steps");
        let revision = commit(&work, &[("orders.yaml", &orders)]);
        let mut client = client.clone();
        let waited = runtime.spawn(async move {
            let waited = client.wait(Target::Commit(revision), PATIENCE, |_| ()).await;
            (waited.expect("it answers"), Instant::now())
        });
        let pushed = Instant::now();
        git(&work, &["push", "--quiet", "origin", "main"]);
        let (waited, live) = runtime.block_on(waited).expect("waiting does not panic");
        assert_eq!(waited.outcome, Outcome::Done, "{}", waited.said);
        (live - pushed).as_secs_f64()
    }

    /// Seconds of one fetch of the same commit.
    fn fetch(&self) -> f64 {
        let other = self.folder.path().join("other");
        seconds(|| drop(git(&other, &["fetch", "--quiet", "origin", "main"])))
    }

    /// Seconds of one record written and synced, where the ledger is.
    fn fsync(&self) -> f64 {
        let mut file = File::create(self.folder.path().join("record")).expect("a file can be made");
        seconds(|| {
            file.write_all(&RECORD).expect("a record can be written");
            file.sync_all().expect("a record can be synced");
        })
    }

    /// Seconds of one request and response to each proxy, one after the other, on connections that are open already; and
    /// one more, for the authority.
    fn round_trips(&self) -> f64 {
        let mut open: Vec<TcpStream> =
            self.admins.iter().map(|admin| TcpStream::connect(admin).expect("it listens")).collect();
        let mut again = || {
            for stream in &mut open {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
                let mut answer = [0; 4096];
                let read = stream.read(&mut answer).expect("it answers");
                assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            }
        };
        again(); // the first request on a connection pays for its making
        seconds(again) * (PROXIES + 1) as f64 / PROXIES as f64
    }
}
