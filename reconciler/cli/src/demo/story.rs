//! What happens, in eight steps. Each one ends with what was seen, or with why it did not hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::applications::{Application, Duty};
use super::call::{Ask, connections, get};
use super::fleet::{Fleet, Ports, Proxy};
use super::load::{Load, Tally};
use super::repository::{ALL_V2, BROKEN, CANARY, Repository};
use super::screen::Screen;
use crate::failure::Failure;

/// Who the shop's customers talk to.
const HOST: &str = "shop.example.com";

/// Enough requests to tell 5 % from 3 % and from 7 %: four standard deviations of 1,800 requests are 2 %.
const SPLIT_REQUESTS: u64 = 2000;
const SPLIT_SHARE: f64 = 5.0;
const SPLIT_TOLERANCE: f64 = 2.0;

/// Enough requests to see that nothing else happens.
const SOME_REQUESTS: u64 = 300;

/// Nothing in the demo takes longer than this, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at that nobody announces.
const LOOK: Duration = Duration::from_millis(50);

/// Sidecars and the gateway: name, workload, account, and what the application beside it does.
const MEMBERS: [(&str, &str, &str, Option<Duty>); 8] = [
    ("payments", "shop/payments", "shop/payments", Some(Duty::Word("charged"))),
    ("catalog", "shop/catalog", "shop/catalog", Some(Duty::Word("a thing, and another thing"))),
    ("orders-v1-a", "shop/orders-v1", "shop/orders", Some(Duty::Orders("v1"))),
    ("orders-v1-b", "shop/orders-v1", "shop/orders", Some(Duty::Orders("v1"))),
    ("orders-v2-a", "shop/orders-v2", "shop/orders", Some(Duty::Orders("v2"))),
    ("orders-v2-b", "shop/orders-v2", "shop/orders", Some(Duty::Orders("v2"))),
    ("frontend", "shop/frontend", "shop/frontend", Some(Duty::Frontend)),
    ("gateway", "shop/gateway", "shop/gateway", None),
];

/// The story, and all that it needs.
pub(super) struct Story {
    /// Goes away with everything in it.
    folder: TempDir,
    fleet: Fleet,
    repository: Option<Repository>,
    proxies: BTreeMap<&'static str, Proxy>,
    applications: Vec<Application>,
    load: Option<Load>,
}

fn not(what: impl Into<String>) -> Failure {
    Failure(what.into())
}

/// Something must be so.
fn must(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if so { Ok(()) } else { Err(Failure(otherwise())) }
}

impl Story {
    pub(super) fn begin() -> Result<Story, Failure> {
        let folder = tempfile::Builder::new().prefix("taut-demo-").tempdir()?;
        let fleet = Fleet::new(folder.path())?;
        let (proxies, applications) = (BTreeMap::new(), Vec::new());
        Ok(Story { folder, fleet, repository: None, proxies, applications, load: None })
    }

    pub(super) fn logs(&self) -> String {
        self.fleet.logs()
    }

    /// Ends all processes, and removes the folder.
    pub(super) async fn end(mut self) {
        if let Some(load) = self.load.take() {
            // What runs on after `--keep` is stopped here.
            let _ = timeout(PATIENCE, load.stop()).await;
        }
        self.fleet.end().await;
        let _ = self.folder.close();
    }

    pub(super) async fn tell(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        self.set_up(screen).await?;
        self.stable(screen).await?;
        let canary = self.canary(screen).await?;
        self.shift(screen).await?;
        self.broken(screen).await?;
        self.rollback(screen, &canary).await?;
        self.crash(screen).await?;
        self.drift(screen).await?;
        self.intruder(screen).await?;
        let all = match self.load.take() {
            Some(load) => load.stop().await,
            None => Tally::default(),
        };
        must(all.failed == 0, || {
            format!("{} of {} requests failed: {}", all.failed, all.requests(), all.failures.join("; "))
        })?;
        screen.summary(&all);
        Ok(())
    }

