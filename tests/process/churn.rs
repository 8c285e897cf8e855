//! Churn: a snapshot a second, members that crash and stop and start again, applications that come and go, and clients
//! that ask all the time. Every request that fails is explained by what the test did where it went, at that moment.
//!
//! It takes `TAUT_CHURN_SECONDS` seconds, 25 if nothing is said. Reading order: `fleet` is who takes part, `applications`
//! and `clients` are at its ends, `judge` says what explains a failure.

mod applications;
mod clients;
mod fleet;
mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use harness::{commit, compile_text, repository};
use taut_control::{Client, Outcome, Record, Target, What};
use tokio::runtime::Runtime;

use applications::{Application, Manner};
use clients::{Asker, Load, Speaks};
use fleet::{End, Fleet, Held, PATIENCE, pause, until};
use judge::{Fault, Judge, Line, lines};

/// By which a rule tells the application and the client of its round.
const ROUND: &str = "x-round";

/// How often there is a snapshot.
const TICK: Duration = Duration::from_secs(1);

/// How long an application behaves badly, and well again.
const FLAP: Duration = Duration::from_millis(400);

/// After how many rounds the reconciler is asked what it did, and for how many records: more than these rounds leave.
const READ_AFTER: usize = 20;
const RECORDS_READ: usize = 1_000;

/// Services, each with its port and its protocol's name, and whose rules try again.
const SERVICES: [(&str, u16, &str); 4] =
    [("orders", 8080, "http"), ("store", 8080, "http2"), ("alone", 8080, "http"), ("ledger", 9000, "tcp")];
const TRIES_AGAIN: &[&str] = &["orders"];

/// What takes part: of each service with several endpoints, `a`'s application flaps, `b`'s proxy is restarted, and nobody
/// harms `c`.
const SERVERS: [(&str, &str); 9] = [
    ("orders-a", "orders"),
    ("orders-b", "orders"),
    ("orders-c", "orders"),
    ("store-a", "store"),
    ("store-b", "store"),
    ("store-c", "store"),
    ("alone", "alone"),
    ("ledger-a", "ledger"),
    ("ledger-b", "ledger"),
];
const FRONTENDS: [&str; 2] = ["frontend-a", "frontend-b"];

/// Whose application flaps, and how.
const FLAPPING: [&str; 4] = ["orders-a", "store-a", "ledger-a", "alone"];
const MANNERS: [Manner; 3] = [Manner::Refuses, Manner::Resets, Manner::Closes];

/// What is ended and started again, in turn.
const RESTARTS: [(&str, End); 11] = [
    ("orders-b", End::Killed),
    ("store-b", End::Stopped),
    ("frontend-a", End::Killed),
    ("reconciler", End::Killed),
    ("ledger-b", End::Killed),
    ("orders-b", End::Stopped),
    ("frontend-a", End::Stopped),
    ("ca", End::Killed),
    ("store-b", End::Killed),
    ("ledger-b", End::Stopped),
    ("reconciler", End::Stopped),
];

/// How much more a process may hold afterwards than when it began: what an allocator keeps, and connections of its pools.
const MEMORY_MORE_KIB: u64 = 40 * 1024;
const DESCRIPTORS_MORE: usize = 24;

fn seconds() -> u64 {
    std::env::var("TAUT_CHURN_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// What stays as it is.
fn mesh() -> String {
    let mut text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n\
        apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\n\
        spec: {mtls: {mode: STRICT}}\n"
        .to_owned();
    for (name, port, protocol) in SERVICES {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: {protocol}, port: {port}}}]}}\n"
        );
    }
    for name in SERVICES.map(|service| service.0).into_iter().chain(["frontend"]) {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
             spec: {{serviceAccountName: {name}, containers: [{{name: app}}]}}\n"
        );
    }
    text
}

