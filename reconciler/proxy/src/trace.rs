//! Traces (semantics.md §12.5): which requests have a span, and what it says.
//!
//! Owns: the decision as Envoy makes it, the span of a request under way, and its tags.
//! May not: make a request wait, or allocate for one that is not sampled: `context` writes such headers into a buffer that
//! is shared by many. What was sampled is handed to `export` when the request ends.

pub(crate) mod context;
pub(crate) mod export;
pub(crate) mod otlp;
mod zipkin;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use taut_snapshot::Text;
use taut_snapshot::object::{Collects, TagValue, Tracing};

use crate::balance::Draws;
use crate::config::Role;
use crate::downstream::Connection;
use crate::headers::{self, REQUEST_ID};
use crate::telemetry::log::version;
use crate::telemetry::metrics::Spoken;
use crate::telemetry::names::Workload;
use crate::telemetry::record::{Line, Record};
use crate::upstream::Upstream;
use crate::world::World;
use context::{Context, Forms};

/// The place in a UUID that says why a request is traced (Envoy's `UUIDRequestIDExtension`).
const REASON_AT: usize = 14;
const NOT_TRACED: u8 = b'4';
const SAMPLED: u8 = b'9';
const FORCED: u8 = b'a';
const CLIENT_FORCED: u8 = b'b';

/// One of so many is drawn.
const DRAWN_OF: u64 = 10_000;

const CLIENT_TRACE_ID: HeaderName = HeaderName::from_static("x-client-trace-id");
const FORCE_TRACE: HeaderName = HeaderName::from_static("x-envoy-force-trace");

