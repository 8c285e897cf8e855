//! Spans and entries of access logs on their way to collectors.
//!
//! Owns: the queue between requests and the task that sends, batches, and what is dropped.
//! May not: make a request wait. The queue is bounded; what does not fit, and what a collector does not take, is dropped
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_queue::SegQueue;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use taut_snapshot::object::Collects;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Finished, Tracer, otlp, zipkin};
use crate::consult::{of_proxy, whole};
use crate::exchange::grpc_status;
use crate::forward::upload::Upload;
use crate::headers;
use crate::pool::lease;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Entry;
use crate::telemetry::told::Sink;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// The most of them that wait to be sent, give or take one for each worker: some 4 MiB.
const WAITING_MAX: usize = 4_096;

/// The most of one message.
const BATCH_MAX: usize = 512;

/// How long they wait for others, so that many go in one message.
const PAUSE: Duration = Duration::from_millis(500);

/// The most that a collector may take for one message (Istio's default).
const SEND_MAX: Duration = Duration::from_secs(5);

/// How long a proxy that stops waits for its last ones.
const LAST_MAX: Duration = Duration::from_secs(1);

/// What a message of gRPC is called.
const GRPC: &str = "application/grpc";

/// What collectors are told of one request or connection.
pub(crate) enum Report {
    Span(Finished),
    Log(Arc<Sink>, Arc<Entry>),
}

/// What waits to be sent. It takes memory for what waits, and not for what might.
pub(crate) struct Reports {
    waiting: SegQueue<Report>,
    /// Some were taken out, and are not sent yet.
    under_way: AtomicBool,
    wake: Notify,
    sent: Notify,
}

impl Default for Reports {
    fn default() -> Self {
        Reports {
            waiting: SegQueue::new(),
            under_way: AtomicBool::new(false),
            wake: Notify::new(),
            sent: Notify::new(),
        }
    }
}

impl Reports {
    /// Hands one over; drops it if too many wait.
    pub(crate) fn add(&self, report: Report, counters: &Counters) {
        let waiting = self.waiting.len();
        if WAITING_MAX <= waiting {
            return match report {
                Report::Span(_) => counters.span_drops.add_one(),
                Report::Log(..) => counters.logs_told_drops.add_one(),
            };
        }
        self.waiting.push(report);
        if waiting + 1 == BATCH_MAX {
            self.wake.notify_one();
        }
    }

    /// Waits until all that was handed over is sent or dropped, but not for long.
    pub(crate) async fn flush(&self) {
        let all = async {
            loop {
                let mut sent = std::pin::pin!(self.sent.notified());
                sent.as_mut().enable();
                if self.waiting.is_empty() && !self.under_way.load(Ordering::SeqCst) {
                    return;
                }
                self.wake.notify_one();
                sent.await;
            }
        };
        let _ = timeout(LAST_MAX, all).await;
    }
}

/// Sends reports for as long as the worker runs that carries it.
pub(crate) async fn send_all(worker: Arc<Worker>) {
    let reports = &worker.shared.reports;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = reports.wake.notified() => {}
        }
        while !reports.waiting.is_empty() {
            reports.under_way.store(true, Ordering::SeqCst);
            let batch: Vec<Report> = std::iter::from_fn(|| reports.waiting.pop()).take(BATCH_MAX).collect();
            send(&worker, batch).await;
        }
        reports.under_way.store(false, Ordering::SeqCst);
        reports.sent.notify_waiters();
    }
}

/// Those of each that they are for.
fn put<T, R>(all: &mut Vec<(Arc<T>, Vec<R>)>, to: Arc<T>, report: R) {
    match all.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &to)) {
        Some((_, reports)) => reports.push(report),
        None => all.push((to, vec![report])),
    }
}

/// Sends some reports, each to its own collector.
async fn send(worker: &Worker, batch: Vec<Report>) {
    let (mut spans, mut entries) = (Vec::new(), Vec::new());
    for report in batch {
        match report {
            Report::Span(span) => put(&mut spans, span.tracer.clone(), span),
            Report::Log(sink, entry) => put(&mut entries, sink, entry),
        }
    }
    let counters = &worker.shared.counters;
    for (tracer, spans) in spans {
        let sending = send_spans(worker, &tracer, &spans);
        let (taken, lost) = taken_of(spans.len(), &tracer.tracing.exporter.name, sending).await;
        counters.spans.add(taken);
        counters.span_drops.add(lost);
    }
    for (sink, entries) in entries {
        let sending = send_entries(worker, &sink, &entries);
        let (taken, lost) = taken_of(entries.len(), &sink.service.name, sending).await;
        counters.logs_told.add(taken);
        counters.logs_told_drops.add(lost);
    }
}

