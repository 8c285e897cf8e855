//! The admin pages, on an address of this machine alone.
//!
//! Owns: `/ready` (also as `/healthz/ready`, as Istio's proxies have it), `/healthz`, `/metrics`, `/config`, `/endpoints`,
//! `/certs` and `POST /drain`.
//! May not: change anything but by asking the proxy to stop; show a private key.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use taut_snapshot::decide::{Destination, Router, ToDo};
use taut_snapshot::object::{Balancer, ClusterTls, MtlsMode, Protocol};
use tokio::net::TcpListener;

use crate::drain::Stage;
use crate::listen::ACCEPT_PAUSE;
use crate::proxy::Proxy;
use crate::telemetry::metrics::{MetricRules, escaped, head, line, render};
use crate::upstream::{Standing, Upstream};
use crate::world::World;

/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// Listens.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the pages for as long as the proxy is there.
pub(crate) async fn serve(proxy: Weak<Proxy>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin pages cannot be served"),
    };
    loop {
        let accepted = listener.accept().await;
        if proxy.strong_count() == 0 {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Without descriptors nobody can be served now; a moment later somebody can.
                tracing::debug!(%error, "a connection to the admin pages could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let proxy = proxy.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let page = match proxy.upgrade() {
                Some(proxy) => page(&proxy, request.method(), request.uri().path()),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the proxy has ended\n".to_owned()),
            };
            async move { Ok::<_, Infallible>(page) }
        });
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
            // Whoever goes away in the middle has only itself to tell.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn page(proxy: &Proxy, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let world = proxy.shared.world.load_full();
    let active = |page: fn(&World) -> Value| match world.as_deref() {
        Some(world) => json(&page(world)),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no snapshot is active yet\n".to_owned()),
    };
    match (method, path) {
        (&Method::POST, "/drain") => {
            proxy.ask_to_stop();
            text(StatusCode::OK, "draining\n".to_owned())
        }
        (_, "/drain") => text(StatusCode::METHOD_NOT_ALLOWED, "POST to drain\n".to_owned()),
        (_, "/healthz") => text(StatusCode::OK, "alive\n".to_owned()),
        (_, "/ready" | "/healthz/ready") => match (proxy.shared.drains.stage(), &world) {
            (Stage::Serving, Some(_)) => text(StatusCode::OK, "ready\n".to_owned()),
            (Stage::Serving, None) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready: no snapshot is active yet\n".to_owned())
            }
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n".to_owned()),
        },
        (_, "/metrics" | "/stats/prometheus") => text(StatusCode::OK, metrics(proxy, world.as_deref())),
        (_, "/config") => active(config),
        (_, "/endpoints") => active(endpoints),
        (_, "/certs") => json(&certificates(proxy, world.as_deref())),
        _ => {
            let pages = "/ready /healthz /healthz/ready /metrics /config /endpoints /certs, and POST /drain\n";
            text(StatusCode::NOT_FOUND, format!("there is no such page; there are {pages}"))
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn metrics(proxy: &Proxy, world: Option<&World>) -> String {
    let shared = &proxy.shared;
    let rules = MetricRules(world.and_then(|world| world.tables.telemetry.as_ref()));
    let mut out = render(proxy.workers.all.iter().map(|worker| &worker.series), &shared.labels, rules);
    for (name, help, value) in shared.counters.all() {
        let _ = writeln!(out, "# HELP {name} {help}");
        head(&mut out, name, "counter");
        line(&mut out, name, "", "", value);
    }
    head(&mut out, "taut_connections_open", "gauge");
    line(&mut out, "taut_connections_open", "", "", shared.connections.value());
    if let Some(world) = world {
        head(&mut out, "taut_snapshot_info", "gauge");
        line(&mut out, "taut_snapshot_info", "", &format!("snapshot=\"{}\"", world.snapshot), 1);
        head(&mut out, "taut_generation", "gauge");
        line(&mut out, "taut_generation", "", "", world.generation);
        upstream_metrics(&mut out, world);
    }
    out
}

fn upstream_metrics(out: &mut String, world: &World) {
    type Read = fn(&Upstream) -> u32;
    let gauges: [(&str, Read); 3] = [
        ("taut_upstream_connections_open", |upstream| upstream.usage.connections.value()),
        ("taut_upstream_requests_active", |upstream| upstream.usage.requests.value()),
        ("taut_upstream_endpoints_ejected", |upstream| {
            upstream.standings().iter().filter(|standing| standing.ejected).count() as u32
        }),
    ];
    for (name, read) in gauges {
        head(out, name, "gauge");
        for upstream in &world.upstreams {
            line(out, name, "", &format!("cluster=\"{}\"", escaped(&upstream.name)), read(upstream));
        }
    }
}

fn config(world: &World) -> Value {
    let tables = &world.tables;
    let services: Vec<Value> = tables
        .services
        .iter()
        .flat_map(|entry| entry.service.ports.iter().map(move |port| (&entry.service, port.number)))
        .filter_map(|(service, port)| tables.outbound(port, &service.host))
        .map(|host| {
            json!({
                "virtual_host": host.name(),
                "routes": host.router.map(|(router, table)| routes(world, router, &table.to_string())),
                "cluster": host.cluster.map(|cluster| world.upstream(cluster).name.to_string()),
            })
        })
        .collect();
    let inbound: Vec<Value> = world
        .inbound
        .iter()
        .map(|(port, inbound)| {
            json!({"port": port, "mtls": mode(world.mtls(*port)), "protocol": protocol(&inbound.upstream.cluster.protocol)})
        })
        .collect();
    let listeners: Vec<Value> = tables
        .listeners
        .iter()
        .map(|listener| {
            let hosts = listener.servers.iter().flat_map(|server| &server.entries).map(|host| {
                let routes = tables.gateway_router(host);
                json!({
                    "host": host.host.as_str(),
                    "https_only": host.https_only,
                    "routes": routes.map(|(router, table)| self::routes(world, router, &table.to_string())),
                })
            });
            json!({"port": listener.port, "hosts": hosts.collect::<Vec<_>>()})
        })
        .collect();
    json!({
        "snapshot": world.snapshot.to_string(),
        "generation": world.generation,
        "workload": format!("{}/{}", tables.view.namespace, tables.view.name),
        "clusters": world.upstreams.iter().map(|upstream| cluster(upstream)).collect::<Vec<_>>(),
        "services": services,
        "inbound": inbound,
        "listeners": listeners,
    })
}

fn routes(world: &World, router: &Router, table: &str) -> Value {
    let destination = |destination: &Destination| match &destination.cluster {
        Ok(cluster) => json!({"cluster": &*world.upstream(*cluster).name, "weight": destination.weight}),
        Err(missing) => json!({"missing": missing.as_str(), "weight": destination.weight}),
    };
    let rule = |(index, todo): (usize, &ToDo)| match todo {
        ToDo::Forward(forwarding) => {
            json!({"rule": index + 1, "to": forwarding.destinations.iter().map(destination).collect::<Vec<_>>()})
        }
        ToDo::Redirect(redirect) => json!({"rule": index + 1, "redirect": redirect.status}),
        ToDo::Respond(response) => json!({"rule": index + 1, "respond": response.status}),
    };
    json!({"table": table, "rules": router.todos().enumerate().map(rule).collect::<Vec<_>>()})
}

fn cluster(upstream: &Upstream) -> Value {
    let cluster = &upstream.cluster;
    json!({
        "name": &*upstream.name,
        "protocol": protocol(&cluster.protocol),
        "balancer": match &cluster.balancer {
            Balancer::LeastRequest => "least_request",
            Balancer::RoundRobin => "round_robin",
            Balancer::Random => "random",
            Balancer::Hash(_) => "hash",
        },
        "tls": match cluster.tls {
            ClusterTls::Plain => "plaintext",
            ClusterTls::Auto(_) => "auto",
            ClusterTls::Mutual(_) => "mtls",
            ClusterTls::Outside(_) => "tls",
        },
    })
}

fn mode(mode: &MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Disable => "disable",
        MtlsMode::Permissive => "permissive",
        MtlsMode::Strict => "strict",
    }
}