/// How one side of a workload's requests is traced.
#[derive(Debug)]
pub(crate) struct Tracer {
    pub(crate) tracing: Tracing,
    /// Where spans go.
    pub(crate) upstream: Arc<Upstream>,
    /// The name that collectors know the workload by.
    pub(crate) service: String,
    server: bool,
    forms: Forms,
    /// Tags that all of its spans have.
    own: Vec<(Cow<'static, str>, String)>,
}

impl Tracer {
    /// How requests are traced by a workload; `node` is the name of its proxy.
    pub(crate) fn new(
        tracing: &Tracing,
        upstream: &Arc<Upstream>,
        workload: &Workload,
        node: &str,
        mesh: &str,
        server: bool,
    ) -> Tracer {
        let mut own: Vec<(Cow<'static, str>, String)> =
            vec![("component".into(), "proxy".to_owned()), ("node_id".into(), node.to_owned())];
        if tracing.mesh_tags {
            own.extend([
                ("istio.canonical_service".into(), workload.canonical_service.to_string()),
                ("istio.canonical_revision".into(), workload.canonical_revision.to_string()),
                ("istio.mesh_id".into(), mesh.to_owned()),
                ("istio.namespace".into(), workload.namespace.to_string()),
                ("istio.cluster_id".into(), "unknown".to_owned()),
            ]);
        }
        for tag in &tracing.tags {
            let value = match &tag.value {
                TagValue::Literal(text) => text.to_string(),
                TagValue::Environment(it) => {
                    std::env::var(it.name.as_str()).unwrap_or_else(|_| it.otherwise.to_string())
                }
                TagValue::Header(_) => continue,
            };
            if !value.is_empty() {
                own.push((tag.name.to_string().into(), value));
            }
        }
        Tracer {
            tracing: tracing.clone(),
            upstream: upstream.clone(),
            service: workload.service(),
            server,
            forms: match &tracing.exporter.speaks {
                Collects::Zipkin(zipkin) => Forms { b3: true, w3c: zipkin.w3c },
                Collects::OtlpGrpc | Collects::OtlpHttp(_) => Forms { b3: false, w3c: true },
            },
            own,
        }
    }
}

/// A request that is traced.
#[derive(Debug)]
pub(crate) struct Span {
    tracer: Arc<Tracer>,
    context: Context,
    parent: Option<u64>,
    start: SystemTime,
    scheme: &'static str,
    /// Where it went.
    pub(crate) upstream: Option<Arc<Upstream>>,
    /// Tags that are from its headers.
    tags: Vec<(Text, String)>,
}

/// A span as it is told.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) context: Context,
    pub(crate) parent: Option<u64>,
    pub(crate) start: SystemTime,
    pub(crate) took: Duration,
    pub(crate) name: String,
    pub(crate) server: bool,
    pub(crate) failed: bool,
    pub(crate) tags: Vec<(Cow<'static, str>, String)>,
}

/// Decides whether a request is traced, and has its headers say so. None if it is not.
pub(crate) fn begin(world: &World, connection: &Connection, headers: &mut HeaderMap) -> Option<Box<Span>> {
    let server = matches!(connection.role, Role::Inbound { .. });
    let tracer = world.tracers[usize::from(server)].as_ref()?;
    let draws = &connection.worker.draws;
    let chosen = is_chosen(headers, &tracer.tracing, draws);
    let found = context::read(headers, tracer.forms);
    let sampled = found.sampled.unwrap_or(chosen);
    if !sampled {
        if tracer.tracing.propagates {
            context::write_unsampled(headers, tracer.forms, &found, draws);
        }
        return None;
    }
    let context = Context {
        trace: found.context.map_or_else(|| context::new_trace(draws), |parent| parent.trace),
        span: context::new_span(draws),
        short: found.context.is_some_and(|parent| parent.short),
    };
    let parent = found.context.map(|parent| parent.span);
    if tracer.tracing.propagates {
        context::write(headers, tracer.forms, &found, &context, parent);
    }
    let tags = tracer.tracing.tags.iter().filter_map(|tag| match &tag.value {
        TagValue::Header(it) => {
            let value = headers.get(it.name.as_str()).map(|value| String::from_utf8_lossy(value.as_bytes()));
            let value = value.map_or_else(|| it.otherwise.to_string(), Cow::into_owned);
            Some((tag.name.clone(), value)).filter(|(_, value)| !value.is_empty())
        }
        TagValue::Literal(_) | TagValue::Environment(_) => None,
    });
    Some(Box::new(Span {
        context,
        parent,
        start: SystemTime::now(),
        scheme: headers::scheme(headers).unwrap_or_else(|| connection.scheme()),
        upstream: None,
        tags: tags.collect(),
        tracer: tracer.clone(),
    }))
}

/// Whether a request is one of those that are sampled (Envoy's `mutateTracingRequestHeader`). Its id says so from then on.
fn is_chosen(headers: &mut HeaderMap, tracing: &Tracing, draws: &Draws) -> bool {
    let sampling = u64::from(tracing.sampling);
    if !tracing.by_request_id {
        return draws.below(DRAWN_OF as usize) < sampling as usize;
    }
    let Some((id, number)) = headers.get(&REQUEST_ID).and_then(|id| Some((id.as_bytes(), number_of(id)?))) else {
        return false;
    };
    let reason = match id[REASON_AT] {
        SAMPLED | FORCED | CLIENT_FORCED => return true,
        _ if headers.contains_key(CLIENT_TRACE_ID) => CLIENT_FORCED,
        _ if headers.contains_key(FORCE_TRACE) => FORCED,
        _ if number % DRAWN_OF < sampling => SAMPLED,
        NOT_TRACED => return false,
        _ => NOT_TRACED,
    };
    let mut text = id.to_vec();
    text[REASON_AT] = reason;
    if let Ok(id) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
        headers.insert(REQUEST_ID, id);
    }
    reason != NOT_TRACED
}

/// The number that a UUID is drawn by: its first eight digits.
fn number_of(id: &HeaderValue) -> Option<u64> {
    let text = id.to_str().ok().filter(|text| text.len() == 36)?;
    u64::from_str_radix(text.get(..8)?, 16).ok()
}

impl Span {
    /// The request is over.
    pub(crate) fn finish(self, record: &Record, took: Duration, received: u64) -> Finished {
        let Span { tracer, context, parent, start, scheme, upstream, tags: of_headers } = self;
        let (key, server) = (&record.key, tracer.server);
        let grpc = (key.protocol == Spoken::Grpc).then_some(key.grpc_status).flatten();
        let failed = key.status == 0 || 500 <= key.status || grpc.is_some_and(|status| status != 0);
        let mut tags = tracer.own.clone();
        let mut put = |name: &'static str, value: String| tags.push((Cow::Borrowed(name), value));
        let mut name = if server { "ingress".to_owned() } else { "egress".to_owned() };
        if let Some(line) = record.line.as_deref() {
            if !server {
                name = format!("egress {}", line.authority);
            }
            of_line(line, scheme, tracer.tracing.exporter.path_max, &mut put);
            if key.protocol == Spoken::Grpc {
                put("grpc.path", line.path.to_string());
                put("grpc.authority", line.authority.to_string());
            }
        }
        put("request_size", received.to_string());
        put("response_size", record.bytes_sent.to_string());
        put("http.status_code", key.status.to_string());
        put("response_flags", key.flags.to_string());
        if let Some(status) = grpc {
            put("grpc.status_code", status.to_string());
        }
        if failed {
            put("error", "true".to_owned());
        }
        if let Some(upstream) = upstream {
            name = format!("{}:{}/*", upstream.cluster.host, upstream.cluster.port);
            put("upstream_cluster", upstream.name.to_string());
            put("upstream_cluster.name", upstream.name.to_string());
        }
        // A tag of the user's own takes the place of one that every span has.
        tags.retain(|(name, _)| !of_headers.iter().any(|(own, _)| **own == **name));
        tags.extend(of_headers.into_iter().map(|(name, value)| (name.to_string().into(), value)));
        Finished { context, parent, start, took, name, server, failed, tags, tracer }
    }
}

fn of_line(line: &Line, scheme: &str, path_max: u32, put: &mut impl FnMut(&'static str, String)) {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let path: String = line.path.chars().take(path_max as usize).collect();
    put("http.url", format!("{scheme}://{}{path}", line.authority));
    put("http.method", line.method.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string));
    put("http.protocol", line.version.map_or("-", version).to_owned());
    put("downstream_cluster", "-".to_owned());
    put("user_agent", line.user_agent.as_ref().map_or_else(|| "-".to_owned(), text));
    put("peer.address", line.remote.ip().to_string());
    if let Some(id) = &line.request_id {
        put("guid:x-request-id", text(id));
    }
    if let Some(address) = line.upstream.as_ref().and_then(|upstream| upstream.address) {
        put("upstream_address", address.to_string());
    }
}

#[cfg(test)]
mod tests {
    use taut_snapshot::Digest;
    use taut_snapshot::format::codec::Link;
    use taut_snapshot::object::Exporter;

