//! Load from outside: wrk for HTTP/1.1, and h2load for HTTP/2 and for a rate that is kept.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Connections that are open at once, and requests under way on each in HTTP/2.
const CONNECTIONS: u32 = 32;
const STREAMS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: &'static str,
    pub(crate) path: String,
}

impl Target {
    fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

/// Says what is missing, if anything is.
pub(crate) fn tools() {
    for (tool, package) in [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("taskset", "util-linux")] {
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(found.is_ok(), "`{tool}` is not here, and makes the load: on Debian, apt-get install {package}");
    }
}

/// Asks once, so that what is wrong is said in words.
///
/// # Panics
/// If the answer is not 200.
pub(crate) fn try_once(target: &Target) {
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", target.path, target.host);
    let answer = harness::exchange(target.address, request.as_bytes()).expect("it answers");
    assert_eq!(answer.status(), Some(200), "{target:?}: {answer:?}");
}

/// As many requests as go: how many a second, and how many.
pub(crate) fn full(target: &Target, protocol: Protocol, time: Duration) -> (f64, f64) {
    let seconds = time.as_secs().to_string();
    let (connections, streams) = (CONNECTIONS.to_string(), STREAMS.to_string());
    let mut command = match protocol {
        Protocol::Http1 => {
            let mut wrk = Command::new("wrk");
            wrk.args(["-t", "1", "-c", &connections, "-d", &seconds, "-H", &format!("Host: {}", target.host)]);
            wrk
        }
        Protocol::Http2 => {
            let mut h2load = Command::new("h2load");
            h2load.args(["-t", "1", "-c", &connections, "-m", &streams, "-D", &seconds]);
            h2load.args(["-H", &format!(":authority: {}", target.host)]);
            h2load
        }
    };
    let output = command.arg(target.url()).output().expect("the tool was found");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or_else(|_| panic!("no number: {text}"));
    match protocol {
        Protocol::Http1 => {
            assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "requests failed: {text}");
            let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{text}"));
            let rate = number(line("Requests/sec:").trim_start_matches("Requests/sec:"));
            let requests = number(line(" requests in ").trim().split(' ').next().unwrap_or_default());
            (rate, requests)
        }
        Protocol::Http2 => {
            let finished =
                text.lines().find(|line| line.starts_with("finished in ")).unwrap_or_else(|| panic!("{text}"));
            let rate = number(finished.split([',', ' ']).nth(4).unwrap_or_default());
            let done = text.lines().find(|line| line.starts_with("requests:")).unwrap_or_else(|| panic!("{text}"));
            assert!(done.contains(" 0 failed, 0 errored"), "requests failed: {text}");
            assert!(text.contains(" 0 4xx, 0 5xx"), "requests failed: {text}");
            (rate, rate * time.as_secs_f64())
        }
    }
}

/// Requests at a rate that is kept, on their way.
pub(crate) struct Pacing {
    child: Child,
    log: tempfile::NamedTempFile,
}

/// When each request began and how long it took, in seconds, and whether it went well.
pub(crate) struct Paced(Vec<(f64, f64, bool)>);

pub(crate) fn pacing(target: &Target, rate: f64, time: Duration) -> Pacing {
    let log = tempfile::NamedTempFile::new().expect("a file can be made");
    let each = (rate / f64::from(CONNECTIONS)).max(1.0);
    let child = Command::new("h2load")
        .args(["--h1", "-t", "1", "-c", &CONNECTIONS.to_string(), "-D", &time.as_secs().to_string()])
        .args(["--rps", &format!("{each:.0}"), "-H", &format!(":authority: {}", target.host)])
        .arg(format!("--log-file={}", log.path().display()))
        .arg(target.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tool was found");
    Pacing { child, log }
}

impl Pacing {
    pub(crate) fn finish(mut self) -> Paced {
        self.child.wait().expect("it ends");
        let text = fs::read_to_string(self.log.path()).expect("it writes what it saw");
        let requests = text.lines().map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| fields[at].parse::<f64>().expect("it is a number");
            (number(0) / 1e6, number(2) / 1e6, fields[1] == "200")
        });
        Paced(requests.collect())
    }
}

pub(crate) fn paced(target: &Target, rate: f64, time: Duration) -> Paced {
    pacing(target, rate, time).finish()
}

impl Paced {
    /// The time within which 99 of 100 were answered: of those that began between two moments, if any are given.
    pub(crate) fn p99(&self, between: Option<(f64, f64)>) -> f64 {
        let chosen = self.0.iter().filter(|(begun, ..)| between.is_none_or(|(from, to)| from <= *begun && *begun < to));
        let mut times: Vec<f64> = chosen.map(|(_, took, _)| *took).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn failed(&self) -> f64 {
        assert!(!self.0.is_empty(), "no request was made");
        self.0.iter().filter(|(.., well)| !well).count() as f64
    }
}
