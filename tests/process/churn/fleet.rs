//! The processes: an authority, a reconciler, and proxies which keep their names and identities when they start again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use harness::{Serving, page, serving, taut_with_input};
use serde_json::Value;
use taut_control::{Client, MemberState, Status};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Longer than anything takes that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at that nobody announces.
const LOOK: Duration = Duration::from_millis(50);

/// One proxy, whether it runs now or not.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    arguments: Vec<String>,
    process: Option<Serving>,
    /// Its lines, of all its lives.
    pub(crate) log: PathBuf,
    /// Every address at which others have reached it, and since when.
    pub(crate) inbound: Vec<(SocketAddr, SystemTime)>,
    /// Where its application asks, by the port of services.
    outbound: BTreeMap<u64, watch::Sender<SocketAddr>>,
    admin: SocketAddr,
}

/// All processes.
pub(crate) struct Fleet {
    folder: PathBuf,
    authority: Option<Serving>,
    reconciler: Option<Serving>,
    pub(crate) members: Vec<Member>,
    pub(crate) runtime: Handle,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As a crash would.
    Killed,
    /// As it is asked to.
    Stopped,
}

fn run(arguments: &[String]) -> Serving {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    serving(&arguments).unwrap_or_else(|run| panic!("{arguments:?}: {run:?}"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn end(process: &mut Option<Serving>, how: End) {
    let Some(process) = process.take() else { return };
    match how {
        End::Killed => process.kill(),
        End::Stopped => process.end(),
    }
}

impl Fleet {
    pub(crate) fn start(folder: &Path, repository: &Path, runtime: Handle) -> Fleet {
        let mut fleet =
            Fleet { folder: folder.to_owned(), authority: None, reconciler: None, members: Vec::new(), runtime };
        fs::create_dir(folder.join("ca")).expect("a folder can be made");
        fleet.start_authority();
        let token = fleet.token("reconciler");
        fs::write(folder.join("token"), token).expect("a file can be written");
        fs::write(folder.join("repository"), repository.to_string_lossy().as_bytes()).expect("a file can be written");
        fleet.start_reconciler();
        fleet
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    fn token(&self, identity: &str) -> String {
        let made = taut_with_input(&["ca", "token", identity, "--state", &self.path("ca")], b"");
        made.stdout.trim().to_owned()
    }

    fn start_authority(&mut self) {
        let reconciler = format!("@{}", self.path("reconciler/address"));
        let arguments = ["ca", "serve", "--state", &self.path("ca"), "--listen", "127.0.0.1:0"];
        self.authority = Some(run(&[words(&arguments), words(&["--reconciler", &reconciler])].concat()));
    }

    fn start_reconciler(&mut self) {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).expect("it was written");
        let (ca, state) = (format!("@{}", self.path("ca/address")), self.path("reconciler"));
        let mut arguments = words(&["reconcile", "--repo", &read("repository"), "--branch", "main", "--state", &state]);
        arguments.extend(words(&["--ca", &ca, "--join-token", &read("token"), "--listen", "127.0.0.1:0"]));
        arguments.extend(words(&["--poll", "1s", "--heal-after", "2s", "--lease", "3s"]));
        self.reconciler = Some(run(&arguments));
    }

    /// A proxy with these ports, `--inbound` or `--outbound`; answers where it listens for what its application asks.
    pub(crate) fn join(&mut self, name: &'static str, workload: &str, ports: &[String]) {
        let state = self.path(name);
        let (ca, reconciler) =
            (format!("@{}", self.path("ca/address")), format!("@{}", self.path("reconciler/address")));
        let (of, log) = (format!("shop/{workload}"), self.path(&format!("{name}.log")));
        let mut arguments = words(&["proxy", "--workload", &of, "--name", name, "--state", &state, "--ca", &ca]);
        arguments.extend(words(&["--reconciler", &reconciler, "--join-token", &self.token(&of), "--workers", "1"]));
        arguments.extend(words(&["--access-log", &log, "--access-log-format", "json", "--access-log-provenance"]));
        arguments.extend(words(&["--admin", "127.0.0.1:0", "--format", "json"]));
        arguments.extend_from_slice(ports);
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let (inbound, outbound) = (Vec::new(), BTreeMap::new());
        let mut member = Member { name, arguments, process: None, log: log.into(), inbound, outbound, admin };
        member.start();
        self.members.push(member);
    }

    pub(crate) fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.name == name).expect("there is such a member")
    }

    fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.name == name).expect("there is such a member")
    }

    /// Ends a process and starts it again, and waits until everybody has what it needs of it.
    pub(crate) fn restart(&mut self, name: &str, how: End) {
        match name {
            "ca" => {
                end(&mut self.authority, how);
                self.start_authority();
            }
            "reconciler" => {
                end(&mut self.reconciler, how);
                self.start_reconciler();
            }
            _ => {
                let member = self.member_mut(name);
                end(&mut member.process, how);
                member.start();
                until(&format!("{name} is ready"), || self.member(name).is_ready());
                self.is_found(name);
            }
        }
        until(&format!("{name} is live"), || {
            let Some(status) = self.status() else { return false };
            let takes_part = |state| matches!(state, MemberState::Live | MemberState::Staging);
            name == "reconciler" || status.members.iter().any(|it| it.name == name && takes_part(it.state))
        });
    }

    /// Waits until who asks knows where this one listens now, and nothing of where it did before.
    fn is_found(&self, name: &str) {
        let member = self.member(name);
        let Some((now, before)) = member.inbound.split_last() else { return };
        let (now, before) =
            (now.0.to_string(), before.last().map(|(at, _)| at.to_string()).filter(|it| *it != now.0.to_string()));
        for asking in self.members.iter().filter(|it| !it.outbound.is_empty()) {
            until(&format!("{} finds {name} at {now}", asking.name), || {
                let page = asking.endpoints().unwrap_or_default();
                page.contains(&format!("\"{now}\"")) && !before.iter().any(|it| page.contains(&format!("\"{it}\"")))
            });
        }
    }

    /// Whether everybody who asks knows where everybody else listens.
    pub(crate) fn all_found(&self) -> bool {
        let asking: Vec<String> =
            self.members.iter().filter(|it| !it.outbound.is_empty()).filter_map(Member::endpoints).collect();
        let mut addresses = self.members.iter().flat_map(|it| &it.inbound);
        addresses.all(|(at, _)| asking.iter().all(|page| page.contains(&format!("\"{at}\""))))
    }

    /// What the reconciler says; nothing while it does not answer.
    pub(crate) fn status(&self) -> Option<Status> {
        let state = self.folder.join("reconciler");
        self.runtime.block_on(async { Client::connect(&state).await.ok()?.status().await.ok() })
    }

    /// A connection to the reconciler.
    pub(crate) fn control(&self) -> Client {
        self.runtime.block_on(Client::connect(&self.folder.join("reconciler"))).expect("it answers")
    }

    /// What all processes have said.
    pub(crate) fn said(&self) -> String {
        let of = |(name, process): (&str, &Option<Serving>)| {
            let said = process.as_ref().map(Serving::said).unwrap_or_default();
            said.lines().map(|line| format!("{name}: {line}\n")).collect::<String>()
        };
        let others = [("ca", &self.authority), ("reconciler", &self.reconciler)];
        others.into_iter().chain(self.members.iter().map(|it| (it.name, &it.process))).map(of).collect()
    }

    /// Every process with what it holds, by name.
    pub(crate) fn held(&self) -> BTreeMap<String, Held> {
        let others = [("ca", &self.authority), ("reconciler", &self.reconciler)];
        let all = others.into_iter().chain(self.members.iter().map(|it| (it.name, &it.process)));
        all.filter_map(|(name, process)| Some((name.to_owned(), Held::of(process.as_ref()?.id())))).collect()
    }

    /// Ends all of them as they are asked to, those that others depend on last.
    pub(crate) fn end(mut self) {
        for member in &mut self.members {
            end(&mut member.process, End::Stopped);
        }
        end(&mut self.reconciler, End::Stopped);
        end(&mut self.authority, End::Stopped);
    }
}

