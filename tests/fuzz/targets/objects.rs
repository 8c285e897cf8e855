//! The objects of a snapshot, its source map, endpoints.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::objects(bytes));
