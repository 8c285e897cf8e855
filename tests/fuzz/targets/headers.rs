//! Headers of requests, and keys of tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::headers(bytes));
