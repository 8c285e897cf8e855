//! Spans on their way to collectors.
//!
//! Owns: the queue between requests and the task that sends, batches, and what is dropped.
//! May not: make a request wait. The queue is bounded; what does not fit, and what a collector does not take, is dropped
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
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
use crate::worker::Worker;

/// The most spans that wait to be sent: some 4 MiB.
const WAITING_MAX: usize = 4_096;

/// The most spans of one message.
const BATCH_MAX: usize = 512;

/// How long spans wait for others, so that many go in one message.
const PAUSE: Duration = Duration::from_millis(500);

/// The most that a collector may take for one message (Istio's default).
const SEND_MAX: Duration = Duration::from_secs(5);

/// How long a proxy that stops waits for its last spans.
const LAST_MAX: Duration = Duration::from_secs(1);

/// Spans that wait to be sent.
pub(crate) struct Spans {
    waiting: ArrayQueue<Finished>,
    /// Spans were taken out, and are not sent yet.
    under_way: AtomicBool,
    wake: Notify,
    sent: Notify,
}

impl Default for Spans {
    fn default() -> Self {
        Spans {
            waiting: ArrayQueue::new(WAITING_MAX),
            under_way: AtomicBool::new(false),
            wake: Notify::new(),
            sent: Notify::new(),
        }
    }
}

impl Spans {
    /// Hands a span over; drops it if too many wait.
    pub(crate) fn add(&self, span: Finished, counters: &Counters) {
        if self.waiting.push(span).is_err() {
            counters.span_drops.add_one();
        } else if self.waiting.len() == BATCH_MAX {
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

/// Sends spans for as long as the worker runs that carries it.
pub(crate) async fn send_all(worker: Arc<Worker>) {
    let spans = &worker.shared.spans;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = spans.wake.notified() => {}
        }
        while !spans.waiting.is_empty() {
            spans.under_way.store(true, Ordering::SeqCst);
            let batch: Vec<Finished> = std::iter::from_fn(|| spans.waiting.pop()).take(BATCH_MAX).collect();
            send(&worker, batch).await;
        }
        spans.under_way.store(false, Ordering::SeqCst);
        spans.sent.notify_waiters();
    }
}

/// Sends some spans, each to its own collector.
async fn send(worker: &Worker, batch: Vec<Finished>) {
    let mut of_tracer: Vec<(Arc<Tracer>, Vec<Finished>)> = Vec::new();
    for span in batch {
        let same = |(tracer, _): &&mut (Arc<Tracer>, Vec<Finished>)| Arc::ptr_eq(tracer, &span.tracer);
        match of_tracer.iter_mut().find(same) {
            Some((_, spans)) => spans.push(span),
            None => of_tracer.push((span.tracer.clone(), vec![span])),
        }
    }
    let counters = &worker.shared.counters;
    for (tracer, spans) in of_tracer {
        let taken = timeout(SEND_MAX, send_to(worker, &tracer, &spans)).await.ok().flatten();
        let taken = taken.unwrap_or(0).min(spans.len() as u64);
        counters.spans.add(taken);
        counters.span_drops.add(spans.len() as u64 - taken);
        if taken == 0 {
            tracing::debug!(collector = %tracer.tracing.exporter.name, spans = spans.len(), "spans were not taken");
        }
    }
}

/// How many spans the collector has taken; none if it could not be asked.
async fn send_to(worker: &Worker, tracer: &Tracer, spans: &[Finished]) -> Option<u64> {
    let upstream = &tracer.upstream;
    let speaks = &tracer.tracing.exporter.speaks;
    let grpc = *speaks == Collects::OtlpGrpc;
    let http2 = grpc || upstream.speaks_http2().unwrap_or(false);
    let _counted = upstream.usage.requests.admit(upstream.cluster.limits.requests)?;
    let backend = upstream.choose(&worker.draws, &[], None)?;
    let _active = backend.active.enter();
    let (path, kind, body) = match speaks {
        Collects::Zipkin(zipkin) => (zipkin.path.as_str(), "application/json", zipkin::message(spans)),
        Collects::OtlpGrpc => (otlp::EXPORT, "application/grpc", otlp::framed(&otlp::message(tracer, spans))),
        Collects::OtlpHttp(path) => (path.as_str(), "application/x-protobuf", otlp::message(tracer, spans).into()),
    };
    let secure = backend.secure || upstream.is_outside();
    let request = request(upstream, path, kind, body, http2, if secure { Scheme::HTTPS } else { Scheme::HTTP })?;
    let mut lease = lease(worker, upstream, &backend, http2).await.ok()?;
    let response = lease.send(request).await.ok()?;
    let (response, trailers) = whole(response).await?;
    lease.give_back();
    let all = spans.len() as u64;
    match speaks {
        Collects::OtlpGrpc => {
            let status = trailers.as_ref().and_then(grpc_status).or_else(|| grpc_status(response.headers()));
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

fn request(
    upstream: &crate::upstream::Upstream,
    path: &str,
    kind: &'static str,
    body: Bytes,
    http2: bool,
    scheme: Scheme,
) -> Option<Request<Upload>> {
    let mut all = HeaderMap::new();
    all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind == "application/grpc" {
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
