//! What the tests of several folders share: where things are, meshes as values, the built binary.

mod binary;
mod block;
mod envoy;
mod generate;
mod mesh;
mod mutate;
mod plain;
mod process;
mod shape;
mod tree;

pub mod fuzz;

pub use binary::{Run, built, taut, taut_with_input};
pub use block::near_yaml;
pub use envoy::{ENVOY_VERSION, Envoy, envoy};
pub use generate::generated_mesh;
pub use mesh::{compile_folder, compile_text, problems_text, sources_of, sources_of_text};
pub use mutate::{Draws, mutant, mutate};
pub use plain::{Message, exchange, exchange_over, page, read_message};
pub use process::{Serving, commit, git, repository, serving};
pub use shape::shaped;
pub use tree::{root, tracked_files};
