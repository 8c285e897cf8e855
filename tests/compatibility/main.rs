//! Promises that hold for any mesh.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]

mod any_bytes;
mod bad_input;
mod determinism;
mod edits;
mod gateway_conversion;
mod kind_rules;
mod outside_policies;
mod resource_schemas;
mod rules;
mod second_opinion;
mod snapshot_bytes;
mod yaml_readers;