impl Member {
    fn start(&mut self) {
        let process = run(&self.arguments);
        let said: Value = serde_json::from_str(&process.first_line).expect("it says where it listens");
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("it is an address");
        for bind in said["binds"].as_array().expect("it listens") {
            let at = address(&bind["address"]);
            if bind["role"] == "inbound" {
                self.inbound.push((at, SystemTime::now()));
                continue;
            }
            let port = bind["port"].as_u64().expect("it is for a port");
            self.outbound.entry(port).or_insert_with(|| watch::Sender::new(at)).send_replace(at);
        }
        self.admin = address(&said["admin"]);
        self.process = Some(process);
    }

    pub(crate) fn is_ready(&self) -> bool {
        page(self.admin, "/ready").is_ok_and(|said| said.trim() == "ready")
    }

    /// Where its application asks for a port of services.
    pub(crate) fn asks(&self, port: u64) -> watch::Receiver<SocketAddr> {
        self.outbound.get(&port).expect("it has that port").subscribe()
    }

    fn endpoints(&self) -> Option<String> {
        page(self.admin, "/endpoints").ok()
    }

    /// The snapshot that it says it runs.
    pub(crate) fn snapshot(&self) -> String {
        let page = page(self.admin, "/metrics").expect("it answers");
        let line = page.lines().find_map(|line| line.strip_prefix("taut_snapshot_info{snapshot=\""));
        line.and_then(|rest| rest.split('"').next()).expect("it runs one").to_owned()
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: u32,
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: usize,
}

impl Held {
    fn of(id: u32) -> Held {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
        Held { id, memory_kib: memory.expect("it has memory"), descriptors }
    }
}

/// Looks until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it did not come to this in {PATIENCE:?}: {what}");
        pause(LOOK);
    }
}

/// Lets time pass: a clock's tick, not a way to wait for something.
pub(crate) fn pause(most: Duration) {
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(most);
}
