//! Whole meshes and what each stage makes of them, reviewed as text.

#![expect(clippy::unwrap_used, reason = "a test that panics has said what is wrong")]

mod cases;
mod cli;
mod snapshots;
