//! A client's proxy and a server's, of one fleet that follows a repository.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Serving, commit, git, repository, serving, taut_with_input};
use taut_control::{Client, Target as Goal};
use tokio::runtime::Runtime;

use super::load::{Protocol, Target, pacing, try_once};
use super::process::stand_back;

/// How many routes one of the hosts has, of which the last one is asked for.
pub(crate) const MANY: usize = 1_000;

/// What a large snapshot has: so many services, each with so many routes.
pub(crate) const SERVICES: usize = 1_000;
pub(crate) const ROUTES: usize = 10;

/// Longer than any push takes.
const PATIENCE: Duration = Duration::from_secs(60);

const MESH: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/frontend]}}]
    to: [{operation: {methods: [GET]}}]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 8080}, {name: http2, port: 8081}]}
---
apiVersion: v1
kind: Service
metadata: {name: many, namespace: shop}
spec: {selector: {app: nobody}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
spec: {serviceAccountName: frontend, containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec: {serviceAccountName: orders, containers: [{name: app}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many, namespace: shop}
spec:
  hosts: [many]
  http:
";

/// A host of 1,000 routes, of which the last one is asked for.
fn mesh() -> String {
    let mut text = MESH.to_owned();
    for number in 0..MANY {
        let _ = writeln!(
            text,
            "  - match: [{{uri: {{prefix: /route-{number}/}}}}]\n    route: [{{destination: {{host: orders, port: {{number: 8080}}}}}}]"
        );
    }
    text
}

/// Services with routes that nobody asks for; those of each round are others.
fn services(round: usize) -> String {
    let mut text = String::new();
    for service in 0..SERVICES {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: svc-{service}, namespace: shop}}\n\
             spec: {{selector: {{app: svc-{service}}}, ports: [{{name: http, port: 8080}}]}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: svc-{service}, namespace: shop}}\n\
             spec:\n  hosts: [svc-{service}]\n  http:"
        );
        for route in 0..ROUTES {
            let _ = writeln!(
                text,
                "  - match: [{{uri: {{prefix: /round-{round}-{route}/}}}}]\n    route: [{{destination: {{host: svc-{service}}}}}]"
            );
        }
    }
    text
}

/// Where a client's proxy listens.
fn listening(client: &Serving) -> [SocketAddr; 2] {
    let said: serde_json::Value = serde_json::from_str(&client.first_line).expect("it says where it listens");
    [0, 1].map(|at| {
        let address = said["binds"][at]["address"].as_str().expect("it has an address");
        address.parse().expect("it is an address")
    })
}

pub(crate) struct Tauts {
    folder: tempfile::TempDir,
    client: Serving,
    /// What it was started with.
    arguments: Vec<String>,
    server: Serving,
    listening: [SocketAddr; 2],
    /// The authority and the reconciler.
    others: [Serving; 2],
    runtime: Runtime,
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Tauts {
    pub(crate) fn start(application: SocketAddr) -> Tauts {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| text(&folder.path().join(name));
        repository(&folder.path().join("work"), &[("mesh.yaml", mesh().as_bytes())]);
        let run = |arguments: &[&str]| serving(arguments).unwrap_or_else(|run| panic!("{arguments:?}: {run:?}"));
        let token = |identity: &str| {
            let made = taut_with_input(&["ca", "token", identity, "--state", &path("ca")], b"");
            made.stdout.trim().to_owned()
        };
        std::fs::create_dir(folder.path().join("ca")).expect("a folder can be made");
        let (ca, reconciler) = (format!("@{}", path("ca/address")), format!("@{}", path("reconciler/address")));
        let authority =
            run(&["ca", "serve", "--state", &path("ca"), "--listen", "127.0.0.1:0", "--reconciler", &reconciler]);
        let joined = token("reconciler");
        let (work, state) = (path("work"), path("reconciler"));
        let mut arguments = vec!["reconcile", "--repo", &work, "--branch", "main", "--state", &state, "--ca", &ca];
        arguments.extend(["--join-token", &joined, "--listen", "127.0.0.1:0"]);
        let reconciling = run(&arguments);
        let proxy = |workload: &str, binds: &[&str]| {
            let (joined, state, of) = (token(&format!("shop/{workload}")), path(workload), format!("shop/{workload}"));
            let mut arguments = vec!["proxy", "--workload", &of, "--name", workload, "--state", &state];
            arguments.extend(["--ca", &ca, "--reconciler", &reconciler, "--join-token", &joined, "--workers", "1"]);
            arguments.extend(binds);
            arguments.extend(["--admin", "127.0.0.1:0", "--format", "json"]);
            (run(&arguments), arguments.into_iter().map(str::to_owned).collect::<Vec<String>>())
        };
        let inbound = ["8080", "8081"].map(|port| format!("{port}=127.0.0.1:0,{application}"));
        let (server, _) = proxy("orders", &["--inbound", &inbound[0], "--inbound", &inbound[1]]);
        let (client, arguments) =
            proxy("frontend", &["--outbound", "8080=127.0.0.1:0", "--outbound", "8081=127.0.0.1:0"]);
        let listening = listening(&client);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let tauts = Tauts {
            folder,
            client,
            arguments,
            server,
            listening,
            others: [authority, reconciling],
            runtime: runtime.expect("a runtime"),
        };
        let _ = tauts.control();
        tauts
    }

    /// A connection to the reconciler, once all members are live.
    fn control(&self) -> Client {
        self.runtime.block_on(async {
            let mut client = Client::connect(&self.folder.path().join("reconciler")).await.expect("it answers");
            loop {
                let status = client.status().await.expect("it answers");
                if status.converged && status.members.len() == 3 {
                    return client;
                }
                tokio::task::yield_now().await;
            }
        })
    }

    /// The client's proxy first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        vec![self.client.id(), self.server.id()]
    }

