//! A line of an access log as the mesh says (semantics.md §12.4). Written by the log's own thread.

use std::fmt::{self, Display, Write as _};

use serde_json::{Map, Value};
use taut_snapshot::object::{CutItem, HeaderNames, LogFormat, LogItem, LogPiece};

use super::log::{Entry, Quoted, Timestamp, version};
use super::record::{Details, Line};

/// Appends a line.
pub(super) fn line(out: &mut String, entry: &Entry, format: &LogFormat) {
    let Some(line) = entry.record.line.as_deref() else { return };
    match format {
        LogFormat::Text(pieces) => pieces.iter().for_each(|piece| write(out, piece, entry, line)),
        LogFormat::Json(fields) => {
            let of = |pieces: &[LogPiece]| match pieces {
                [LogPiece::Item(item)] => alone(item, entry, line),
                pieces => {
                    let mut text = String::new();
                    pieces.iter().for_each(|piece| write(&mut text, piece, entry, line));
                    text.into()
                }
            };
            let all: Map<String, Value> =
                fields.iter().map(|field| (field.name.to_string(), of(&field.value))).collect();
            *out += &Value::Object(all).to_string();
            out.push('\n');
        }
    }
}

/// Some pieces as a text, as a service is told it.
pub(super) fn told(pieces: &[LogPiece], entry: &Entry) -> String {
    let Some(line) = entry.record.line.as_deref() else { return String::new() };
    let piece = |piece: &LogPiece| match piece {
        LogPiece::Text(text) => text.to_string(),
        LogPiece::Item(item) => text(item, entry, line).unwrap_or_else(|| "-".to_owned()),
    };
    pieces.iter().map(piece).collect()
}

fn write(out: &mut String, piece: &LogPiece, entry: &Entry, line: &Line) {
    let _ = match piece {
        LogPiece::Text(text) => out.write_str(text),
        LogPiece::Item(item) => match text(item, entry, line) {
            // A text of the client's must not end the line.
            Some(text) => write!(out, "{}", Quoted(&text)),
            None => out.write_char('-'),
        },
    };
}

/// What stands alone in JSON: a number stays one, and what there is none of is null.
fn alone(item: &CutItem, entry: &Entry, line: &Line) -> Value {
    match item.item {
        LogItem::ResponseCode => entry.record.key.status.into(),
        LogItem::BytesReceived => entry.bytes_received.into(),
        LogItem::BytesSent => entry.record.bytes_sent.into(),
        LogItem::Duration => took_ms(entry).into(),
        _ => text(item, entry, line).into(),
    }
}

fn took_ms(entry: &Entry) -> u64 {
    u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX)
}

fn text(item: &CutItem, entry: &Entry, line: &Line) -> Option<String> {
    let mut text = whole(&item.item, entry, line)?;
    if item.most != 0 && (item.most as usize) < text.len() {
        let end = (0..=item.most as usize).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    Some(text)
}

fn whole(item: &LogItem, entry: &Entry, line: &Line) -> Option<String> {
    let (record, upstream) = (&entry.record, line.upstream.as_ref());
    let details = |details: &Details| Some(details.to_string()).filter(|text| text != "-");
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    fn shown<T: Display>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    match item {
        LogItem::StartTime => shown(Some(Timestamp(line.start))),
        LogItem::Protocol => shown(line.version.map(version)),
        LogItem::ResponseCode => shown(Some(record.key.status)),
        LogItem::ResponseCodeDetails => details(&record.details),
        LogItem::ResponseFlags => shown(Some(record.key.flags)),
        LogItem::Termination => details(&line.termination),
        LogItem::TransportFailure => line.transport_failure.clone(),
        LogItem::BytesReceived => shown(Some(entry.bytes_received)),
        LogItem::BytesSent => shown(Some(record.bytes_sent)),
        LogItem::Duration => shown(Some(took_ms(entry))),
        LogItem::UpstreamHost => shown(upstream.and_then(|it| it.address)),
        LogItem::UpstreamCluster => shown(upstream.map(|it| &it.cluster)),
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
                name => line.kept.as_ref().and_then(|kept| kept.asked(name)),
            };
            header(name).or_else(|| header(otherwise))
        }
        LogItem::Response(HeaderNames { name, otherwise }) => {
            let header = |name: &str| match name {
                "x-envoy-upstream-service-time" => shown(upstream.and_then(|it| it.service_time_ms)),
                name => line.kept.as_ref().and_then(|kept| kept.answered(name)),
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
