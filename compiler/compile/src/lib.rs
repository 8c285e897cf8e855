//! The front door of the compiler: source text in, snapshot and problems out.
//!
//! Owns: the pipeline; `lower`, which turns the model into the objects of a snapshot; and `explain`, which asks one.
//! May not: read files, a clock or the environment.
//! Invariant: the result is a pure function of the sources and options. The same tree gives the same bytes.

mod allowed;
mod compile;
mod endpoints;
mod exceptions;
pub mod explain;
mod lower;
mod memo;
mod origins;
mod rules;
mod second_opinion;
mod wide;

pub use allowed::may_be_allowed;
pub use compile::{Compiled, Counts, Options, compile};
pub use memo::Memo;
pub use rules::all as rules;
pub use taut_model::Settings;
pub use taut_resources::{field_table, schema_files};