/// What each round changes: the rule and the subset that it leads to have the round in their names, and what the rule says
/// to the application and to the client is the round as well. So whoever mixes two rounds is seen.
fn round(number: u64) -> String {
    let mut text = String::new();
    for (name, _, protocol) in SERVICES {
        let _ = write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: {name}, namespace: shop}}\n\
             spec: {{host: {name}, trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {}s}}}}}}, \
             subsets: [{{name: round-{number}, labels: {{app: {name}}}}}]}}\n\
             ---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{matchLabels: {{app: {name}}}}}, rules: [{{from: [{{source: {{principals: \
             [cluster.local/ns/shop/sa/frontend, cluster.local/ns/shop/sa/round-{number}]}}}}]}}]}}\n\
             ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n",
            2 + number % 3,
        );
        let route = format!("route: [{{destination: {{host: {name}, subset: round-{number}}}}}]");
        let again = if TRIES_AGAIN.contains(&name) {
            "{attempts: 4, retryOn: '5xx,reset,connect-failure,refused-stream'}"
        } else {
            "{attempts: 0}"
        };
        let _ = match protocol {
            "tcp" => writeln!(text, "spec: {{hosts: [{name}], tcp: [{{{route}}}]}}"),
            _ => writeln!(
                text,
                "spec: {{hosts: [{name}], http: [{{name: round-{number}, {route}, retries: {again}, timeout: 10s, headers: \
                 {{request: {{set: {{{ROUND}: 'r{number}'}}}}, response: {{set: {{{ROUND}: 'r{number}'}}}}}}}}]}}"
            ),
        };
    }
    // Services that come and go.
    for extra in 0..number % 4 {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: extra-{extra}, namespace: shop}}\n\
             spec: {{selector: {{app: extra}}, ports: [{{name: http, port: 8080}}]}}\n"
        );
    }
    text
}

/// Faults, as they are made.
struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    fn during(&self, member: &'static str, what: &str, seen: bool, work: impl FnOnce()) {
        let began = SystemTime::now();
        work();
        let fault = Fault { member, what: what.to_owned(), seen, began, ended: SystemTime::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
}

#[test]
fn under_churn_every_failed_request_is_explained_and_all_end_on_the_last_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let work = folder.path().join("work");
    let mut revisions =
        vec![repository(&work, &[("mesh.yaml", mesh().as_bytes()), ("round.yaml", round(0).as_bytes())])];
    let mut fleet = Fleet::start(folder.path(), &work, runtime.handle().clone());
    let applications = join_all(&mut fleet);
    until("all are live", || fleet.status().is_some_and(|it| it.converged && it.members.len() == SERVERS.len() + 3));
    let load = Load::start(askers(&fleet), runtime.handle());
    let tally = load.tally.clone();
    let answered = |more: u64| {
        let from = tally.lock().unwrap().answered;
        until("requests are answered", || from + more <= tally.lock().unwrap().answered);
    };
    // Before there is any fault, nothing fails; but who has just started may not know everybody yet.
    until("everybody is found", || fleet.all_found());
    tally.lock().unwrap().failures.clear();
    let calm = SystemTime::now();
    answered(200);
    let before = fleet.held();

    let mut history = BTreeMap::new();
    let faults = Faults(Mutex::new(Vec::new()));
    let over = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(seconds());
    let fleet = std::thread::scope(|scope| {
        let restarting = scope.spawn(|| restart_in_turn(fleet, &faults, &over));
        let flapping = scope.spawn(|| flap_in_turn(&applications, runtime.handle(), &faults, &over));
        while Instant::now() < deadline && !restarting.is_finished() && !flapping.is_finished() {
            let next = Instant::now() + TICK;
            revisions.push(commit(&work, &[("round.yaml", round(revisions.len() as u64).as_bytes())]));
            if revisions.len().is_multiple_of(READ_AFTER) {
                read_history(folder.path(), &runtime, &mut history);
            }
            pause(next.saturating_duration_since(Instant::now()));
        }
        over.store(true, Ordering::Relaxed);
        flapping.join().unwrap();
        restarting.join().unwrap()
    });
    let last = revisions.last().unwrap().clone();
    let waited = runtime.block_on(fleet.control().wait(Target::Commit(last.clone()), PATIENCE, |_| ())).unwrap();
    assert_eq!(waited.outcome, Outcome::Done, "{}\n{}", waited.said, fleet.said());
    answered(200);
    let tally = load.stop(runtime.handle());

    read_history(folder.path(), &runtime, &mut history);
    let rounds = rounds(revisions.len());
    for member in &fleet.members {
        let snapshot = member.snapshot();
        assert_eq!(rounds.get(&snapshot[..12]), Some(&(revisions.len() - 1)), "{} runs {snapshot}", member.name);
    }
    assert!(runtime.block_on(fleet.control().drift()).unwrap().is_empty());
    let held = returns(&fleet, &before);

    let logs: BTreeMap<&'static str, Vec<Line>> =
        fleet.members.iter().map(|member| (member.name, lines(&member.log))).collect();
    let addresses =
        fleet.members.iter().flat_map(|it| it.inbound.iter().map(|(at, since)| (*at, *since, it.name))).collect();
    let moved = none_is_mixed(&logs, &rounds);
    fleet.end();
    let faults = faults.0.into_inner().unwrap();
    let judge = Judge { faults, logs, addresses, always_answer: TRIES_AGAIN };
    let pairs = both_ends_are_adjacent(&judge, &activations(&history));
    let (mut explained, mut unexplained) = (BTreeMap::<String, usize>::new(), Vec::new());
    for failure in &tally.failures {
        match judge.explains(failure) {
            Ok(why) => *explained.entry(format!("{}: {why}", failure.service)).or_default() += 1,
            Err(story) => unexplained.push(story),
        }
    }
    let shown: Vec<&String> = unexplained.iter().take(10).collect();
    let said = format!(
        "{} answered, {} failed, {} faults, {} commits, {moved} snapshots seen, {pairs} pairs of proxies, in {:?}; memory and descriptors: {held}explained: {explained:#?}\n",
        tally.answered,
        tally.failures.len(),
        judge.faults.len(),
        revisions.len(),
        calm.elapsed().unwrap(),
    );
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(
        unexplained.is_empty(),
        "{} failures have no explanation:\n{}",
        unexplained.len(),
        shown.iter().map(|it| format!("{it}\n")).collect::<String>()
    );
}