    async fn set_up(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.say("A shop in a mesh: a gateway, a frontend, orders v1 and v2, payments and a catalog.");
        screen.doing("making a git repository, and starting a certificate authority, a reconciler and 8 proxies");
        let folder = self.folder.path().join("repository");
        let (repository, commit) = Repository::create(&folder)?;
        self.repository = Some(repository);
        self.fleet.authority().await?;
        self.fleet.reconciler(&folder).await?;
        for (name, workload, account, duty) in MEMBERS {
            let application = match duty {
                Some(duty) => Some(Application::start(duty).await?),
                None => None,
            };
            let address = application.as_ref().map(|it| it.address);
            let mut proxy = Proxy { name, workload, account, application: address, ports: Ports::default() };
            self.fleet.proxy(&mut proxy).await?;
            if let Some(application) = application {
                // Set once, right here.
                let _ = application.sidecar.set(proxy.ports.outbound);
                self.applications.push(application);
            }
            self.proxies.insert(name, proxy);
        }
        self.all_live(MEMBERS.len() + 1, "the fleet").await?;
        self.live(&commit).await?;
        let gateway = self.proxies["gateway"].ports.inbound;
        self.first_answer(gateway).await?;
        let load = Load::start(gateway, HOST);
        screen.count(load.watch());
        self.load = Some(load);
        Ok(())
    }

    /// (a)
    async fn stable(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('a', "all traffic on v1");
        let seen = self.next(SOME_REQUESTS).await?;
        must(seen.v2 + seen.canary_v2 == 0, || {
            format!("{} of {} responses were of v2", seen.v2 + seen.canary_v2, seen.requests())
        })?;
        screen.held(format!("{} of {} responses are of v1", seen.v1 + seen.canary_v1, seen.requests()));
        Ok(())
    }

    /// (b)
    async fn canary(&mut self, screen: &mut Screen<'_>) -> Result<String, Failure> {
        screen.step('b', "a commit: 5 % to v2, and all requests with `x-canary: true`");
        let (commit, took) = self.push(CANARY, "orders: 5 % to v2, and whoever asks for it", screen).await?;
        let split = self.split().await?;
        screen.held(format!("live on all members {} ms after the commit; {split}", took.as_millis()));
        Ok(commit)
    }

    /// (c)
    async fn shift(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('c', "a commit: all traffic to v2");
        let (_, took) = self.push(ALL_V2, "orders: all to v2", screen).await?;
        let seen = self.all_v2().await?;
        screen.held(format!("live after {} ms; {seen}", took.as_millis()));
        Ok(())
    }

    /// (d)
    async fn broken(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('d', "a commit that names a subset that does not exist");
        let commit = self.repository()?.commit(BROKEN, "orders: all to v3")?;
        let waited = self.fleet.ask(&["wait", "--commit", &commit, "--timeout", "30s"]).await?;
        must(waited.code == 1, || {
            format!("`taut wait` ended with {}, not 1: {}{}", waited.code, waited.out, waited.err)
        })?;
        let said = waited.json()?["message"].as_str().unwrap_or_default().to_owned();
        must(said.contains("v3") && said.contains("orders.yaml:"), || {
            format!("the refusal does not name the place: {said}")
        })?;
        screen.doing(&said.replace('\n', "\n    "));
        let seen = self.all_v2().await?;
        screen.held(format!("refused, and traffic untouched: {seen}"));
        Ok(())
    }

    /// (e)
    async fn rollback(&mut self, screen: &mut Screen<'_>, canary: &str) -> Result<(), Failure> {
        screen.step('e', "`taut rollback`, which git sync respects until `taut resume`");
        let ordered = Instant::now();
        let said = self.fleet.ask(&["rollback", "--reason", "v2 is slow"]).await?;
        must(said.code == 0, || format!("`taut rollback`: {}{}", said.out, said.err))?;
        self.live(canary).await?;
        let took = ordered.elapsed();
        let split = self.split().await?;
        screen.doing("a commit that sends all to v2 arrives, and waits behind the hold");
        let later = self.repository()?.commit(&format!("# Once more.\n{ALL_V2}"), "orders: all to v2, once more")?;
        self.until("the commit waits behind the hold", async |story: &Story| {
            let status = story.fleet.ask(&["status"]).await?.json()?;
            let waiting =
                status["waiting"].as_array().is_some_and(|all| all.iter().any(|it| it["commit"] == later.as_str()));
            Ok(waiting && !status["hold"].is_null())
        })
        .await?;
        self.split().await?;
        let said = self.fleet.ask(&["resume"]).await?;
        must(said.code == 0, || format!("`taut resume`: {}{}", said.out, said.err))?;
        self.live(&later).await?;
        let seen = self.all_v2().await?;
        screen.held(format!(
            "the old split is back after {} ms: {split}; a new commit waited; after `taut resume` {seen}",
            took.as_millis()
        ));
        Ok(())
    }

