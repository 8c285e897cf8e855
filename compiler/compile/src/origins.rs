//! Where each object came from, collected while it is lowered.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use taut_resources::Resource;
use taut_snapshot::{Digest, Origin, SourceMap};
use taut_source::{FileId, LineIndex, SourceSet, Span, Text};

use taut_source::threads::{self, Job};

/// The places that objects came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origins {
    /// Sorted; nearly every object has one.
    of: BTreeMap<Digest, Vec<Source>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// The file it is in.
    pub(crate) fn file(&self) -> FileId {
        self.file
    }

    /// Where in it.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    fn into_origin(self, line: u32) -> Origin {
        let Source { part, file, kind, namespace, name, .. } = self;
        Origin { part, kind, namespace, name, file: file.0, line }
    }

    /// Says which part of its object it is of, once that is known.
    pub(crate) fn renumber(&mut self, part: usize) {
        self.part = u32::try_from(part).unwrap_or(u32::MAX);
    }
}

impl Origins {
    pub(crate) fn add(&mut self, digest: Digest, sources: impl IntoIterator<Item = Source>) {
        let mut sources = sources.into_iter().peekable();
        if sources.peek().is_some() {
            add_all(self.of.entry(digest).or_default(), sources);
        }
    }

    /// Every place, with the object that came from it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Digest, &Source)> {
        self.of.iter().flat_map(|(digest, sources)| sources.iter().map(|source| (*digest, source)))
    }

    /// Whether an object is known to come from a place.
    pub(crate) fn contains(&self, digest: Digest, source: &Source) -> bool {
        self.of.get(&digest).is_some_and(|sources| sources.binary_search(source).is_ok())
    }

    /// Gives the places of an object to another one, which takes its place.
    pub(crate) fn hand_on(&mut self, from: Digest, to: Digest) {
        if let Some(sources) = self.of.remove(&from) {
            self.add(to, sources);
        }
    }

    /// Forgets a place of an object.
    pub(crate) fn remove(&mut self, digest: Digest, source: &Source) {
        if let Some(sources) = self.of.get_mut(&digest) {
            sources.retain(|known| known != source);
            if sources.is_empty() {
                self.of.remove(&digest);
            }
        }
    }

    /// The places of one object, as the source map has them; none if nothing is known of it. `line` finds the line of an
    /// offset in a file.
    pub(crate) fn entry(&self, digest: Digest, mut line: impl FnMut(FileId, u32) -> u32) -> Option<Vec<Origin>> {
        let sources = self.of.get(&digest)?;
        Some(sources.iter().map(|source| source.clone().into_origin(line(source.file, source.offset))).collect())
    }

    /// Adds the places that others know.
    pub(crate) fn absorb(&mut self, other: Origins) {
        if self.of.is_empty() {
            self.of = other.of;
            return;
        }
        for (digest, sources) in other.of {
            match self.of.entry(digest) {
                Entry::Vacant(new) => {
                    new.insert(sources);
                }
                Entry::Occupied(mut known) => add_all(known.get_mut(), sources),
            }
        }
    }

    /// The source map, with offsets as lines. Repository and commit are the caller's to fill in. `beside` is done at the
    /// same time.
    pub(crate) fn into_source_map(self, sources: &SourceSet, beside: Job<'_>) -> SourceMap {
        /// How many objects a thread takes at once, where there are more.
        const SHARE: usize = 8192;
        let lines = threads::each(sources.files(), |file| LineIndex::new(&file.bytes));
        let origin = |source: Source| {
            let line = lines[source.file.0 as usize].line(source.offset);
            source.into_origin(line)
        };
        let mut places = self.of.into_iter();
        let mut shares: Vec<Share> = Vec::with_capacity(places.len().div_ceil(SHARE));
        while places.len() != 0 {
            shares.push(Share { places: places.by_ref().take(SHARE).collect(), origins: Vec::new() });
        }
        let mut jobs = vec![beside];
        jobs.extend(shares.iter_mut().map(|share| -> Job<'_> {
            Box::new(|| {
                let places = std::mem::take(&mut share.places).into_iter();
                share.origins =
                    places.map(|(digest, places)| (digest, places.into_iter().map(origin).collect())).collect();
            })
        }));
        threads::all(2 < jobs.len(), jobs);
        let objects = shares.into_iter().flat_map(|share| share.origins).collect();
        let files = sources.files().iter().map(|file| Text::new(&file.name)).collect();
        SourceMap { files, objects, ..empty() }
    }
}

/// A part of what is mapped, before and after.
struct Share {
    places: Vec<(Digest, Vec<Source>)>,
    origins: Vec<(Digest, Vec<Origin>)>,
}

fn add_all(sources: &mut Vec<Source>, more: impl IntoIterator<Item = Source>) {
    if sources.is_empty() {
        sources.reserve_exact(1);
    }
    sources.extend(more);
    if 1 < sources.len() {
        sources.sort_unstable();
        sources.dedup();
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