/// How many of so many were taken in time, and how many were not.
async fn taken_of(all: usize, to: &str, sending: impl Future<Output = Option<u64>>) -> (u64, u64) {
    let all = all as u64;
    let taken = timeout(SEND_MAX, sending).await.ok().flatten().unwrap_or(0).min(all);
    if taken == 0 {
        tracing::debug!(collector = to, all, "what it was told was not taken");
    }
    (taken, all - taken)
}

/// How many spans the collector has taken; none if it could not be asked.
async fn send_spans(worker: &Worker, tracer: &Tracer, spans: &[Finished]) -> Option<u64> {
    let speaks = &tracer.tracing.exporter.speaks;
    let (path, kind, body) = match speaks {
        Collects::Zipkin(zipkin) => (zipkin.path.as_str(), "application/json", zipkin::message(spans)),
        Collects::OtlpGrpc => (otlp::EXPORT, GRPC, otlp::framed(&otlp::message(tracer, spans))),
        Collects::OtlpHttp(path) => (path.as_str(), "application/x-protobuf", otlp::message(tracer, spans).into()),
    };
    let (response, status) = post(worker, &tracer.upstream, (path, kind), body).await?;
    let all = spans.len() as u64;
    match speaks {
        Collects::OtlpGrpc => {
            let refused = otlp::refused(response.body().get(5..).unwrap_or_default());
            (status == Some(0)).then(|| all.saturating_sub(refused))
        }
        Collects::OtlpHttp(_) if response.status().is_success() => {
            Some(all.saturating_sub(otlp::refused(response.body())))
        }
        Collects::Zipkin(_) if response.status().is_success() => Some(all),
        Collects::OtlpHttp(_) | Collects::Zipkin(_) => None,
    }
}

/// How many entries the service has taken; none if it could not be told.
async fn send_entries(worker: &Worker, sink: &Sink, entries: &[Arc<Entry>]) -> Option<u64> {
    let body = otlp::framed(&sink.message(entries));
    let (response, status) = post(worker, &sink.upstream, (sink.method(), GRPC), body).await?;
    let answer = response.body().get(5..).unwrap_or_default();
    (status == Some(0)).then(|| sink.taken(answer, entries.len() as u64))
}

/// Sends a message, and reads the answer with its status of gRPC, if it has one.
async fn post(
    worker: &Worker,
    upstream: &Upstream,
    (path, kind): (&str, &'static str),
    body: Bytes,
) -> Option<(Response<Bytes>, Option<u8>)> {
    let http2 = kind == GRPC || upstream.speaks_http2().unwrap_or(false);
    let _counted = upstream.usage.requests.admit(upstream.cluster.limits.requests)?;
    let backend = upstream.choose(&worker.draws, &[], None)?;
    let _active = backend.active.enter();
    let secure = backend.secure || upstream.is_outside();
    let request = request(upstream, path, kind, body, http2, if secure { Scheme::HTTPS } else { Scheme::HTTP })?;
    let mut lease = lease(worker, upstream, &backend, http2).await.ok()?;
    let response = lease.send(request).await.ok()?;
    let (response, trailers) = whole(response).await?;
    lease.give_back();
    let status = trailers.as_ref().and_then(grpc_status).or_else(|| grpc_status(response.headers()));
    Some((response, status))
}

fn request(
    upstream: &Upstream,
    path: &str,
    kind: &'static str,
    body: Bytes,
    http2: bool,
    scheme: Scheme,
) -> Option<Request<Upload>> {
    let mut all = HeaderMap::new();
    all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind == GRPC {
        all.insert(TE, HeaderValue::from_static("trailers"));
    }
    let authority = format!("{}:{}", upstream.cluster.host, upstream.cluster.port);
    let path = PathAndQuery::try_from(path).ok()?;
    let uri = if http2 {
        headers::write_http2_target(&mut all, path, &authority, scheme)
    } else {
        headers::write_http1_target(&mut all, path, &authority)
    };
    let mut request = of_proxy(Method::POST, uri.ok()?, all, Upload::Whole(Some(body)));
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Some(request)
}