    use super::*;

    fn tracing(sampling: u32, by_request_id: bool) -> Tracing {
        let exporter = Exporter {
            name: "o".into(),
            clusters: Link::to(Digest([0; 32])),
            speaks: Collects::OtlpGrpc,
            path_max: 256,
        };
        Tracing { exporter, sampling, tags: vec![], by_request_id, mesh_tags: true, propagates: true }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn requests_are_chosen_as_envoy_chooses_them() {
        // The first eight digits of the second are 4096 in ten thousand.
        let table = [
            ("00000000-0000-4000-8000-000000000000", "",                    1,      true,  '9'),
            ("00001000-0000-4000-8000-000000000000", "",                    4_096,  false, '4'),
            ("00001000-0000-4000-8000-000000000000", "",                    4_097,  true,  '9'),
            ("00000000-0000-4000-8000-000000000000", "",                    0,      false, '4'),
            ("00000000-0000-9000-8000-000000000000", "",                    0,      true,  '9'),
            ("00000000-0000-a000-8000-000000000000", "",                    0,      true,  'a'),
            ("00000000-0000-b000-8000-000000000000", "",                    0,      true,  'b'),
            ("00000000-0000-1000-8000-000000000000", "",                    0,      false, '4'),
            ("00000000-0000-4000-8000-000000000000", "x-client-trace-id",   0,      true,  'b'),
            ("00000000-0000-4000-8000-000000000000", "x-envoy-force-trace", 0,      true,  'a'),
            ("not a UUID, but as long as one is 36", "",                    10_000, false, 'U'),
        ];
        for (id, header, sampling, want, reason) in table {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            if let Ok(name) = HeaderName::try_from(header) {
                headers.insert(name, HeaderValue::from_static("1"));
            }
            assert_eq!(is_chosen(&mut headers, &tracing(sampling, true), &Draws::new(0)), want, "{id} {header}");
            let known = headers[REQUEST_ID].to_str().unwrap().as_bytes()[REASON_AT];
            if reason != 'U' {
                assert_eq!(char::from(known), reason, "{id} {header}");
            }
        }
        let draws = Draws::new(7);
        let chosen = (0..10_000).filter(|_| is_chosen(&mut HeaderMap::new(), &tracing(2_500, false), &draws)).count();
        assert!((2_300..2_700).contains(&chosen), "{chosen}");
    }
}
