//! The contract between the compiler and the fleet.
//!
//! Owns: the bytes of a snapshot and what they mean. `object` is what is in one, `format` is how it is written, `view`
//! is the part that one member needs, and `decide` is what happens to a request: the same functions for the proxy,
//! for `taut explain`, for the goldens and for the verifier.
//! May not: know YAML, open a file, read a clock.
//! Invariant: nothing is trusted. Bytes from elsewhere are digest-checked, length-checked and decoded with limits.
//!
//! `schemas/snapshot.md` specifies the format.

pub mod decide;
mod describe;
mod digest;
pub mod endpoint;
pub mod format;
pub mod object;
mod snapshot;
mod source_map;

pub use describe::describe;
pub use digest::{BadDigest, Digest};
pub use endpoint::{Endpoint, EndpointSet, Owner};
pub use snapshot::{BadSnapshot, Objects, Snapshot, base_of, services_of, view_of};
pub use source_map::{Origin, SourceMap};

/// A short string: names, hosts, labels.
pub type Text = smol_str::SmolStr;
