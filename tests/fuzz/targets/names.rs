//! Identities, tokens and certificates.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::names(bytes));