fn join_all(fleet: &mut Fleet) -> BTreeMap<&'static str, Application> {
    let mut applications = BTreeMap::new();
    for (name, service) in SERVERS {
        let (_, port, protocol) = SERVICES.into_iter().find(|it| it.0 == service).expect("it is one of them");
        let speaks = if protocol == "tcp" { applications::Speaks::Bytes } else { applications::Speaks::Http };
        let application = Application::start(name, speaks, &fleet.runtime);
        fleet.join(name, service, &[format!("--inbound={port}=127.0.0.1:0,{}", application.address)]);
        applications.insert(name, application);
    }
    for name in FRONTENDS {
        fleet.join(name, "frontend", &["8080", "9000"].map(|port| format!("--outbound={port}=127.0.0.1:0")));
    }
    applications
}

/// On each frontend, one who asks each service; those of HTTP are asked in both of its versions.
fn askers(fleet: &Fleet) -> Vec<Asker> {
    let of = |frontend: &'static str| {
        SERVICES.into_iter().flat_map(move |(service, port, protocol)| {
            let speaks: &[Speaks] = if protocol == "tcp" { &[Speaks::Bytes] } else { &[Speaks::Http1, Speaks::Http2] };
            speaks.iter().map(move |speaks| (frontend, service, port, *speaks))
        })
    };
    let all = FRONTENDS.into_iter().flat_map(of);
    let asker = |(frontend, service, port, speaks): (&'static str, &'static str, u16, Speaks)| {
        let through = fleet.member(frontend).asks(port.into());
        Asker { frontend, service, speaks, through }
    };
    all.map(asker).collect()
}

fn restart_in_turn(mut fleet: Fleet, faults: &Faults, over: &AtomicBool) -> Fleet {
    for (name, how) in RESTARTS.into_iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Who is asked to stop fails nobody but its own application.
        let seen = how == End::Killed || FRONTENDS.contains(&name);
        faults.during(name, &format!("{how:?}"), seen, || fleet.restart(name, how));
        pause(FLAP);
    }
    fleet
}

fn flap_in_turn(
    applications: &BTreeMap<&'static str, Application>,
    runtime: &tokio::runtime::Handle,
    faults: &Faults,
    over: &AtomicBool,
) {
    // Each name meets each manner: their numbers have no divisor in common.
    for (name, manner) in FLAPPING.into_iter().cycle().zip(MANNERS.into_iter().cycle()) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        faults.during(name, &format!("one whose application {manner:?}"), true, || {
            applications[name].behaves(manner, runtime);
            pause(FLAP);
            applications[name].behaves(Manner::Serves, runtime);
        });
        pause(FLAP);
    }
}

/// Adds what the reconciler remembers, by number; nothing if it does not answer now.
fn read_history(folder: &Path, runtime: &Runtime, history: &mut BTreeMap<u64, Record>) {
    let read = runtime.block_on(async {
        let mut control = Client::connect(&folder.join("reconciler")).await.ok()?;
        control.history(RECORDS_READ).await.ok()
    });
    history.extend(read.into_iter().flatten().map(|record| (record.number, record)));
}

