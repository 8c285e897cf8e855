//! The processes of the demo. Each is this very program, started as an operator would start it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::failure::Failure;

/// Anything that takes longer than this is stuck.
const START_MAX: Duration = Duration::from_secs(20);

/// How long a process may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(10);

/// The lines of each log that are shown when a step does not hold.
const LOG_LINES: usize = 6;

/// What a command left.
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// What it printed, for programs.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.out).map_err(|_| Failure(format!("no JSON was said: {}{}", self.out, self.err)))
    }
}

/// A sidecar or a gateway.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) workload: &'static str,
    pub(super) account: &'static str,
    /// The application beside it; none beside a gateway.
    pub(super) application: Option<SocketAddr>,
    /// Where it listens. Port 0 until it has said where.
    pub(super) ports: Ports,
}

/// Where a proxy listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// For requests from others.
    pub(super) inbound: SocketAddr,
    /// For requests of its own application.
    pub(super) outbound: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Default for Ports {
    fn default() -> Ports {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Ports { inbound: any, outbound: any, admin: any }
    }
}

/// All processes, and the folder that they live in.
pub(super) struct Fleet {
    folder: PathBuf,
    program: PathBuf,
    running: BTreeMap<&'static str, Child>,
}

impl Fleet {
    pub(super) fn new(folder: &Path) -> Result<Fleet, Failure> {
        fs::create_dir_all(folder.join("logs"))?;
        fs::create_dir_all(folder.join("tokens"))?;
        Ok(Fleet { folder: folder.to_owned(), program: std::env::current_exe()?, running: BTreeMap::new() })
    }

    /// Where a process keeps its state.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Runs a command to its end.
    pub(super) async fn taut(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let output = self.command().args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await?;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Asks the reconciler something.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let state = self.state("reconciler");
        let state = state.to_string_lossy();
        self.taut(&[arguments, &["--state", &state, "--format", "json"]].concat()).await
    }

    pub(super) async fn authority(&mut self) -> Result<(), Failure> {
        let state = self.state("ca");
        fs::create_dir_all(&state)?;
        let arguments =
            ["ca", "serve", "--listen", "127.0.0.1:0", "--state", &state.to_string_lossy()].map(str::to_owned);
        let reconciler = ["--reconciler".to_owned(), format!("@{}", self.state("reconciler/address").display())];
        let said = self.start("ca", &[&arguments[..], &reconciler].concat()).await?;
        if said.is_empty() {
            return Err(Failure("the certificate authority did not start".to_owned()));
        }
        Ok(())
    }

    /// Starts the reconciler; the second time it has an identity already.
    pub(super) async fn reconciler(&mut self, repository: &Path) -> Result<(), Failure> {
        let state = self.state("reconciler");
        let token = self.token("reconciler", "reconciler").await?;
        let repository = repository.to_string_lossy();
        let state = state.to_string_lossy();
        let mut arguments = vec!["reconcile", "--repo", &repository, "--path", "shop", "--state", &state];
        arguments.extend(["--listen", "127.0.0.1:0", "--poll", "2s", "--heal-after", "2s", "--lease", "5s"]);
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        arguments.extend(token);
        let said = self.start("reconciler", &arguments).await?;
        if said.is_empty() {
            return Err(Failure("the reconciler did not start".to_owned()));
        }
        Ok(())
    }

