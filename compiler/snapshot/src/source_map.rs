//! Where every object came from: it travels beside a snapshot as debug symbols do.
//!
//! It has a digest of its own and is no part of the snapshot's id: moving a rule to another file changes no meaning.

use crate::format::codec::record;
use crate::{Digest, Text};

record! {
    /// The origins of a snapshot's objects.
    pub struct SourceMap {
        /// The repository, as it was named to the compiler.
        pub repository: Text = 1,
        /// The commit; empty for a tree that is none.
        pub commit: Text = 2,
        /// The version of the compiler.
        pub compiler: Text = 3,
        /// The files, by name.
        pub files: Vec<Text> = 4,
        /// The origins of each object, by digest.
        pub objects: Vec<(Digest, Vec<Origin>)> = 5,
    }
}

record! {
    /// A place that an object, or a part of it, came from.
    pub struct Origin {
        /// Which part: the number of a rule in its table, counted from 1; 0 for the object itself.
        pub part: u32 = 1,
        /// The kind of the resource.
        pub kind: Text = 2,
        /// Its namespace.
        pub namespace: Text = 3,
        /// Its name.
        pub name: Text = 4,
        /// The file, by its number in the list.
        pub file: u32 = 5,
        /// The line, from 1.
        pub line: u32 = 6,
    }
}

impl SourceMap {
    /// The origins of an object.
    #[must_use]
    pub fn origins(&self, digest: Digest) -> &[Origin] {
        match self.objects.binary_search_by(|(name, _)| name.cmp(&digest)) {
            Ok(at) => &self.objects[at].1,
            Err(_) => &[],
        }
    }

    /// `file:line` of an origin.
    #[must_use]
    pub fn place(&self, origin: &Origin) -> String {
        let file = self.files.get(origin.file as usize).map_or("?", Text::as_str);
        format!("{file}:{}", origin.line)
    }
}
