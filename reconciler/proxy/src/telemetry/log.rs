//! The access log, in Istio's default text format (semantics.md §12.4).
//!
//! Owns: the writer's thread, and how a line is written.
//! May not: make a request wait. The queue is bounded; what does not fit is dropped and counted.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};
use taut_snapshot::object::LogFormat;
use tokio::runtime::Handle;

use super::counters::Counter;
use super::record::{Line, Record};
use crate::config::{AccessLog, LogFormat as OwnFormat};
use crate::worker::Shared;

/// The most lines that wait for the writer: about 4 MiB of records.
const WAITING_MAX: usize = 8_192;

/// Where records go to be written.
pub(crate) struct Log {
    queue: SyncSender<Message>,
}

/// A record with what is known at the end.
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) took: Duration,
    pub(crate) bytes_received: u64,
}

enum Message {
    /// In this format; in the log's own if none.
    Entry(Arc<Entry>, Option<Arc<LogFormat>>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the writer: from a thread of this runtime, if one is given. A thread has the priority of the one that starts
    /// it, and whoever prepares a snapshot stands back.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(log: AccessLog, from: Option<&Handle>) -> io::Result<Log> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let start = move || {
            let writer = thread::Builder::new().name("access-log".to_owned());
            writer.spawn(move || write_all(log, &waiting)).map(drop)
        };
        match from {
            None => start()?,
            Some(runtime) => drop(runtime.spawn(async move {
                if let Err(error) = start() {
                    tracing::error!(%error, "there is no thread to write the access log, whose lines are dropped");
                }
            })),
        }
        Ok(Log { queue })
    }

    /// Hands a record over; drops it if the writer is behind.
    pub(crate) fn write(&self, entry: Arc<Entry>, format: Option<Arc<LogFormat>>, drops: &Counter) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Entry(entry, format))
        {
            drops.add_one();
        }
    }

    /// Waits until all that was handed over is written.
    pub(crate) fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(written)).is_ok() {
            let _ = wait.recv();
        }
    }
}

/// Writes down what happened, wherever somebody wants it: on the proxy's command line, or in the mesh.
pub(crate) fn tell(shared: &Shared, entry: Entry) {
    let Some(line) = &entry.record.line else { return };
    let logs = line.kept.as_ref().map(|kept| kept.logs.clone());
    if shared.log.is_none() && logs.is_none() {
        return; // it is there for a span
    }
    let entry = Arc::new(entry);
    if let Some(log) = &shared.log {
        log.write(entry.clone(), None, &shared.counters.log_drops);
    }
    if let Some(logs) = logs {
        logs.write(&entry, shared);
    }
}

fn write_all(mut log: AccessLog, waiting: &Receiver<Message>) {
    let mut text = String::new();
    let mut next = waiting.recv().ok();
    while let Some(message) = next {
        match message {
            Message::Entry(entry, format) => {
                text.clear();
                match (format, log.format) {
                    (Some(format), _) => super::format::line(&mut text, &entry, &format),
                    (None, OwnFormat::Text) => line(&mut text, &entry, log.provenance),
                    (None, OwnFormat::Json) => super::json::line(&mut text, &entry, log.provenance),
                }
                // A log that cannot be written must not stop the proxy; the next line tries again.
                let _ = log.to.write_all(text.as_bytes());
                next = waiting.try_recv().ok();
            }
            Message::Flush(written) => {
                let _ = log.to.flush();
                let _ = written.send(());
                next = None;
            }
        }
        if next.is_none() {
            let _ = log.to.flush();
            next = waiting.recv().ok();
        }
    }
}

fn line(out: &mut String, entry: &Entry, provenance: bool) {
    let Some(line) = &entry.record.line else { return };
    let key = &entry.record.key;
    let upstream = line.upstream.as_ref();
    let _ = write!(
        out,
        "[{}] \"{} {} {}\" {} {} {} {} \"{}\" {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" {} {} {} {} {} {}",
        Timestamp(line.start),
        OrDash(line.method.as_ref()),
        OrDash(Some(Quoted(&line.path)).filter(|_| !line.path.is_empty())),
        OrDash(line.version.map(version)),
        key.status,
        key.flags,
        entry.record.details,
        line.termination,
        OrDash(line.transport_failure.as_deref().map(Quoted)),
        entry.bytes_received,
        entry.record.bytes_sent,
        entry.took.as_millis(),
        OrDash(upstream.and_then(|upstream| upstream.service_time_ms)),
        HeaderText(line.forwarded_for.as_ref()),
        HeaderText(line.user_agent.as_ref()),
        HeaderText(line.request_id.as_ref()),
        OrDash(Some(Quoted(&line.authority)).filter(|_| !line.authority.is_empty())),
        OrDash(upstream.and_then(|upstream| upstream.address)),
        OrDash(upstream.map(|upstream| &upstream.cluster)),
        OrDash(upstream.and_then(|upstream| upstream.local)),
        line.local,
        line.remote,
        OrDash(line.server_name.as_deref().map(Quoted)),
        OrDash(Some(&line.route).filter(|route| !route.is_empty())),
    );
    if provenance {
        write_provenance(out, line);
    }
    out.push('\n');
}

