//! What is fuzzed: a function of bytes for each parser and decoder, which panics where a promise does not hold.
//!
//! Owns: what must be true of any bytes. `cargo test` drives these by seed (`tests/compatibility`), libFuzzer by
//! coverage (`tests/fuzz`).
//! May not: be used by product code.

mod explain;
mod mesh;
mod names;
mod pattern;
mod received;
mod snapshot;
mod yaml;

pub use explain::requests;
pub use mesh::{exceptions, kinds, mesh};
pub use names::names;
pub use pattern::{grammars, patterns};
pub use received::{answers, beginnings, certificates, frames, headers, log_formats};
pub use snapshot::{objects, snapshot_file};
pub use yaml::yaml_readers;

/// A target: what `cargo fuzz list` calls it, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("yaml_readers", yaml_readers),
    ("mesh", mesh),
    ("kinds", kinds),
    ("exceptions", exceptions),
    ("requests", requests),
    ("patterns", patterns),
    ("grammars", grammars),
    ("snapshot_file", snapshot_file),
    ("objects", objects),
    ("names", names),
    ("beginnings", beginnings),
    ("headers", headers),
    ("answers", answers),
    ("frames", frames),
    ("certificates", certificates),
    ("log_formats", log_formats),
];
