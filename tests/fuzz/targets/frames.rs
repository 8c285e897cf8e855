//! Messages of delivery, and what is kept of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fuzz::frames(bytes));