/// The protocol, as Envoy names it.
pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn write_provenance(out: &mut String, line: &Line) {
    let snapshot = line.provenance.snapshot.map(|digest| digest.short());
    let rule = line.provenance.rule.map(|(table, rule)| format!("{table}#{rule}"));
    let _ = write!(out, " snapshot={} rule={}", OrDash(snapshot), OrDash(rule));
}

/// `-` for what there is none of.
struct OrDash<T>(Option<T>);

impl<T: Display> Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A text of the client's, which must not end the quotes or the line.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(f, "\\{c}"),
            c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c)),
            c => f.write_char(c),
        })
    }
}

struct HeaderText<'h>(Option<&'h HeaderValue>);

impl Display for HeaderText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => Quoted(&String::from_utf8_lossy(value.as_bytes())).fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// ISO 8601 in UTC, to the millisecond.
pub(super) struct Timestamp(pub(super) SystemTime);

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
    }
}

/// The date of a day since 1970, counting years from March so that the leap day is the last (Hinnant, 'chrono-compatible
/// low-level date algorithms').
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use http::Method;
    use taut_snapshot::Digest;

    use super::*;
    use crate::telemetry::metrics::SeriesKey;
    use crate::telemetry::record::{Details, Flags, Provenance, UpstreamLine};

    pub(in crate::telemetry) fn entry() -> Entry {
        let line = Line {
            start: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
            method: Some(Method::GET),
            path: "/a\"b?x=1".into(),
            version: Some(Version::HTTP_11),
            authority: "orders:8080".into(),
            forwarded_for: None,
            user_agent: Some(HeaderValue::from_static("curl/8")),
            request_id: Some(HeaderValue::from_static("id-1")),
            local: ([10, 0, 0, 1], 8080).into(),
            remote: ([10, 0, 0, 2], 4000).into(),
            server_name: None,
            route: "canary".into(),
            upstream: Some(UpstreamLine {
                cluster: "outbound|8080|v1|orders".into(),
                address: Some(([10, 0, 0, 3], 8080).into()),
                local: None,
                service_time_ms: Some(4),
            }),
            termination: Details::None,
            transport_failure: None,
            kept: None,
            provenance: Provenance { snapshot: Some(Digest([1; 32])), rule: Some((Digest([2; 32]), 3)) },
        };
        let record = Record {
            key: SeriesKey { status: 503, flags: Flags::UPSTREAM_CLOSED, ..SeriesKey::default() },
            details: Details::Word("via_upstream"),
            bytes_sent: 12,
            line: Some(Box::new(line)),
        };
        Entry { record, took: Duration::from_millis(5), bytes_received: 3 }
    }

    #[test]
    fn a_line_is_istios() {
        let mut out = String::new();
        line(&mut out, &entry(), false);
        assert_eq!(
            out,
            "[2024-02-29T12:34:56.007Z] \"GET /a\\\"b?x=1 HTTP/1.1\" 503 UC via_upstream - \"-\" 3 12 5 4 \"-\" \"curl/8\" \
             \"id-1\" \"orders:8080\" \"10.0.0.3:8080\" outbound|8080|v1|orders - 10.0.0.1:8080 10.0.0.2:4000 - canary\n"
        );
    }

    #[test]
    fn a_line_can_say_what_decided() {
        let mut out = String::new();
        line(&mut out, &entry(), true);
        let table = "02".repeat(32);
        assert!(out.ends_with(&format!(" canary snapshot=010101010101 rule={table}#3\n")), "{out}");
    }

    #[test]
    fn every_record_is_written_before_a_flush_ends() {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let log =
            Log::start(AccessLog { to: Box::new(kept.clone()), format: OwnFormat::Text, provenance: false }, None)
                .unwrap();
        let drops = Counter::default();
        for _ in 0..100 {
            log.write(Arc::new(entry()), None, &drops);
        }
        log.flush();
        let lines = kept.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((lines, drops.value()), (100, 0));
    }
}