    /// (f)
    async fn crash(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('f', "the reconciler killed, and a sidecar restarted without it");
        self.fleet.kill("reconciler").await?;
        screen.doing("the reconciler got SIGKILL");
        self.all_v2().await?;
        screen.doing("the sidecar of orders-v2-b restarts");
        self.fleet.stop("orders-v2-b").await?;
        let mut proxy = self.proxies["orders-v2-b"].clone();
        self.fleet.proxy(&mut proxy).await?;
        let admin = proxy.ports.admin;
        self.proxies.insert("orders-v2-b", proxy);
        let started = Instant::now();
        self.until("the sidecar boots from its disk", async |_: &Story| {
            Ok(matches!(
                get(&connections(), admin, Ask { host: "localhost", path: "/ready", canary: false }).await,
                Ok((StatusCode::OK, _))
            ))
        })
        .await?;
        let booted = started.elapsed();
        self.until("it serves requests", async |story: &Story| Ok(0 < story.served(admin).await?)).await?;
        let seen = self.all_v2().await?;
        let repository = self.folder.path().join("repository");
        self.fleet.reconciler(&repository).await?;
        self.all_live(MEMBERS.len() + 1, "the fleet, with the reconciler back").await?;
        screen.held(format!(
            "booted from disk in {} ms, no reconciler there; {seen}; all members back",
            booted.as_millis()
        ));
        Ok(())
    }

    /// (g)
    async fn drift(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('g', "a member tampered with behind the reconciler's back");
        let disk = self.fleet.state("catalog").join("snapshots");
        let (active, previous) = (disk.join("active"), disk.join("previous"));
        let right = std::fs::read(&active)?;
        std::fs::copy(&previous, &active)?;
        screen.doing("the snapshot that catalog would boot is replaced by the one before it");
        let mut shown = String::new();
        let deadline = Instant::now() + PATIENCE;
        while shown.is_empty() {
            must(Instant::now() < deadline, || "`taut drift` did not show it".to_owned())?;
            let said = self.fleet.ask(&["drift"]).await?;
            let drift = &said.json()?["drift"][0];
            if said.code == 1 && drift["member"] == "catalog" {
                shown = format!(
                    "`taut drift` shows {} since {}",
                    drift["kind"].as_str().unwrap_or_default(),
                    drift["since"].as_str().unwrap_or_default()
                );
                screen.doing(&shown);
            }
            sleep(LOOK).await;
        }
        let began = Instant::now();
        self.until("the drift is healed", async |story: &Story| Ok(story.fleet.ask(&["drift"]).await?.code == 0))
            .await?;
        let took = began.elapsed();
        must(std::fs::read(&active)? == right, || "the snapshot on disk is still another".to_owned())?;
        screen.held(format!("{shown}; healed {:.1} s later", took.as_secs_f64()));
        Ok(())
    }

    /// (h)
    async fn intruder(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        screen.step('h', "payments called by anyone but orders");
        let frontend = self.proxies["frontend"].ports.outbound;
        let ask = Ask { host: "payments:8080", path: "/charge", canary: false };
        let (status, body) = get(&connections(), frontend, ask).await.map_err(not)?;
        must(status == StatusCode::FORBIDDEN && body == "RBAC: access denied", || {
            format!("the frontend got {status}: {body}")
        })?;
        screen.doing(&format!("the frontend gets {status}: {body}"));
        let plain = plaintext(self.proxies["payments"].ports.inbound).await?;
        must(plain.is_empty(), || format!("plaintext was answered: {plain}"))?;
        screen.held(format!("{} for the frontend; plaintext is hung up on", status.as_u16()));
        Ok(())
    }

    pub(super) fn commands_to_try(&mut self) -> Result<String, Failure> {
        let gateway = self.proxies["gateway"].ports.inbound;
        self.load = Some(Load::start(gateway, HOST));
        let (program, state) = (self.fleet.program().display(), self.fleet.state("reconciler"));
        let (repository, state) = (self.folder.path().join("repository"), state.display());
        let repository = repository.display();
        Ok(format!(
            "    export TAUT_STATE={state}
    curl -H 'Host: {HOST}' http://{gateway}/
    {program} status
    {program} history
    {program} rollback
    {program} resume
    git -C {repository} log --oneline          # edit {repository}/shop/orders.yaml, and commit
    curl http://{}/metrics",
            self.proxies["gateway"].ports.admin
        ))
    }

    fn repository(&self) -> Result<&Repository, Failure> {
        self.repository.as_ref().ok_or_else(|| not("the repository is made first"))
    }

