//! What explains a request that failed: a fault that the test made, at that moment, where the request went.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::clients::Failure;

/// The clocks of a log's lines count in milliseconds.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// What the test did to something, and when.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The member whose proxy or application it concerned.
    pub(crate) member: &'static str,
    pub(crate) what: String,
    /// Whether what it does to others may be seen: a proxy that is asked to stop fails nobody else.
    pub(crate) seen: bool,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
}

impl Fault {
    fn meets(&self, failure: &Failure) -> bool {
        self.began <= failure.ended + TICK && failure.began <= self.ended + TICK
    }
}

/// A line of an access log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) value: Value,
    pub(crate) at: SystemTime,
}

impl Line {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    fn upstream(&self) -> Option<SocketAddr> {
        self.text("upstream_host").parse().ok()
    }
}

/// `2026-01-02T03:04:05.678Z` as a time.
fn time(text: &str) -> SystemTime {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u64>().ok());
    let parts = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19), (20, 23)].map(|(from, to)| number(from, to));
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second), Some(ms)] = parts else {
        panic!("`{text}` is no time");
    };
    // Years from March on, so that a leap day is the last one of its year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    UNIX_EPOCH + Duration::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms)
}

/// The lines of a log. A crash may have cut one of them.
pub(crate) fn lines(log: &Path) -> Vec<Line> {
    let bytes = fs::read(log).expect("there is a log");
    let all = String::from_utf8_lossy(&bytes).into_owned();
    let parsed = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.map(|value| Line { at: time(value["start_time"].as_str().unwrap_or_default()), value }).collect()
}

/// Everything that is known when all is over.
pub(crate) struct Judge {
    pub(crate) faults: Vec<Fault>,
    /// What those who ask have written, by member.
    pub(crate) logs: BTreeMap<&'static str, Vec<Line>>,
    /// Whose address it was, since when: the system gives a port to one after the other.
    pub(crate) addresses: Vec<(SocketAddr, SystemTime, &'static str)>,
    /// Services whose rules try again, and which always have an endpoint without a fault.
    pub(crate) always_answer: &'static [&'static str],
}

impl Judge {
    /// Why a request failed; or its whole story, if nothing explains it.
    pub(crate) fn explains(&self, failure: &Failure) -> Result<String, String> {
        let told = self.line(failure);
        let story = |why: &str| {
            let about: Vec<String> =
                self.faults.iter().filter(|it| it.meets(failure)).map(|it| format!("{it:?}")).collect();
            let member = told.and_then(|line| self.member(line));
            format!(
                "{why}; the client saw: {}\n  {failure:?}\n  line: {}\n  went to: {member:?}\n  faults then: {about:#?}",
                failure.why,
                told.map_or_else(|| "none".to_owned(), |line| line.value.to_string()),
            )
        };
        if failure.mixed {
            return Err(story("two snapshots in one answer"));
        }
        if let Some(fault) = self.meets(failure.frontend, failure).first() {
            return Ok(format!("{} was {}", fault.member, fault.what));
        }
        let Some(line) = told else { return Err(story("its proxy has written no line")) };
        let Some(member) = self.member(line) else {
            return Err(story("it went nowhere"));
        };
        let there = self.meets(member, failure);
        let Some(fault) = there.iter().find(|fault| fault.seen) else {
            return Err(story("there was no fault where it went"));
        };
        if self.always_answer.contains(&failure.service) && line.value["response_code"] != 200 {
            return Err(story("another endpoint would have answered"));
        }
        Ok(format!("{} was {}", fault.member, fault.what))
    }

    /// Who was at the address that a line names.
    fn member(&self, line: &Line) -> Option<&'static str> {
        let upstream = line.upstream()?;
        let had = self.addresses.iter().filter(|(at, since, _)| *at == upstream && *since <= line.at);
        had.max_by_key(|(_, since, _)| *since).map(|(_, _, member)| *member)
    }

    /// Whether a proxy was ended and started again in this time.
    pub(crate) fn is_restarted(&self, member: &str, from: SystemTime, to: SystemTime) -> bool {
        let its = self.faults.iter().filter(|it| it.member == member && !it.what.contains("application"));
        its.into_iter().any(|it| it.began <= to && from <= it.ended)
    }

    /// What was done to a member while a request was under way.
    fn meets(&self, member: &str, failure: &Failure) -> Vec<&Fault> {
        self.faults.iter().filter(|it| it.member == member && it.meets(failure)).collect()
    }

    fn line(&self, failure: &Failure) -> Option<&Line> {
        let all = self.logs.get(failure.frontend)?;
        let http = failure.key.starts_with('/');
        // A port that a connection of bytes had may be one of HTTP a moment later.
        let its = |line: &&Line| match line.text("path") {
            "" => !http && line.text("downstream_remote_address") == failure.key,
            path => http && path == failure.key,
        };
        // Addresses come again: the last connection from there before it failed is the one.
        all.iter().filter(its).rfind(|line| line.at <= failure.ended + TICK)
    }
}
