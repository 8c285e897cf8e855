//! The data plane: a sidecar or a gateway that decides every request by one whole snapshot.
//!
//! Owns: connections from below and to above, and everything between the two that takes time: tries, timeouts, limits,
//! health, metrics. What a request means is asked of `taut_snapshot::decide`.
//! May not: know YAML, issue certificates, lock anything that a request waits for.
//! Invariant: a request loads the active world once, and is decided by that one. What it is does not change while a
//! request holds it; connections, health and counts outlive it.
//!
//! To read in the order of the `mod` lines: along the way of a request, then what is behind it.

mod config;
mod error;

pub mod capture;

mod accept;
mod downstream;
mod gather;
mod heading;
mod listen;
mod pace;
mod stream;

mod authorize;
mod consult;
mod decision;
mod exchange;
mod headers;
mod reply;
mod request;
mod shown;
mod token;

mod balance;
mod carry;
mod connect;
mod dns;
mod forward;
mod levels;
mod limits;
mod mirror;
mod outlier;
mod pool;
mod race;
mod ring;
mod tls;
mod tunnel;
mod upstream;

mod drain;
mod endpoints;
mod proxy;
mod resolve;
mod retire;
mod runner;
mod worker;
mod world;

#[cfg(any(test, feature = "any-bytes"))]
pub mod any_bytes;

mod admin;
mod telemetry;
mod trace;

pub use config::{AccessLog, Addresses, Bind, DrainConfig, LogFormat, Patience, ProxyConfig, Refresh, Role};
pub use error::ProxyError;
pub use proxy::{Following, Proxy, run};
pub use runner::Prepared;