fn protocol(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::Auto => "auto",
        Protocol::Http => "http",
        Protocol::Http2 => "http2",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
    }
}

fn endpoints(world: &World) -> Value {
    let standing = |standing: &Standing| {
        json!({
            "address": standing.address.to_string(),
            "mtls": standing.secure,
            "weight": standing.weight.max(1),
            "draining": standing.draining,
            "ejected": standing.ejected,
            "requests": standing.active,
            "connections": standing.connections,
        })
    };
    let clusters = world.upstreams.iter().map(|upstream| {
        let endpoints: Vec<Value> = upstream.standings().iter().map(standing).collect();
        json!({"cluster": &*upstream.name, "endpoints": endpoints})
    });
    Value::Array(clusters.collect())
}

fn certificates(proxy: &Proxy, world: Option<&World>) -> Value {
    let credentials = proxy.shared.identity.current();
    let seconds = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let secrets = world.into_iter().flat_map(|world| &world.tables.listeners).flat_map(|listener| &listener.servers);
    let secrets: Vec<&str> = secrets.flat_map(|server| &server.certificates).map(|it| it.name.as_str()).collect();
    json!({
        "identity": credentials.id().to_string(),
        "serial": credentials.serial(),
        "not_before_unix_seconds": seconds(credentials.not_before()),
        "not_after_unix_seconds": seconds(credentials.not_after()),
        "gateway_secrets": secrets,
    })
}
