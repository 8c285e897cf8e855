//! What is fuzzed: a function of bytes for each parser and decoder, which panics where a promise does not hold.
//!
//! Owns: what must be true of any bytes. `cargo test` drives these by seed (`tests/compatibility`), libFuzzer by
//! coverage (`tests/fuzz`).
//! May not: be used by product code.

mod yaml;

pub use yaml::yaml_readers;