    pub(crate) fn target(&self, protocol: Protocol) -> Target {
        let address = self.listening[usize::from(protocol == Protocol::Http2)];
        Target { address, host: "orders", path: "/".to_owned() }
    }

    /// Pushes a large snapshot, another one each round, while requests are made. In a mesh the reconciler runs on another machine; here it shares
    /// a processor with the load and the application, and would be measured with them if it did not stand back.
    pub(crate) fn moves_under_load(&self, round: usize, target: &Target, rate: f64) -> Moved {
        self.others.iter().for_each(|other| stand_back(other.id()));
        let mut control = self.control();
        let work = self.folder.path().join("work");
        // Commits are made where nobody looks, and not while anything is measured: who pushes is on another machine as well.
        git(&work, &["checkout", "--quiet", "-B", "next"]);
        let make = |services: &str| commit(&work, &[("services.yaml", services.as_bytes())]);
        let mut push = |revision: String| {
            move_branch(&work, &revision);
            let waited = self.runtime.block_on(control.wait(Goal::Commit(revision), PATIENCE, |_| ()));
            assert_eq!(waited.expect("it answers").outcome, taut_control::Outcome::Done);
        };
        // As it was before the round before this.
        push(make(""));
        let large = make(&services(round));
        let loading = pacing(target, rate, Duration::from_secs(20));
        let begun = now();
        // Long enough to know what is usual.
        let steady = Duration::from_secs(4);
        let begun_at = Instant::now();
        self.runtime.block_on(async { tokio::time::sleep_until((begun_at + steady).into()).await });
        push(large);
        let live = now();
        let loaded = loading.finish();
        Moved {
            failed: loaded.failed(),
            before: loaded.p99(Some((begun + 1.0, begun + steady.as_secs_f64()))),
            during: loaded.p99(Some((live - 0.9, live + 0.1))),
        }
    }
}

impl Tauts {
    /// The client's proxy, begun anew with what it runs: as Envoy's is, which has served nothing and held nothing else.
    pub(crate) fn begun_anew(mut self) -> (Tauts, u32) {
        self.client.kill();
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.client = serving(&arguments).unwrap_or_else(|run| panic!("{arguments:?}: {run:?}"));
        self.listening = listening(&self.client);
        // It is answered once the snapshot is loaded.
        try_once(&self.target(Protocol::Http1));
        let id = self.client.id();
        (self, id)
    }
}

/// Has `main` name a revision, as git does it: a process for it would take the processor from the load, and be measured.
fn move_branch(repository: &Path, revision: &str) {
    let branch = repository.join(".git/refs/heads/main");
    let lock = branch.with_extension("lock");
    std::fs::write(&lock, format!("{revision}\n")).expect("a file can be made");
    std::fs::rename(&lock, &branch).expect("it can be moved");
}

/// What a snapshot did to requests that were under way.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) failed: f64,
    /// Seconds within which 99 of 100 were answered before it came, and in the second in which it was activated.
    pub(crate) before: f64,
    pub(crate) during: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64()
}
