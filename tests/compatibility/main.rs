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

/// Says that there was nothing to compare with: whatever a test prints is shown only if it fails, and this one passes.
fn skipped(folder: &str) {
    use std::io::Write as _;
    let said = writeln!(std::io::stderr(), "skipped: there are no outside cases beside the repository ({folder})");
    said.unwrap();
}
