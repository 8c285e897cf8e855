//! Certificates, and requests for them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::certificates(bytes));
