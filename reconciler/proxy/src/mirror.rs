//! Copies of requests (semantics.md §3.12): sent beside the request, never waited for.
//!
//! Owns: drawing which requests are copied, and sending a copy.
//! May not: change anything of the request itself. A copy that fails is counted in its endpoint's health, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Version};
use http_body_util::BodyExt as _;
use taut_snapshot::decide::drawn;
use tokio::time::timeout;

use crate::downstream::Connection;
use crate::forward::Course;
use crate::forward::upload::Upload;
use crate::headers;
use crate::outlier::Outcome;
use crate::pool::lease;
use crate::upstream::Upstream;
use crate::worker::Worker;
use crate::world::World;

/// How long a copy may take if the rule sets no limit: nobody waits for it, so that nobody else would end it.
const COPY_MAX: Duration = Duration::from_secs(60);

/// One copy of a request.
struct Copy {
    upstream: Arc<Upstream>,
    method: Method,
    headers: HeaderMap,
    path: PathAndQuery,
    host: String,
    body: Upload,
    from_http2: bool,
    limit: Duration,
    /// Where the request belongs.
    hash: Option<u64>,
}

/// Sends the copies that a rule asks for. The request's headers are those that its own endpoint sees.
pub(crate) fn mirror(
    connection: &Connection,
    world: &Arc<World>,
    course: &Course<'_>,
    parts: &Parts,
    body: &mut Upload,
) {
    let worker = &connection.worker;
    for (cluster, share) in &course.forwarding.mirrors {
        if !drawn(*share, worker.draws.draw()) {
            continue;
        }
        let copy = Copy {
            upstream: world.upstream(*cluster).clone(),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            path: course.path.clone(),
            host: course.host.as_str().to_owned(),
            body: body.copy(),
            from_http2: connection.http2,
            hash: course.hash,
            limit: match course.forwarding.timeout_ms {
                0 => COPY_MAX,
                ms => Duration::from_millis(ms),
            },
        };
        let worker = worker.clone();
        // The world is kept until the copy is sent: it owns the introduction.
        let world = world.clone();
        tokio::spawn(async move {
            let limit = copy.limit;
            let _ = timeout(limit, send(&worker, &world, copy)).await;
        });
    }
}

/// Sends a copy once, and reads its answer to the end so that the connection can be used again.
async fn send(worker: &Worker, world: &World, copy: Copy) -> Option<()> {
    let upstream = &copy.upstream;
    let _counted = upstream.usage.requests.admit(upstream.cluster.limits.requests)?;
    let backend = upstream.choose(&worker.draws, &[], copy.hash)?;
    let _active = backend.active.enter();
    let report = |outcome| {
        if upstream.report(&backend, outcome, || worker.shared.began.elapsed()) {
            worker.shared.counters.ejections.add_one();
        }
    };
    let http2 = upstream.speaks_http2().unwrap_or(copy.from_http2);
    let mut headers = copy.headers;
    let uri = if http2 {
        let scheme = if backend.secure || upstream.is_outside() { Scheme::HTTPS } else { Scheme::HTTP };
        headers::write_http2_target(&mut headers, copy.path, &copy.host, scheme)
    } else {
        headers::write_http1_target(&mut headers, copy.path, &copy.host)
    };
    if backend.secure {
        world.introduction.write(&mut headers);
    }
    let mut request = Request::new(copy.body);
    *request.method_mut() = copy.method;
    *request.uri_mut() = uri.ok()?;
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    let Ok(mut lease) = lease(worker, upstream, &backend, http2).await else {
        report(Outcome::Unreachable);
        return None;
    };
    let Ok(mut response) = lease.send(request).await else {
        report(Outcome::Unreachable);
        return None;
    };
    report(Outcome::Answered(response.status().as_u16()));
    while let Some(frame) = response.body_mut().frame().await {
        frame.ok()?;
    }
    lease.give_back();
    Some(())
}
