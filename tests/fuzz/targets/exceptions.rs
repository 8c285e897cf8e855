//! The file of exceptions from rules.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::exceptions(bytes));
