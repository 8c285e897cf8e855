//! What is told of requests: `record` is what happened to one, `metrics` counts it under Istio's labels, `log` writes
//! it down; `told` has what services are told of it, and `trace` beside this folder
//! sends that, and spans. `names` gives every label a number once, so that no request formats one; `peer` says who is at the other end.

pub(crate) mod counters;
pub(crate) mod files;
mod filter;
pub(crate) mod format;
mod json;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod names;
pub(crate) mod peer;
pub(crate) mod record;
pub(crate) mod said;
pub(crate) mod told;
