//! The proxy with real sockets: clients, applications and proxies on this machine, each test with its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]

mod client;
mod fixture;
mod making;
mod mesh;
mod peers;
mod server;

mod abuse;
mod capturing;
mod carrying;
mod connections;
mod consulting;
mod copying;
mod edge;
mod edge_routes;
mod faults;
mod framing;
mod gateway;
mod hashing;
mod lifecycle;
mod logging;
mod naming;
mod nearness;
mod observing;
mod otlp;
mod outside;
mod pooling;
mod resilience;
mod restarting;
mod retrying;
mod routing;
mod security;
mod sharing;
mod telling;
mod tokens;
mod tracing;
mod watching;
mod zipkin;