    /// Starts a proxy, and learns where it listens.
    pub(super) async fn proxy(&mut self, proxy: &mut Proxy) -> Result<(), Failure> {
        let state = self.state(proxy.name).to_string_lossy().into_owned();
        let token = self.token(proxy.name, proxy.account).await?;
        let reconciler = format!("@{}", self.state("reconciler/address").display());
        let Ports { inbound, outbound, admin } = proxy.ports;
        let admin = admin.to_string();
        let mut arguments = vec!["proxy", "--name", proxy.name, "--workload", proxy.workload, "--state", &state];
        arguments.extend(["--reconciler", &reconciler, "--admin", &admin, "--workers", "1", "--format", "json"]);
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        arguments.extend(token);
        match proxy.application {
            Some(application) => arguments
                .extend([format!("--inbound=8080={inbound},{application}"), format!("--outbound=8080={outbound}")]),
            None => arguments.push(format!("--gateway=8080={inbound}")),
        }
        let line = self.start(proxy.name, &arguments).await?;
        let said: Value = serde_json::from_str(&line)
            .map_err(|_| Failure(format!("{} did not start: it said `{line}`", proxy.name)))?;
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let of = |role: &str| {
            said["binds"].as_array()?.iter().find(|bind| bind["role"] == role).and_then(|it| address(&it["address"]))
        };
        let missing = || Failure(format!("{} does not say where it listens: {line}", proxy.name));
        proxy.ports = Ports {
            inbound: of("inbound").or_else(|| of("gateway")).ok_or_else(missing)?,
            outbound: of("outbound").unwrap_or(outbound),
            admin: address(&said["admin"]).ok_or_else(missing)?,
        };
        Ok(())
    }

    /// What a process needs to come to its identity.
    async fn token(&self, name: &str, account: &str) -> Result<Vec<String>, Failure> {
        let authority = format!("@{}", self.state("ca/address").display());
        let file = self.folder.join("tokens").join(name);
        if !file.exists() {
            let state = self.state("ca");
            let said = self.taut(&["ca", "token", account, "--state", &state.to_string_lossy()]).await?;
            if said.code != 0 {
                return Err(Failure(format!("no join token for {name}: {}", said.err)));
            }
            fs::write(&file, said.out)?;
        }
        Ok(vec!["--ca".to_owned(), authority, "--join-token-file".to_owned(), file.to_string_lossy().into_owned()])
    }

    /// Starts a process, and answers the first line that it prints. Nothing outlives the demo: each process watches its
    /// standard input, which ends when the demo does, however it ends.
    async fn start(&mut self, name: &'static str, arguments: &[String]) -> Result<String, Failure> {
        let log = File::options().create(true).append(true).open(self.folder.join("logs").join(name))?;
        let mut command = self.command();
        command.args(arguments).arg("--until-stdin-closes");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Failure("no standard output".to_owned()))?;
        self.running.insert(name, child);
        let mut lines = BufReader::new(stdout).lines();
        match timeout(START_MAX, lines.next_line()).await {
            Ok(line) => {
                tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
                Ok(line?.unwrap_or_default())
            }
            Err(_) => Err(Failure(format!("{name} has not started after {START_MAX:?}"))),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // What the environment says about another Taut must not get in here.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TAUT_")) {
            command.env_remove(name);
        }
        command.current_dir(&self.folder);
        command
    }

    /// Ends a process at once, as a crash would.
    pub(super) async fn kill(&mut self, name: &'static str) -> Result<(), Failure> {
        if let Some(mut child) = self.running.remove(name) {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks a process to end, and waits until it has.
    pub(super) async fn stop(&mut self, name: &'static str) -> Result<(), Failure> {
        let Some(mut child) = self.running.remove(name) else { return Ok(()) };
        if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM)?;
        }
        match timeout(END_MAX, child.wait()).await {
            Ok(status) => {
                status?;
            }
            Err(_) => child.kill().await?,
        }
        Ok(())
    }

    /// Ends everything, the ones that others depend on last.
    pub(super) async fn end(&mut self) {
        let (last, first): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|(name, _)| ["reconciler", "ca"].contains(name));
        for mut ending in [first, last] {
            for (_, child) in &mut ending {
                drop(child.stdin.take());
            }
            for (_, mut child) in ending {
                if timeout(END_MAX, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
            }
        }
    }

    /// The last lines of all logs.
    pub(super) fn logs(&self) -> String {
        let mut text = String::new();
        let Ok(entries) = fs::read_dir(self.folder.join("logs")) else { return text };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for file in files {
            let Ok(log) = fs::read_to_string(&file) else { continue };
            let lines: Vec<&str> = log.lines().collect();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                text += &format!("{name}: {line}\n");
            }
        }
        text
    }
}
