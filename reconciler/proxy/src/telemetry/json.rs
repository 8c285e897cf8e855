//! A line of the access log in Istio's default JSON (semantics.md §12.4). Written by the log's own thread.

use http::HeaderValue;
use serde_json::{Map, Value, json};

use super::log::{Entry, Timestamp, version};
use super::record::Details;

/// Appends the line. What there is none of is null, as with Envoy.
pub(super) fn line(out: &mut String, entry: &Entry, provenance: bool) {
    let Some(line) = &entry.record.line else { return };
    let (record, key) = (&entry.record, &entry.record.key);
    let upstream = line.upstream.as_ref();
    let header =
        |value: Option<&HeaderValue>| value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let details = |details: &Details| Some(details.to_string()).filter(|details| details != "-").into();
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("start_time", Timestamp(line.start).to_string().into());
    put("route_name", text(&line.route).into());
    put("method", line.method.as_ref().map(|method| method.as_str().to_owned()).into());
    put("path", text(&line.path).into());
    put("protocol", line.version.map(version).into());
    put("response_code", key.status.into());
    put("response_flags", key.flags.to_string().into());
    put("response_code_details", details(&record.details));
    put("connection_termination_details", details(&line.termination));
    put("bytes_received", entry.bytes_received.into());
    put("bytes_sent", record.bytes_sent.into());
    put("duration", u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX).into());
    put("upstream_service_time", upstream.and_then(|it| it.service_time_ms).map(|ms| ms.to_string()).into());
    put("x_forwarded_for", header(line.forwarded_for.as_ref()).into());
    put("user_agent", header(line.user_agent.as_ref()).into());
    put("request_id", header(line.request_id.as_ref()).into());
    put("authority", text(&line.authority).into());
    put("upstream_host", upstream.and_then(|it| it.address).map(|it| it.to_string()).into());
    put("upstream_cluster", upstream.map(|it| it.cluster.to_string()).into());
    put("upstream_local_address", upstream.and_then(|it| it.local).map(|it| it.to_string()).into());
    put("downstream_local_address", line.local.to_string().into());
    put("downstream_remote_address", line.remote.to_string().into());
    put("requested_server_name", line.server_name.as_deref().map(str::to_owned).into());
    put("upstream_transport_failure_reason", line.transport_failure.clone().into());
    if provenance {
        put("snapshot", line.provenance.snapshot.map(|digest| digest.short().to_string()).into());
        let rule = line.provenance.rule.map(|(table, rule)| json!({"table": table.to_string(), "number": rule}));
        put("rule", rule.into());
    }
    *out += &Value::Object(all).to_string();
    out.push('\n');
}
