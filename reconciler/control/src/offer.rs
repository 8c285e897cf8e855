//! What git offers: a commit, and what became of it when it was compiled.

use taut_snapshot::{EndpointSet, Snapshot, SourceMap};

use crate::desired::Commit;

/// A commit of the branch that is followed. Offering one twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The commit.
    pub commit: Commit,
    /// What came of it.
    pub compiled: Result<Compiled, Broken>,
}

/// A commit that compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Its snapshot.
    pub snapshot: Snapshot,
    /// The endpoints that it declares.
    pub endpoints: EndpointSet,
    /// Where the snapshot's objects came from. It names the repository.
    pub source_map: SourceMap,
}

/// A commit that does not compile: nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// How many problems stand in the way.
    pub count: usize,
    /// The first of them, one line each: `file:line:column: code: message`.
    pub lines: Vec<String>,
}
