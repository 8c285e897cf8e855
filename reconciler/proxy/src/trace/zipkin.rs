//! Spans in Zipkin's JSON, version 2.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Finished;

/// The message for some spans.
pub(super) fn message(spans: &[Finished]) -> Bytes {
    Value::Array(spans.iter().map(span).collect()).to_string().into()
}

fn span(span: &Finished) -> Value {
    let context = &span.context;
    let trace = if context.short { format!("{:016x}", context.trace) } else { format!("{:032x}", context.trace) };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let tags = span.tags.iter().map(|(name, value)| (name.to_string(), Value::from(value.as_str())));
    let mut all = json!({
        "traceId": trace,
        "id": format!("{:016x}", context.span),
        "kind": if span.server { "SERVER" } else { "CLIENT" },
        "name": span.name,
        "timestamp": micros(span.start.duration_since(UNIX_EPOCH).unwrap_or_default()),
        "duration": micros(span.took).max(1), // Zipkin knows no 0
        "localEndpoint": {"serviceName": span.tracer.service},
        "tags": tags.collect::<Map<_, _>>(),
    });
    if let Some(parent) = span.parent {
        all["parentId"] = format!("{parent:016x}").into();
    }
    all
}
