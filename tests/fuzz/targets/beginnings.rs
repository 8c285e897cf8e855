//! The first bytes of connections.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::beginnings(bytes));
