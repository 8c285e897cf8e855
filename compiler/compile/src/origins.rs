//! Where each object came from, collected while it is lowered.

use std::collections::BTreeSet;
use std::sync::Arc;

use taut_resources::Resource;
use taut_snapshot::{Digest, Origin, SourceMap};
use taut_source::{FileId, LineIndex, SourceSet, Span, Subject, Text};

use taut_source::threads::{self, Job};

/// The places that objects came from, as they are found. Most are found once: sorting all of them in the end takes less
/// than keeping them sorted.
#[derive(Debug, Default)]
pub(crate) struct Found {
    of: Vec<(Digest, Source)>,
    /// How many were left when they were last sorted.
    settled: usize,
}

/// The places that objects came from: sorted, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places(Vec<(Digest, Source)>);

/// The same, kept up to date with edits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origins {
    of: BTreeSet<(Digest, Source)>,
}

/// A place, without the names of its resource: there are thousands of them, and the resources know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source {
    /// The part of the object: the number of a rule, from 1; 0 for all of it.
    part: u32,
    file: FileId,
    offset: u32,
    /// Where in the file its resource begins.
    resource: u32,
}

impl Source {
    const FIRST: Source = Source { part: 0, file: FileId(0), offset: 0, resource: 0 };
    const LAST: Source = Source { part: u32::MAX, file: FileId(u32::MAX), offset: u32::MAX, resource: u32::MAX };

