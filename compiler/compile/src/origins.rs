//! Where each object came from, collected while it is lowered.

use std::collections::{BTreeMap, BTreeSet};

use taut_resources::Resource;
use taut_snapshot::{Digest, Origin, SourceMap};
use taut_source::{FileId, LineIndex, SourceSet, Span, Text};

use crate::threads;

/// The places that objects came from.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    of: BTreeMap<Digest, BTreeSet<Source>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The part of the object: the number of a rule, from 1; 0 for all of it.
    part: u32,
    file: FileId,
    offset: u32,
    kind: Text,
    namespace: Text,
    name: Text,
}

impl Source {
    pub(crate) fn new(part: usize, resource: &Resource, span: Span) -> Source {
        Source {
            part: u32::try_from(part).unwrap_or(u32::MAX),
            file: resource.file,
            offset: span.start,
            kind: resource.subject.kind.clone(),
            namespace: resource.subject.namespace.clone().unwrap_or_default(),
            name: resource.subject.name.clone(),
        }
    }

    /// Says which part of its object it is of, once that is known.
    pub(crate) fn renumber(&mut self, part: usize) {
        self.part = u32::try_from(part).unwrap_or(u32::MAX);
    }
}

impl Origins {
    pub(crate) fn add(&mut self, digest: Digest, sources: impl IntoIterator<Item = Source>) {
        self.of.entry(digest).or_default().extend(sources);
    }

    /// Adds the places that others know.
    pub(crate) fn absorb(&mut self, other: Origins) {
        if self.of.is_empty() {
            self.of = other.of;
            return;
        }
        for (digest, sources) in other.of {
            self.of.entry(digest).or_default().extend(sources);
        }
    }

    /// The source map, with offsets as lines. Repository and commit are the caller's to fill in.
    pub(crate) fn source_map(&self, sources: &SourceSet) -> SourceMap {
        let lines = threads::each(sources.files(), |file| LineIndex::new(&file.bytes));
        let all: Vec<_> = self.of.iter().collect();
        let objects = threads::each(&all, |(digest, places)| {
            let origin = |source: &Source| Origin {
                part: source.part,
                kind: source.kind.clone(),
                namespace: source.namespace.clone(),
                name: source.name.clone(),
                file: source.file.0,
                line: lines[source.file.0 as usize].line(source.offset),
            };
            (**digest, places.iter().map(origin).collect())
        });
        let files = sources.files().iter().map(|file| Text::new(&file.name)).collect();
        SourceMap { files, objects, ..empty() }
    }
}

/// A source map of nothing, by this compiler.
pub(crate) fn empty() -> SourceMap {
    SourceMap {
        repository: Text::default(),
        commit: Text::default(),
        compiler: concat!("taut ", env!("CARGO_PKG_VERSION")).into(),
        files: Vec::new(),
        objects: Vec::new(),
    }
}