    /// Commits, and waits until the fleet runs it.
    async fn push(&self, orders: &str, message: &str, screen: &mut Screen<'_>) -> Result<(String, Duration), Failure> {
        let commit = self.repository()?.commit(orders, message)?;
        let pushed = Instant::now();
        screen.doing(&format!("commit {}: {message}", &commit[..8]));
        self.live(&commit).await?;
        Ok((commit, pushed.elapsed()))
    }

    /// Waits until every member runs a commit.
    async fn live(&self, commit: &str) -> Result<(), Failure> {
        let waited = self.fleet.ask(&["wait", "--commit", commit, "--timeout", "30s"]).await?;
        must(waited.code == 0, || format!("`taut wait` ended with {}: {}{}", waited.code, waited.out, waited.err))
    }

    async fn next(&self, requests: u64) -> Result<Tally, Failure> {
        let load = self.load.as_ref().ok_or_else(|| not("the load has not started"))?;
        let seen = timeout(PATIENCE, load.next(requests))
            .await
            .map_err(|_| not(format!("no {requests} responses in {PATIENCE:?}")))?;
        must(seen.failed == 0, || {
            format!("{} of {} requests failed: {}", seen.failed, seen.requests(), seen.failures.join("; "))
        })?;
        Ok(seen)
    }

    async fn split(&self) -> Result<String, Failure> {
        let seen = self.next(SPLIT_REQUESTS).await?;
        let share = seen.share_of_v2();
        must(seen.canary_v1 == 0, || format!("{} requests that asked for v2 got v1", seen.canary_v1))?;
        must((share - SPLIT_SHARE).abs() <= SPLIT_TOLERANCE, || format!("{share:.1} % of the responses are of v2"))?;
        Ok(format!(
            "{share:.1} % of {} responses are of v2 (5 % ± {SPLIT_TOLERANCE} %), and all {} that ask for it",
            seen.v1 + seen.v2,
            seen.canary_v2
        ))
    }

    async fn all_v2(&self) -> Result<String, Failure> {
        let seen = self.next(SOME_REQUESTS).await?;
        must(seen.v1 + seen.canary_v1 == 0, || {
            format!("{} of {} responses were of v1", seen.v1 + seen.canary_v1, seen.requests())
        })?;
        Ok(format!("{} of {} responses are of v2", seen.v2 + seen.canary_v2, seen.requests()))
    }

    /// Looks until something is so.
    async fn until(&self, what: &str, so: impl AsyncFn(&Story) -> Result<bool, Failure>) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !so(self).await? {
            must(Instant::now() < deadline, || format!("it did not come to this in {PATIENCE:?}: {what}"))?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn all_live(&self, members: usize, what: &str) -> Result<(), Failure> {
        self.until(&format!("{what} is live"), async |story: &Story| {
            let said = story.fleet.ask(&["status"]).await?;
            // The reconciler may not listen yet.
            let Ok(status) = said.json() else { return Ok(false) };
            let live =
                status["members"].as_array().map_or(0, |all| all.iter().filter(|it| it["state"] == "live").count());
            Ok(live == members && status["converged"] == true)
        })
        .await
    }

    /// Where every proxy is to be found reaches the others a moment after they are live: before that, no load.
    async fn first_answer(&self, gateway: SocketAddr) -> Result<(), Failure> {
        let connections = connections();
        let ask = Ask { host: HOST, path: "/", canary: false };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = match get(&connections, gateway, ask).await {
                Ok((StatusCode::OK, _)) => return Ok(()),
                Ok((status, body)) => format!("{status}: {body}"),
                Err(why) => why,
            };
            must(Instant::now() < deadline, || format!("the shop does not answer: {said}"))?;
            sleep(LOOK).await;
        }
    }

    /// How many requests a proxy has served, as it says itself.
    async fn served(&self, admin: SocketAddr) -> Result<u64, Failure> {
        let ask = Ask { host: "localhost", path: "/metrics", canary: false };
        let (_, page) = get(&connections(), admin, ask).await.map_err(not)?;
        let samples = page.lines().filter(|line| line.starts_with("istio_requests_total{"));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

/// What a port answers to a request without TLS.
async fn plaintext(address: SocketAddr) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /charge HTTP/1.1\r\nhost: payments:8080\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // A reset is a refusal like any other; silence is none.
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.map_err(|_| not("plaintext was neither answered nor hung up on"))?.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
