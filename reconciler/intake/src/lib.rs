//! Git, and everything that turns a commit into a tree of files.
//!
//! Owns: repositories, local and mirrored; which commit a branch is at; a commit's files, blob by blob, cached by object
//! id; noticing that a branch moved.
//! May not: know what is in the files. It alone uses git2.

mod follow;
mod mirror;
mod repository;
mod watch;

pub use follow::{Arrival, IntakeConfig, Origin, follow};
pub use mirror::Transport;
pub use repository::{BlobCache, Commit, IntakeError, Repository};
