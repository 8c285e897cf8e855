//! What is known of a request, in the words of Envoy's formatter: lines of an access log as the mesh says (semantics.md
//! §12.4), written by the log's own thread; and values of headers, written where a rule asks for them.

use std::fmt::{self, Display, Write as _};

use serde_json::{Map, Value};
use taut_snapshot::object::{CutItem, HeaderNames, LogFormat, LogItem, LogPiece};

use super::files::Kept;
use super::log::{Entry, Quoted, Timestamp, version};
use super::record::{Details, Line};

/// Where headers are looked up.
pub(crate) type Headers<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is known of a request.
pub(crate) struct Seen<'a> {
    pub(crate) line: &'a Line,
    pub(crate) status: u16,
    /// The cluster that it goes to, where nobody of it has been reached yet.
    pub(crate) cluster: Option<&'a str>,
    /// What is known when all is over.
    pub(crate) end: Option<&'a Entry>,
    /// The headers of the request, and of the answer.
    pub(crate) asked: Headers<'a>,
    pub(crate) answered: Headers<'a>,
}

/// The value of a header: what there is none of is left out.
pub(crate) fn value(pieces: &[LogPiece], seen: &Seen<'_>) -> String {
    let mut value = String::new();
    for piece in pieces {
        match piece {
            LogPiece::Text(text) => value += text,
            LogPiece::Item(item) => value += &text(item, seen).unwrap_or_default(),
        }
    }
    value
}

/// Appends a line.
pub(super) fn line(out: &mut String, entry: &Entry, format: &LogFormat) {
    seen_at_end(entry, |seen| match format {
        LogFormat::Text(pieces) => pieces.iter().for_each(|piece| write(out, piece, seen)),
        LogFormat::Json(fields) => {
            let of = |pieces: &[LogPiece]| match pieces {
                [LogPiece::Item(item)] => alone(item, entry, seen),
                pieces => {
                    let mut text = String::new();
                    pieces.iter().for_each(|piece| write(&mut text, piece, seen));
                    text.into()
                }
            };
            let all: Map<String, Value> =
                fields.iter().map(|field| (field.name.to_string(), of(&field.value))).collect();
            *out += &Value::Object(all).to_string();
            out.push('\n');
        }
    });
}

/// Some pieces as a text, as a service is told it.
pub(super) fn told(pieces: &[LogPiece], entry: &Entry) -> String {
    seen_at_end(entry, |seen| {
        let piece = |piece: &LogPiece| match piece {
            LogPiece::Text(text) => text.to_string(),
            LogPiece::Item(item) => text(item, seen).unwrap_or_else(|| "-".to_owned()),
        };
        pieces.iter().map(piece).collect()
    })
}

/// What is known of a request when all is over.
fn seen_at_end<R: Default>(entry: &Entry, tell: impl FnOnce(&Seen<'_>) -> R) -> R {
    let Some(line) = entry.record.line.as_deref() else { return R::default() };
    let kept = |which: fn(&Kept, &str) -> Option<String>| {
        move |name: &str| line.kept.as_ref().and_then(|kept| which(kept, name))
    };
    let (asked, answered) = (kept(Kept::asked), kept(Kept::answered));
    tell(&Seen {
        line,
        status: entry.record.key.status,
        cluster: None,
        end: Some(entry),
        asked: &asked,
        answered: &answered,
    })
}

fn write(out: &mut String, piece: &LogPiece, seen: &Seen<'_>) {
    let _ = match piece {
        LogPiece::Text(text) => out.write_str(text),
        LogPiece::Item(item) => match text(item, seen) {
            // A text of the client's must not end the line.
            Some(text) => write!(out, "{}", Quoted(&text)),
            None => out.write_char('-'),
        },
    };
}

/// What stands alone in JSON: a number stays one, and what there is none of is null.
fn alone(item: &CutItem, entry: &Entry, seen: &Seen<'_>) -> Value {
    match item.item {
        LogItem::ResponseCode => entry.record.key.status.into(),
        LogItem::BytesReceived => entry.bytes_received.into(),
        LogItem::BytesSent => entry.record.bytes_sent.into(),
        LogItem::Duration => took_ms(entry).into(),
        _ => text(item, seen).into(),
    }
}

fn took_ms(entry: &Entry) -> u64 {
    u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX)
}

fn text(item: &CutItem, seen: &Seen<'_>) -> Option<String> {
    let mut text = whole(&item.item, seen)?;
    if item.most != 0 && (item.most as usize) < text.len() {
        let end = (0..=item.most as usize).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    Some(text)
}

fn whole(item: &LogItem, seen: &Seen<'_>) -> Option<String> {
    let (line, upstream) = (seen.line, seen.line.upstream.as_ref());
    let details = |details: &Details| Some(details.to_string()).filter(|text| text != "-");
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    fn shown<T: Display>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    match item {
        LogItem::StartTime => shown(Some(Timestamp(line.start))),
        LogItem::Protocol => shown(line.version.map(version)),
        LogItem::ResponseCode => shown(Some(seen.status)),
        LogItem::ResponseCodeDetails => details(&seen.end?.record.details),
        LogItem::ResponseFlags => shown(Some(seen.end?.record.key.flags)),
        LogItem::Termination => details(&line.termination),
        LogItem::TransportFailure => line.transport_failure.clone(),
        LogItem::BytesReceived => shown(Some(seen.end?.bytes_received)),
        LogItem::BytesSent => shown(Some(seen.end?.record.bytes_sent)),
        LogItem::Duration => shown(Some(took_ms(seen.end?))),
        LogItem::UpstreamHost => shown(upstream.and_then(|it| it.address)),
        LogItem::UpstreamCluster => shown(upstream.map(|it| &*it.cluster).or(seen.cluster)),
        LogItem::UpstreamLocal => shown(upstream.and_then(|it| it.local)),
        LogItem::DownstreamLocal => shown(Some(line.local)),
        LogItem::DownstreamLocalIp => shown(Some(line.local.ip())),
        LogItem::DownstreamRemote => shown(Some(line.remote)),
        LogItem::DownstreamRemoteIp => shown(Some(line.remote.ip())),
        LogItem::ServerName => shown(line.server_name.as_deref()),
        LogItem::RouteName => set(&line.route),
        LogItem::Request(HeaderNames { name, otherwise }) => {
            let header = |name: &str| match name {
                ":method" => shown(line.method.as_ref()),
                ":path" => set(&line.path),
                ":authority" => set(&line.authority),
                name => (seen.asked)(name),
            };
            header(name).or_else(|| header(otherwise))
        }
        LogItem::Response(HeaderNames { name, otherwise }) => {
            let header = |name: &str| match name {
                "x-envoy-upstream-service-time" => shown(upstream.and_then(|it| it.service_time_ms)),
                name => (seen.answered)(name),
            };
            header(name).or_else(|| header(otherwise))
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("record", &self.record).finish_non_exhaustive()
    }
}
