//! Regular expressions, as RE2 writes them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::patterns(bytes));
