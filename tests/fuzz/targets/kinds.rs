//! Every kind, by the text below its name.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::kinds(bytes));
