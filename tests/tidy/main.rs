//! Habits that are checks: who may use whom, where things may be, what every file has.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]

mod arrows;
mod fences;
mod files;
mod maps;
