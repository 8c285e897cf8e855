//! Traces as an OTLP collector that others have written takes them: Rotel, as a process of its own, passes on what it understood.
//!
//! It comes from PyPI, once, into the build folder. Where there is no `python3` with `venv`, or no way to it, the test says so and
//! holds nothing.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::capturing::skipped;
use crate::peers::{Peer, installed, run};
use crate::tracing::{GRPC, HTTP, grpc_collector, one_request_is_parent_and_child};

const VERSION: &str = "0.0.1a15";

/// Whoever takes longer than this is stuck, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often other ports are taken: somebody may take one between its being found and its being used.
const ATTEMPTS: usize = 5;

/// A collector.
struct Collector {
    process: Peer,
    grpc: SocketAddr,
    http: SocketAddr,
    _folder: tempfile::TempDir,
}

/// The program, installed if it is not there yet.
///
/// # Errors
/// If it is not to be had: why.
fn program() -> Result<PathBuf, String> {
    let home = installed(&format!("rotel-{VERSION}"), |folder| {
        run("python3".as_ref(), &["-m", "venv", &folder.to_string_lossy()])?;
        let wanted = format!("rotel=={VERSION}");
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"];
        run(&folder.join("bin/pip"), &[&quiet[..], &[&wanted]].concat())
    })?;
    let versions = fs::read_dir(home.join("lib")).unwrap();
    let mut places = versions.map(|entry| entry.unwrap().path().join("site-packages/rotel/rotel-agent"));
    places.find(|path| path.exists()).ok_or_else(|| "whose package brings no program".to_owned())
}

/// One that passes on what it is told.
fn start(to: SocketAddr) -> Result<Collector, String> {
    let program = program()?;
    for _ in 0..ATTEMPTS {
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let [grpc, http] = [free(), free()].map(|listener| listener.local_addr().unwrap());
        let child = Command::new(&program)
            .args(["start", "--exporter", "otlp", "--batch-timeout", "50ms"])
            .args(["--otlp-exporter-endpoint", &format!("http://{to}")])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("which does not run here: {error}"))?;
        let mut collector = Collector { process: Peer(child), grpc, http, _folder: folder };
        let began = Instant::now();
        while collector.process.0.try_wait().unwrap().is_none() {
            if [grpc, http].iter().all(|at| TcpStream::connect(at).is_ok()) {
                return Ok(collector);
            }
            assert!(began.elapsed() < PATIENCE, "the collector does not listen");
        }
    }
    panic!("the collector ended at once, {ATTEMPTS} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_others_passes_on_what_it_was_told() {
    let (to, mut heard) = grpc_collector().await;
    let collector = match tokio::task::spawn_blocking(move || start(to)).await.unwrap() {
        Ok(collector) => collector,
        Err(why) => return skipped(&format!("an OTLP collector, Rotel {VERSION}, {why}")),
    };
    for (protocol, provider, at) in [("GRPC", GRPC, collector.grpc), ("HTTP", HTTP, collector.http)] {
        one_request_is_parent_and_child(protocol, provider, at, &mut heard).await;
    }
}
