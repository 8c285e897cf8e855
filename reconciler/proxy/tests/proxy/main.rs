//! The proxy with real sockets: clients, applications and proxies on this machine, each test with its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]

mod client;
mod fixture;
mod server;

mod carrying;
mod gateway;
mod lifecycle;
mod observing;
mod resilience;
mod restarting;
mod routing;
mod security;
