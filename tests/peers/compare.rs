//! Cases, and how what two proxies made of one is compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{exchange, page};
use serde_json::Value;
use taut_identity::LiveIdentity;

use crate::backend::{Backends, MARK, Seen};
use crate::sealed::{credentials, exchange_as};

/// Headers that differ from one request to the next, or that name the product. Istio's Envoys send the `x-envoy-` ones to each
/// other; the number of the try alone is for applications.
fn is_compared(name: &str) -> bool {
    let own = ["date", "server", "x-request-id", "connection", "transfer-encoding", MARK];
    !own.contains(&name) && (!name.starts_with("x-envoy-") || name == "x-envoy-attempt-count")
}

/// One request, and in short what comes of it: the status, and the applications that got it.
pub(crate) struct Ask {
    line: &'static str,
    want: &'static str,
    host: Option<&'static str>,
    headers: Vec<(String, String)>,
    times: usize,
    /// Who asks, by its certificate; over plaintext if nobody.
    by: Option<&'static str>,
}

/// `ask("GET /path", "200 one")`. Characters up to U+00FF are sent as the bytes of that number.
pub(crate) fn ask(line: &'static str, want: &'static str) -> Ask {
    Ask { line, want, host: None, headers: vec![], times: 1, by: None }
}

impl Ask {
    pub(crate) fn host(self, host: &'static str) -> Ask {
        Ask { host: Some(host), ..self }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Ask {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Asked by whoever has the certificate of this identity.
    pub(crate) fn by(self, id: &'static str) -> Ask {
        Ask { by: Some(id), ..self }
    }

    /// Asked so often one after the other, and what comes of it is counted.
    pub(crate) fn times(self, times: usize) -> Ask {
        Ask { times, ..self }
    }

    fn bytes(&self, host: &str, mark: &str) -> Vec<u8> {
        let mut text = format!("{} HTTP/1.1\r\nhost: {}\r\n", self.line, self.host.unwrap_or(host));
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("{MARK}: {mark}\r\nconnection: close\r\n\r\n");
        text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
    }

    /// How many tries the applications are to get.
    fn tries(&self) -> usize {
        self.want.split(' ').skip(1).count()
    }
}

/// Something that users write, and requests that show what it does.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What Taut compiles.
    pub(crate) istio: String,
    /// What Istio makes of it for Envoy.
    pub(crate) envoy: Vec<Value>,
    pub(crate) asks: Vec<Ask>,
    /// Why Taut does something else, where it does.
    pub(crate) differs: Option<&'static str>,
}

pub(crate) fn case(name: &'static str, istio: impl Into<String>, envoy: Vec<Value>, asks: Vec<Ask>) -> Case {
    Case { name, istio: istio.into(), envoy, asks, differs: None }
}

impl Case {
    pub(crate) fn differs(self, why: &'static str) -> Case {
        Case { differs: Some(why), ..self }
    }
}

/// Where a proxy takes requests, and what comes before each connection.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) preamble: &'static str,
    /// Who asks, as this proxy writes it down.
    pub(crate) client: &'static str,
    /// Admin pages of one whose main thread takes endpoints out a little later than the answer that was one too many.
    pub(crate) settles: Option<SocketAddr>,
}

/// What came of one request.
struct Outcome {
    /// As it is written in a case.
    short: String,
    lines: Vec<String>,
}

/// The certificate of an identity: the same one each time, whose hash is compared too.
fn shown(id: &'static str) -> LiveIdentity {
    static SHOWN: Mutex<BTreeMap<&str, LiveIdentity>> = Mutex::new(BTreeMap::new());
    SHOWN.lock().unwrap().entry(id).or_insert_with(|| LiveIdentity::new(credentials(id))).clone()
}