    pub(crate) fn new(part: usize, resource: &Resource, span: Span) -> Source {
        Source {
            part: u32::try_from(part).unwrap_or(u32::MAX),
            file: resource.file,
            offset: span.start,
            resource: resource.span.start,
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

    fn origin(self, subject: &Subject, line: u32) -> Origin {
        Origin {
            part: self.part,
            kind: subject.kind().clone(),
            namespace: subject.namespace.clone().unwrap_or_default(),
            name: subject.name.clone(),
            file: self.file.0,
            line,
        }
    }

    /// The number of its resource, among those of its file that begin here.
    fn among(self, begins: &[u32]) -> usize {
        // Items that are aliases do not stand in the order in which they are written.
        let found = begins.binary_search(&self.resource).ok();
        let found = found.or_else(|| begins.iter().position(|begins| *begins == self.resource));
        found.expect("a place is made of a resource, and all of these are kept")
    }

    /// Says which part of its object it is of, once that is known.
    pub(crate) fn renumber(&mut self, part: usize) {
        self.part = u32::try_from(part).unwrap_or(u32::MAX);
    }
}

impl Found {
    pub(crate) fn add(&mut self, digest: Digest, sources: impl IntoIterator<Item = Source>) {
        self.of.extend(sources.into_iter().map(|source| (digest, source)));
        self.bound();
    }

    /// Adds the places that others have found.
    pub(crate) fn absorb(&mut self, other: Found) {
        if self.of.is_empty() {
            *self = other;
        } else {
            self.of.extend(other.of);
            self.bound();
        }
    }

    /// All of them, each once.
    pub(crate) fn once(&mut self) -> impl Iterator<Item = (Digest, Source)> {
        self.settle();
        self.of.iter().copied()
    }

    /// All of them.
    pub(crate) fn places(mut self) -> Places {
        self.settle();
        Places(self.of)
    }

    /// What many objects have in common is found often: it must not take more memory each time.
    fn bound(&mut self) {
        const FEW: usize = 4096;
        if 2 * self.settled.max(FEW) < self.of.len() {
            self.settle();
        }
    }

    /// Sorts them, and keeps each once.
    pub(crate) fn settle(&mut self) {
        if self.settled == self.of.len() {
            return; // nothing has come since
        }
        self.of.sort_unstable();
        self.of.dedup();
        self.settled = self.of.len();
    }
}

impl Places {
    /// Every place, with the object that came from it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Digest, Source)> {
        self.0.iter().copied()
    }

    /// Whether an object is known to come from a place.
    pub(crate) fn contains(&self, digest: Digest, source: Source) -> bool {
        self.0.binary_search(&(digest, source)).is_ok()
    }

    /// The source map, with offsets as lines and the names of their resources. Repository and commit are the caller's to
    /// fill in. `beside` is done at the same time.
    pub(crate) fn into_source_map(
        self,
        sources: &SourceSet,
        resources: &[Arc<Resource>],
        beside: Job<'_>,
    ) -> SourceMap {
        /// How many objects a thread takes at once, where there are more.
        const SHARE: usize = 8192;
        let lines = threads::each(sources.files(), |file| LineIndex::new(&file.bytes));
        // Looked up by numbers that lie side by side: resources lie all over the memory.
        let mut of_files = vec![0..0; sources.files().len()];
        let mut begins = Vec::with_capacity(resources.len());
        for of_file in resources.chunk_by(|one, next| one.file == next.file) {
            of_files[of_file[0].file.0 as usize] = begins.len()..begins.len() + of_file.len();
            begins.extend(of_file.iter().map(|resource| resource.span.start));
        }
        let origin = |source: Source| {
            let file = source.file.0 as usize;
            let here = of_files[file].clone();
            let resource = &resources[here.start + source.among(&begins[here])];
            source.origin(&resource.subject, lines[file].line(source.offset))
        };
        let by_object = |places: &[(Digest, Source)]| -> Vec<(Digest, Vec<Origin>)> {
            let objects = places.chunk_by(|(one, _), (next, _)| one == next);
            objects.map(|of| (of[0].0, of.iter().map(|(_, source)| origin(*source)).collect())).collect()
        };
        let objects = if self.0.len() <= SHARE {
            beside();
            by_object(&self.0)
        } else {
            let mut shares = Vec::with_capacity(self.0.len().div_ceil(SHARE));
            let mut rest = self.0.as_slice();
            while !rest.is_empty() {
                // All places of an object are in one share.
                let (last, _) = rest[SHARE.min(rest.len()) - 1];
                let (share, after) = rest.split_at(rest.partition_point(|(digest, _)| *digest <= last));
                shares.push((share, Vec::new()));
                rest = after;
            }
            let mut jobs = vec![beside];
            jobs.extend(
                shares.iter_mut().map(|(share, objects)| -> Job<'_> { Box::new(|| *objects = by_object(share)) }),
            );
            threads::all(true, jobs);
            shares.into_iter().flat_map(|(_, objects)| objects).collect()
        };
        let files = sources.files().iter().map(|file| Text::new(&file.name)).collect();
        SourceMap { files, objects, ..empty() }
    }
}

impl Origins {
    pub(crate) fn of(places: &Places) -> Origins {
        Origins { of: places.iter().collect() }
    }

    /// Adds a place of an object.
    pub(crate) fn add(&mut self, digest: Digest, source: Source) {
        self.of.insert((digest, source));
    }

    /// Whether an object is known to come from a place.
    pub(crate) fn contains(&self, digest: Digest, source: Source) -> bool {
        self.of.contains(&(digest, source))
    }

    /// Gives the places of an object to another one, which takes its place.
    pub(crate) fn hand_on(&mut self, from: Digest, to: Digest) {
        let places: Vec<Source> = self.places(from).collect();
        for source in places {
            self.remove(from, source);
            self.of.insert((to, source));
        }
    }

    /// Forgets a place of an object.
    pub(crate) fn remove(&mut self, digest: Digest, source: Source) {
        self.of.remove(&(digest, source));
    }

    /// The places of one object.
    fn places(&self, digest: Digest) -> impl Iterator<Item = Source> {
        let all = (digest, Source::FIRST)..=(digest, Source::LAST);
        self.of.range(all).map(|(_, source)| *source)
    }

    /// The places of one object, as the source map has them; none if nothing is known of it. `of_file` has the resources
    /// of a file, and `line` finds the line of an offset in it.
    pub(crate) fn entry<'r>(
        &self,
        digest: Digest,
        of_file: impl Fn(FileId) -> &'r [Arc<Resource>],
        mut line: impl FnMut(FileId, u32) -> u32,
    ) -> Option<Vec<Origin>> {
        let origin = |source: Source| {
            let here = of_file(source.file);
            let begins: Vec<u32> = here.iter().map(|resource| resource.span.start).collect();
            source.origin(&here[source.among(&begins)].subject, line(source.file, source.offset))
        };
        Some(self.places(digest).map(origin).collect::<Vec<_>>()).filter(|places| !places.is_empty())
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
