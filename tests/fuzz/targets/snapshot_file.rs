//! Snapshots as files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::snapshot_file(bytes));
