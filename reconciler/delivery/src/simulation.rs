//! Fleets in virtual time, for tests: a lossy world, members that live in it, and small meshes for them to run.
//!
//! Owns: what a network, a disk and a clock do to the state machines. May not: be part of a program (it is behind a
//! feature that tests alone turn on).

mod lossy;
mod member;
mod sample;

#[cfg(test)]
mod tests;

pub use lossy::{Link, World};
pub use member::{Event, SimulatedMember, Want};
pub use sample::{endpoint, mesh};
