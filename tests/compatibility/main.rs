//! Promises that hold for any mesh.

mod determinism;
mod rules;
mod snapshot_bytes;
mod yaml_readers;