fn once(ask: &Ask, host: &str, door: &Door, backends: &Backends) -> Outcome {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    let mark = MARKS.fetch_add(1, Ordering::Relaxed).to_string();
    let bytes = ask.bytes(host, &mark);
    let answer = match ask.by {
        Some(id) => exchange_as(&shown(id), door.address, door.preamble, &bytes),
        None => exchange(door.address, &[door.preamble.as_bytes(), &bytes].concat()),
    };
    let waited_for = if ask.times == 1 { ask.tries() } else { 0 };
    let seen = backends.seen(&mark, waited_for);
    let mut lines = Vec::new();
    let status = match &answer {
        Ok(answer) => {
            let status = answer.status().unwrap_or_default();
            lines.push(format!("status {status}"));
            // What is no HTTP is refused by each side's reader, in its own words.
            if status != 400 || !seen.is_empty() {
                lines.extend(sorted(&answer.headers).map(|(name, value)| format!("answer {name}: {value}")));
                lines.push(format!("body {:?}", answer.body));
            }
            status.to_string()
        }
        Err(error) => {
            lines.push(format!("no answer: {:?}", error.kind()));
            "none".to_owned()
        }
    };
    for (at, Seen { backend, message }) in seen.iter().enumerate() {
        lines.push(format!("try {} {backend} {}", at + 1, message.line));
        for (name, value) in sorted(&message.headers) {
            let value = match value.strip_suffix(door.client) {
                Some(before) if name == "x-forwarded-for" => format!("{before}CLIENT"),
                _ => value.to_owned(),
            };
            lines.push(format!("try {} {name}: {value}", at + 1));
        }
    }
    let short = std::iter::once(status.as_str()).chain(seen.iter().map(|seen| seen.backend));
    Outcome { short: short.collect::<Vec<&str>>().join(" "), lines }
}

/// Headers that are compared, by name; values of one name stay in their order.
fn sorted(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    let mut headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(|it| is_compared(it.0)).collect();
    headers.sort_by_key(|(name, _)| *name);
    headers.into_iter()
}

fn outcome(ask: &Ask, host: &str, door: &Door, backends: &Backends) -> Outcome {
    if ask.times == 1 {
        return once(ask, host, door, backends);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..ask.times {
        *counts.entry(once(ask, host, door, backends).short).or_default() += 1;
        // Its main thread has done what was asked of it before once it answers; and its worker, by the second answer.
        for _ in 0..2 {
            door.settles.map(|admin| page(admin, "/ready").unwrap());
        }
    }
    let lines: Vec<String> = counts.iter().map(|(short, count)| format!("{count} x {short}")).collect();
    Outcome { short: lines.join(", "), lines }
}

/// Everything in which two proxies differ on a case, or Envoy from what the case says.
pub(crate) fn compare(case: &Case, host: &str, doors: [&Door; 2], backends: &Backends) -> Vec<String> {
    let [taut, envoy] = doors;
    let (mut differences, mut wrong) = (Vec::new(), Vec::new());
    for ask in &case.asks {
        let by = ask.by.unwrap_or("nobody");
        let what = format!("{}: {} {:?} {:?} by {by}", case.name, ask.line, ask.host.unwrap_or(host), ask.headers);
        let theirs = outcome(ask, host, envoy, backends);
        if theirs.short != ask.want {
            wrong.push(format!(
                "{what}\n    the case says {:?}, Envoy {:?}: {:?}",
                ask.want, theirs.short, theirs.lines
            ));
        }
        let ours = outcome(ask, host, taut, backends);
        let only = |these: &[String], those: &[String]| {
            these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<String>>()
        };
        let (ours_only, theirs_only) = (only(&ours.lines, &theirs.lines), only(&theirs.lines, &ours.lines));
        if ours.lines != theirs.lines {
            differences.push(format!("{what}\n    Taut alone:  {ours_only:?}\n    Envoy alone: {theirs_only:?}"));
        }
    }
    match case.differs {
        Some(why) if differences.is_empty() => {
            wrong.push(format!("{}: both do the same, so it is no longer true that {why}", case.name));
        }
        Some(_) => {}
        None => wrong.extend(differences),
    }
    wrong
}

/// Fails with everything that is wrong.
pub(crate) fn conclude(cases: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
}
