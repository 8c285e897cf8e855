//! The same requests through the bundled proxy and through the real Envoy: from resources as users write them to what an
//! application and its caller see. Where the two differ on purpose, the case says why.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]
#![expect(clippy::needless_pass_by_value, reason = "configuration is put together from values")]

mod backend;
mod compare;
mod config;
mod inbound;
mod outbound;
mod sealed;
mod taut;

mod callers;
mod changing;
mod gateway;
mod making;
mod matching;
mod policies;
mod tokens;
mod trying;
