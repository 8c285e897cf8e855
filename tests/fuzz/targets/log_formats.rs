//! Formats and filters of the access log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::log_formats(bytes));
