//! Files as values: the first stage of the compiler.
//!
//! Owns: the set of input files, positions in them, the YAML documents they hold, and the problems that any later
//! stage finds in them.
//! May not: know what a document is about (that is `resources`), or read a file (the caller brings the bytes).

mod problem;
mod set;
mod span;
pub mod threads;
mod tree;
mod yaml;

pub use problem::{Problem, Problems, Related, Rule, Severity, Stage, Subject, TypeMeta};
pub use set::{ContentId, LineIndex, Position, SourceFile, SourceSet};
pub use span::{FileId, Place, Span};
pub use tree::{Data, Node, Tree, TreeBuilder};
pub use yaml::{Document, NODES_MAX, YamlReader, read_documents, read_embedded, rules as yaml_rules, same};

/// A short string as it stands in a resource: names, hosts, labels.
pub type Text = smol_str::SmolStr;
