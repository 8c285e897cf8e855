//! Compiling again after an edit: what did not change is not read again, and of the mesh only the part that the edit can
//! have to do with is compiled.
//!
//! Owns: what is kept from one time to the next, and the decision whether an edit may be looked at by itself.
//! May not: come to anything else than a fresh compilation would. Where that is not certain everything is compiled.
//!
//! An edit of a few files, which leaves all objects their names, is compiled twice: the part of the mesh around it as it
//! was, and as it is. The part reaches further than any rule or lowering looks. What differs between the two is what
//! the edit does; as long as that is well inside of the part, and nothing that holds for the whole mesh is among it, the
//! result is brought up to date by the difference.
//!
//! Sidecars make layers of all services of a namespace, or of all: these are brought up to date by their hosts (`layers`),
//! without being made anew. Gateways are looked at with all of their routes, unless the edit can have nothing to do with
//! any gateway (`meeting`).

mod around;
mod difference;
mod layers;
mod meeting;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use taut_resources::Resource;
use taut_source::{ContentId, FileId, Problems, SourceSet};

use crate::compile::{Compiled, FileRead, Known, Options, Sources, compile_read, read_files, together};
use crate::exceptions;

use around::Index;

/// Compiles one tree after another.
#[derive(Debug)]
pub struct Memo {
    options: Options,
    before: Option<Before>,
    by_difference: u64,
}

/// What was compiled last.
struct Before {
    sources: SourceSet,
    files: Vec<FileBefore>,
    read: Sources,
    compiled: Compiled,
    /// None if every edit needs everything.
    parts: Option<Parts>,
    /// Whether some file says what somebody lives with.
    with_exceptions: bool,
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// A file that was read.
#[derive(Clone, Copy)]
struct FileBefore {
    documents: usize,
    foreign: usize,
    /// Its resources are these of all.
    from: usize,
    len: usize,
    /// Whether what it holds can be taken over as it is.
    plain: bool,
}

impl FileBefore {
    /// The numbers of its resources among all.
    fn resources(&self) -> Range<usize> {
        self.from..self.from + self.len
    }
}

struct Parts {
    known: Known,
    index: Index,
}

impl Memo {
    /// One that has compiled nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Memo {
        Memo { options, before: None, by_difference: 0 }
    }

    /// Compiles a tree. The result is that of [`crate::compile`].
    pub fn compile(&mut self, sources: &SourceSet) -> &Compiled {
        let mut before = self.before.take();
        let edited = before.as_mut().and_then(|before| before.edit(sources, &self.options));
        self.by_difference += u64::from(edited.is_some());
        let now = match (edited, before) {
            (Some(()), Some(before)) => before,
            (_, before) => everything(before, sources, &self.options),
        };
        &self.before.insert(now).compiled
    }

    /// How often an edit was all that was compiled.
    #[must_use]
    pub fn by_difference(&self) -> u64 {
        self.by_difference
    }
}

/// Compiles everything; only files that are new, or were not as they should be, are read.
fn everything(before: Option<Before>, sources: &SourceSet, options: &Options) -> Before {
    let mut kept = before.map(Kept::new).unwrap_or_default();
    let files: Vec<_> = sources.iter().filter(|(_, file)| !exceptions::is_exceptions(&file.name)).collect();
    let mut taken: Vec<Option<FileRead>> = files.iter().map(|(id, file)| kept.take(&file.name, file.id, *id)).collect();
    let missing: Vec<_> =
        files.iter().zip(&taken).filter(|(_, taken)| taken.is_none()).map(|(file, _)| *file).collect();
    let mut fresh = read_files(&missing, options).into_iter();
    let read: Vec<FileRead> = taken.iter_mut().filter_map(|taken| taken.take().or_else(|| fresh.next())).collect();
    let with_exceptions = files.len() < sources.files().len();
    let mut from = 0;
    let mut places = files.iter().zip(&read).map(|((id, _), file)| {
        let (documents, foreign, len) = (file.documents, file.foreign, file.resources.len());
        from += len;
        (*id, FileBefore { documents, foreign, from: from - len, len, plain: file.is_plain() })
    });
    // Files with exceptions hold nothing, and are never taken over.
    let mut next = places.next();
    let mut of_files = Vec::with_capacity(sources.files().len());
    for (id, _) in sources.iter() {
        match next.take_if(|(known, _)| *known == id) {
            Some((_, file)) => {
                of_files.push(file);
                next = places.next();
            }
            None => of_files.push(FileBefore { documents: 0, foreign: 0, from: 0, len: 0, plain: false }),
        }
    }
    drop(places);
    let mut problems = Problems::default();
    let (mut read, counts) = together(read, &mut problems);
    let resources = read.resources.len();
    let (compiled, known) = compile_read(sources, options, &mut read, counts, problems, true);
    if read.resources.len() != resources {
        of_files.iter_mut().for_each(|file| file.plain = false); // some were left out
    }
    let parts = known.and_then(|known| {
        let index = Index::of(&read.resources, &known.settings)?;
        Some(Parts { known, index })
    });
    Before { sources: sources.clone(), files: of_files, read, compiled, parts, with_exceptions }
}

/// What was read before, by name and content.
#[derive(Default)]
struct Kept {
    files: HashMap<(Arc<str>, ContentId), FileBefore>,
    resources: Vec<Option<Arc<Resource>>>,
}

impl Kept {
    fn new(before: Before) -> Kept {
        let named = before.sources.files().iter().zip(before.files);
        let files = named.filter(|(_, known)| known.plain).map(|(file, known)| ((file.name.clone(), file.id), known));
        Kept { files: files.collect(), resources: before.read.resources.into_iter().map(Some).collect() }
    }

    fn take(&mut self, name: &Arc<str>, content: ContentId, id: FileId) -> Option<FileRead> {
        let known = self.files.remove(&(name.clone(), content))?;
        let resources = self.resources[known.resources()].iter_mut().filter_map(Option::take);
        let resources = resources.map(|mut resource| {
            if resource.file != id {
                Arc::make_mut(&mut resource).file = id;
            }
            resource
        });
        Some(FileRead::plain(known.documents, known.foreign, resources.collect()))
    }
}
