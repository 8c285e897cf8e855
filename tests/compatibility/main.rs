//! Promises that hold for any mesh.

mod determinism;
mod resource_schemas;
mod rules;
mod second_opinion;
mod snapshot_bytes;
mod yaml_readers;
