//! Traces as a real Zipkin shows them: the server that Zipkin's own authors release, as a process of its own.
//!
//! It comes from Maven Central, once, into the build folder. Where there is no `java` or `mvn`, or no way to it, the test says so
//! and holds nothing.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::capturing::skipped;
use crate::client::{get, get_with};
use crate::peers::{Peer, installed, run};
use crate::tracing::{Traced, ZIPKIN, telemetry};

/// The newest that is on Maven Central and runs on Java 17, which Debian has.
const VERSION: &str = "3.5.1";

/// A jar of one's own, for machines without Maven Central.
const OVERRIDE: &str = "TAUT_ZIPKIN";

/// Whoever takes longer than this is stuck, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server.
struct Zipkin {
    _process: Peer,
    address: SocketAddr,
}

/// The jar, installed if it is not there yet.
///
/// # Errors
/// If it is not to be had: why.
fn jar() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(OVERRIDE) {
        return Ok(path.into());
    }
    let home = installed(&format!("zipkin-{VERSION}"), |folder| {
        let artifact = format!("-Dartifact=io.zipkin:zipkin-server:{VERSION}:jar:exec");
        let into = format!("-DoutputDirectory={}", folder.display());
        run("mvn".as_ref(), &["--quiet", "--batch-mode", "dependency:copy", &artifact, &into])
    })?;
    Ok(home.join(format!("zipkin-server-{VERSION}-exec.jar")))
}

fn start() -> Result<Zipkin, String> {
    let jar = jar()?;
    let mut child = Command::new("java")
        // Few requests do not make the compiler worth its time.
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar"])
        .arg(jar)
        .env("QUERY_PORT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("for which there is no `java`: {error}"))?;
    let (sender, lines) = mpsc::channel();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        // Whatever it says later is read as well, or it would block when the pipe is full.
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut zipkin = Zipkin { _process: Peer(child), address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let (began, mut said) = (Instant::now(), Vec::new());
    while zipkin.address.port() == 0 {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let Ok(line) = lines.recv_timeout(left) else { panic!("Zipkin does not run:\n{}", said.join("\n")) };
        if let Some((_, address)) = line.split_once("http://").filter(|_| line.contains("Serving HTTP at")) {
            zipkin.address = address.trim_end_matches('/').parse().unwrap();
        }
        said.push(line);
    }
    Ok(zipkin)
}

impl Zipkin {
    async fn says(&self, path: &str) -> Value {
        let answer = get(self.address, "zipkin", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The trace of the request with this header, once it has as many spans.
    async fn trace(&self, mark: &str, spans: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let traces = self.says(&format!("/api/v2/traces?annotationQuery=mark%3D{mark}")).await;
            let traces = traces.as_array().unwrap();
            assert!(traces.len() < 2, "one request is one trace: {traces:?}");
            let all = traces.first().and_then(Value::as_array).cloned().unwrap_or_default();
            if all.len() == spans {
                return all;
            }
            assert!(began.elapsed() < PATIENCE, "it has {all:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_zipkin_shows_one_request_as_one_trace() {
    let zipkin = match tokio::task::spawn_blocking(start).await.unwrap() {
        Ok(zipkin) => zipkin,
        Err(why) => return skipped(&format!("a real Zipkin {VERSION}, {why}")),
    };
    let tags = "customTags: {mark: {header: {name: x-mark, defaultValue: none}}}";
    let traced = Traced::start(zipkin.address, "HTTP", ZIPKIN, &telemetry(100.0, tags)).await;
    for (mark, path, failed) in [("good", "/a?b=c", Value::Null), ("bad", "/status/500", "true".into())] {
        get_with(traced.client.address(), "orders:8080", path, &[("x-mark", mark)]).await;
        let spans = zipkin.trace(mark, 2).await;
        let of = |kind: &str| spans.iter().find(|span| span["kind"] == kind).unwrap_or_else(|| panic!("{spans:?}"));
        let (client, server) = (of("CLIENT"), of("SERVER"));
        assert_eq!(client["traceId"], server["traceId"]);
        assert_eq!((client.get("parentId"), &server["parentId"]), (None, &client["id"]), "{spans:?}");
        assert_eq!(client["localEndpoint"]["serviceName"], "frontend.shop");
        assert_eq!(server["localEndpoint"]["serviceName"], "orders.shop");
        for (span, cluster) in [(client, "outbound|8080||orders.shop.svc.cluster.local"), (server, "inbound|8080||")] {
            assert_eq!(span["name"], "orders.shop.svc.cluster.local:8080/*");
            assert!(0 < span["duration"].as_u64().unwrap(), "{span}");
            assert_eq!(span["tags"]["error"], failed, "{mark}");
            for (name, wanted) in [
                ("http.url", format!("http://orders:8080{path}").as_str()),
                ("upstream_cluster.name", cluster),
                ("component", "proxy"),
                ("istio.namespace", "shop"),
            ] {
                assert_eq!(span["tags"][name], wanted, "{name}");
            }
        }
    }
    let services = zipkin.says("/api/v2/services").await;
    assert_eq!(services, serde_json::json!(["frontend.shop", "orders.shop"]));
    // What the page of dependencies draws: an arrow, and how many requests went along it.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let links = zipkin.says(&format!("/api/v2/dependencies?endTs={now}&lookback=3600000")).await;
    let link = links.as_array().unwrap().iter().find(|link| link["parent"] == "frontend.shop");
    assert_eq!(
        link.map(|link| (&link["child"], &link["callCount"])),
        Some((&"orders.shop".into(), &2.into())),
        "{links}"
    );
}