/// The snapshots that were activated, in their order, and when: each by the start of its id.
fn activations(history: &BTreeMap<u64, Record>) -> Vec<(String, SystemTime)> {
    let all = history.values().filter(|it| it.what == What::Activated);
    all.filter_map(|it| Some((it.snapshot?.short(), it.at))).collect()
}

/// The round of each snapshot, by the start of its id: the same mesh has the same one wherever it is compiled.
fn rounds(count: usize) -> BTreeMap<String, usize> {
    let of = |number: usize| {
        let (_, compiled) = compile_text(&(mesh() + &round(number as u64)));
        (compiled.snapshot.expect("it compiles").id.short(), number)
    };
    (0..count).map(of).collect()
}

/// That each request and connection was decided by one snapshot: the rule, and the cluster that it led to, are of the round
/// whose snapshot the line names. Answers how many snapshots decided something.
fn none_is_mixed(logs: &BTreeMap<&'static str, Vec<Line>>, rounds: &BTreeMap<String, usize>) -> usize {
    let mut seen = BTreeSet::new();
    for line in FRONTENDS.iter().flat_map(|name| &logs[name]) {
        let Some(cluster) = line.text("upstream_cluster").split('|').nth(2).and_then(|it| it.strip_prefix("round-"))
        else {
            continue;
        };
        let round = rounds.get(line.text("snapshot")).map(ToString::to_string);
        assert_eq!(round.as_deref(), Some(cluster), "the cluster is of another snapshot: {}", line.value);
        if let Some(rule) = line.text("route_name").strip_prefix("round-") {
            assert_eq!(rule, cluster, "the rule is of another snapshot: {}", line.value);
        }
        seen.insert(cluster);
    }
    seen.len()
}

/// That the two ends of a request are never further apart than one snapshot, but for those that were activated while it was
/// on its way. Answers how many requests were looked at.
fn both_ends_are_adjacent(judge: &Judge, activated: &[(String, SystemTime)]) -> usize {
    let place = |line: &Line| activated.iter().position(|(snapshot, _)| snapshot == line.text("snapshot"));
    let http = |name: &&str| judge.logs[*name].iter().filter(|line| line.text("path").starts_with('/'));
    let asked: BTreeMap<(&str, &str), &Line> =
        FRONTENDS.iter().flat_map(|name| http(name).map(move |line| ((*name, line.text("path")), line))).collect();
    let mut looked_at = 0;
    for name in SERVERS.iter().map(|server| server.0) {
        for taken in http(&name) {
            for frontend in FRONTENDS {
                let Some(asked) = asked.get(&(frontend, taken.text("path"))) else { continue };
                let (Some(one), Some(other)) = (place(asked), place(taken)) else { continue };
                // Who has just started runs what it ran before, until it is told.
                if judge.is_restarted(frontend, asked.at, taken.at) || judge.is_restarted(name, asked.at, taken.at) {
                    continue;
                }
                let meanwhile =
                    activated.iter().filter(|(_, at)| asked.at <= *at && *at <= taken.at + judge::TICK).count();
                let apart = one.abs_diff(other);
                assert!(apart <= 1 + meanwhile, "{apart} snapshots between {} and {}", asked.value, taken.value);
                looked_at += 1;
            }
        }
    }
    looked_at
}

/// That whoever lived through all of it holds no more than before, once nobody asks. Answers what each held, and holds.
fn returns(fleet: &Fleet, before: &BTreeMap<String, Held>) -> String {
    let more = || -> Vec<String> {
        let now = fleet.held();
        let same = before.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
        let same = same.filter(|(_, before, now)| before.id == now.id);
        let grown = same.filter(|(_, before, now)| {
            before.memory_kib + MEMORY_MORE_KIB < now.memory_kib
                || before.descriptors + DESCRIPTORS_MORE < now.descriptors
        });
        grown.map(|(name, before, now)| format!("{name}: {before:?}, now {now:?}")).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while !more().is_empty() {
        assert!(Instant::now() < deadline, "what was taken does not return: {:?}", more());
        pause(TICK);
    }
    let now = fleet.held();
    let same = before.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
    same.filter(|(_, before, now)| before.id == now.id)
        .map(|(name, before, now)| {
            let (memory, descriptors) = (before.memory_kib / 1024, before.descriptors);
            format!(
                "{name} {memory} MiB and {descriptors}, now {} MiB and {}; ",
                now.memory_kib / 1024,
                now.descriptors
            )
        })
        .collect()
}
