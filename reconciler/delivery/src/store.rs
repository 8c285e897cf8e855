//! What a member keeps on disk, and boots from with nobody to ask.
//!
//! ```text
//! active              which part to boot: snapshot, generation, digest of the part's contents (text, fixed length)
//! previous            the one before it
//! next                the reserve that becomes `active`: room for it is taken when a snapshot is staged
//! part-SNAPSHOT       a part of a snapshot, in the snapshot's file format
//! endpoints           the last set of endpoints, and its digest
//! damaged-NAME        what was found to be wrong at boot, set aside
//! ```
//!
//! Owns: the order of writes. A part is on disk before `active` names it, and `active` is replaced by one rename, so a
//! crash at any instruction leaves a folder that boots what was active before, or after.
//! May not: believe the disk. Every byte that is booted is covered by a digest.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use taut_snapshot::format::Encode;
use taut_snapshot::format::codec::decode_all;
use taut_snapshot::format::file;
use taut_snapshot::{Digest, EndpointSet, Snapshot};

use crate::folder::{Files, Folder, FolderError, UNFINISHED};
use crate::message::{Boots, MemberKind, Running};
use crate::part::{Assembled, assemble, contents};

const ACTIVE: &str = "active";
const PREVIOUS: &str = "previous";
const NEXT: &str = "next";
const ENDPOINTS: &str = "endpoints";
const PART: &str = "part-";
const DAMAGED: &str = "damaged-";

/// A member's state folder.
#[derive(Debug)]
pub(crate) struct Store<F = Folder> {
    files: F,
    kind: MemberKind,
    /// The objects of each part on disk, by snapshot.
    parts: BTreeMap<Digest, Vec<Digest>>,
}

/// What a member begins with.
#[derive(Debug)]
pub(crate) struct Booted {
    /// Its part of a snapshot, and the generation.
    pub part: Option<(Snapshot, u64)>,
    /// The endpoints that it knew last.
    pub endpoints: EndpointSet,
    /// What was found to be wrong, in sentences.
    pub notes: Vec<String>,
}

/// What `active` and `previous` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    running: Running,
    contents: Digest,
}

impl Pointer {
    const NOTHING: Pointer =
        Pointer { running: Running { snapshot: Digest([0; 32]), generation: 0 }, contents: Digest([0; 32]) };

    /// Text, for the operator's eyes. Its length is always the same, so that it can be overwritten on a full disk.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Pointer { running: Running { snapshot, generation }, contents } = self;
        let body = format!(
            "what a member of the mesh runs, version 1\nsnapshot {snapshot}\ngeneration {generation:020}\ncontents {contents}\n"
        );
        format!("{body}check {}\n", Digest::of(body.as_bytes())).into_bytes()
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Pointer> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.lines().filter_map(|line| line.split_once(' ').map(|(_, value)| value));
        let (_title, snapshot, generation, contents) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let running = Running { snapshot: snapshot.parse().ok()?, generation: generation.parse().ok()? };
        let pointer = Pointer { running, contents: contents.parse().ok()? };
        // Whatever is not exactly what would be written was not written by us, or not written to the end.
        (pointer.write() == bytes).then_some(pointer)
    }
}

fn part_name(snapshot: Digest) -> String {
    format!("{PART}{snapshot}")
}

impl<F: Files> Store<F> {
    /// A member's store in this folder.
    pub(crate) fn open(files: F, kind: MemberKind) -> Store<F> {
        let mut store = Store { files, kind, parts: BTreeMap::new() };
        for name in store.files.names().unwrap_or_default() {
            if name.ends_with(UNFINISHED) {
                // What a crash left unfinished is of no use; if it cannot be removed, it does no harm either.
                let _ = store.files.remove(&name);
            } else if let Some(snapshot) = name.strip_prefix(PART).and_then(|digits| digits.parse().ok())
                && let Ok(part) = store.part(snapshot)
            {
                store.parts.insert(snapshot, part.objects.iter().map(|(name, _)| name).collect());
            }
        }
        store
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> FolderError + use<F> {
        let folder = self.files.path().to_owned();
        move |error| FolderError::of(&folder, doing, error)
    }

    /// Reads what was active last. What is damaged is set aside and told of; then the one before is booted, if it is
    /// whole.
    pub(crate) fn boot(&mut self) -> Booted {
        let mut notes = Vec::new();
        let mut part = None;
        for name in [ACTIVE, PREVIOUS] {
            match self.load(name) {
                Ok(Some((found, generation))) => {
                    if name == PREVIOUS && !notes.is_empty() {
                        notes.push(format!("generation {generation} was booted, the one before it"));
                    }
                    part = Some((found, generation));
                    break;
                }
                Ok(None) if name == ACTIVE && self.files.read(PREVIOUS).is_ok() => {
                    notes.push("the file `active` is missing".to_owned());
                }
                Ok(None) => (),
                Err((file, why)) => {
                    // On a read-only disk it stays where it is, and is found again.
                    let aside = self.files.rename(&file, &format!("{DAMAGED}{file}"));
                    let word = if aside.is_ok() { "was set aside" } else { "cannot be used" };
                    notes.push(format!("the file `{file}` {word}: {why}"));
                    self.parts.retain(|snapshot, _| part_name(*snapshot) != file);
                }
            }
        }
        let endpoints = self.endpoints().unwrap_or_else(|why| {
            let _ = self.files.rename(ENDPOINTS, &format!("{DAMAGED}{ENDPOINTS}"));
            notes.push(format!("the file `endpoints` was set aside: {why}"));
            EndpointSet { endpoints: Vec::new() }
        });
        Booted { part, endpoints, notes }
    }

    /// The part that a pointer names. If it cannot be used: the file at fault, and why.
    fn load(&self, name: &str) -> Result<Option<(Snapshot, u64)>, (String, String)> {
        let pointer = self.pointer(name).map_err(|why| (name.to_owned(), why))?;
        let Some(Pointer { running, .. }) = pointer else { return Ok(None) };
        let file = part_name(running.snapshot);
        let bad = |why: String| (file.clone(), why);
        let part = self.part(running.snapshot).map_err(bad)?;
        let whole = assemble(running.snapshot, &self.kind, |name| part.objects.bytes(name).cloned());
        match whole.map_err(|refused| bad(refused.why))? {
            Assembled::Whole(part) => Ok(Some((part, running.generation))),
            Assembled::Lacks(names) => Err(bad(format!("{} objects are missing or damaged", names.len()))),
        }
    }

    fn pointer(&self, name: &str) -> Result<Option<Pointer>, String> {
        match self.files.read(name) {
            Ok(bytes) => match Pointer::read(&bytes) {
                Some(Pointer::NOTHING) => Ok(None),
                Some(pointer) => Ok(Some(pointer)),
                None => Err("it is not as it was written".to_owned()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn part(&self, snapshot: Digest) -> Result<Snapshot, String> {
        let bytes = self.files.read(&part_name(snapshot)).map_err(|error| error.to_string())?;
        let part = file::read(&bytes).map_err(|bad| bad.to_string())?;
        if part.id == snapshot { Ok(part) } else { Err(format!("it holds snapshot {}", part.id.short())) }
    }

    /// What would boot now. Every byte is read again: it is asked in order to find what changed behind our back.
    pub(crate) fn boots(&self) -> Boots {
        let pointer = match self.pointer(ACTIVE) {
            Ok(Some(pointer)) => pointer,
            Ok(None) => return Boots::Nothing,
            Err(why) => return Boots::Damaged(format!("the file `{ACTIVE}`: {why}")),
        };
        let found = self.part(pointer.running.snapshot).and_then(|part| {
            match part.objects.iter().find(|(name, bytes)| Digest::of(bytes) != *name) {
                Some((name, _)) => Err(format!("object {} is not what its name says", name.short())),
                None => Ok(contents(part.id, part.objects.iter().map(|(name, _)| name))),
            }
        });
        match found {
            Ok(contents) => Boots::From { running: pointer.running, contents },
            Err(why) => Boots::Damaged(format!("the part of {}: {why}", pointer.running.snapshot.short())),
        }
    }

    /// The names of all objects on disk.
    pub(crate) fn holds(&self) -> Vec<Digest> {
        let mut names: Vec<Digest> = self.parts.values().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The objects on disk, as far as they can be read. Nothing is believed of them yet.
    pub(crate) fn objects(&self) -> BTreeMap<Digest, Bytes> {
        let parts = self.parts.keys().filter_map(|snapshot| self.part(*snapshot).ok());
        let mut objects = BTreeMap::new();
        for part in parts {
            objects.extend(part.objects.iter().map(|(name, bytes)| (name, bytes.clone())));
        }
        objects
    }

    /// Keeps a part, and makes sure that nothing is left which could run out of space when it is activated.
    ///
    /// # Errors
    /// Of the folder: then the member must refuse the snapshot.
    pub(crate) fn stage(&mut self, part: &Snapshot) -> Result<(), FolderError> {
        let failed = self.failed("keep a staged snapshot");
        let name = part_name(part.id);
        let bytes = file::write(part);
        if self.files.read(&name).ok().as_ref() != Some(&bytes) {
            self.files.replace(&name, &bytes).map_err(&failed)?;
        }
        for reserve in [PREVIOUS, NEXT] {
            let room = Pointer::NOTHING.write();
            if self.files.read(reserve).map_or(true, |bytes| bytes.len() != room.len()) {
                self.files.replace(reserve, &room).map_err(&failed)?;
            }
        }
        self.parts.insert(part.id, part.objects.iter().map(|(name, _)| name).collect());
        self.tidy(Some(part.id));
        Ok(())
    }

    /// Makes a staged part the one that boots.
    ///
    /// # Errors
    /// Of the folder: then the one before still boots, and the member must not activate.
    pub(crate) fn activate(&mut self, running: Running) -> Result<(), FolderError> {
        let failed = self.failed("keep which snapshot is active");
        let objects = self.parts.get(&running.snapshot).map_or(&[][..], Vec::as_slice);
        let pointer = Pointer { running, contents: contents(running.snapshot, objects.iter().copied()) };
        if let Ok(Some(old)) = self.pointer(ACTIVE)
            && old.running.snapshot != running.snapshot
        {
            self.files.write(PREVIOUS, &old.write()).map_err(&failed)?;
        }
        self.files.write(NEXT, &pointer.write()).map_err(&failed)?;
        self.files.rename(NEXT, ACTIVE).map_err(&failed)?;
        self.files.sync().map_err(&failed)?;
        self.tidy(None);
        Ok(())
    }

    /// Removes the parts that are neither active, nor previous, nor staged. What cannot be removed is tried again next
    /// time: it costs space, and nothing else.
    pub(crate) fn tidy(&mut self, staged: Option<Digest>) {
        let kept: Vec<Digest> = [ACTIVE, PREVIOUS]
            .into_iter()
            .filter_map(|name| self.pointer(name).ok().flatten())
            .map(|pointer| pointer.running.snapshot)
            .chain(staged)
            .collect();
        self.parts.retain(|snapshot, _| kept.contains(snapshot));
        for name in self.files.names().unwrap_or_default() {
            let snapshot = name.strip_prefix(PART).and_then(|digits| digits.parse().ok());
            if snapshot.is_some_and(|snapshot| !kept.contains(&snapshot)) {
                let _ = self.files.remove(&name);
            }
        }
    }

    fn endpoints(&self) -> Result<EndpointSet, String> {
        let bytes = match self.files.read(ENDPOINTS) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EndpointSet { endpoints: Vec::new() }),
            Err(error) => return Err(error.to_string()),
        };
        let (check, set) = bytes.split_at_checked(32).ok_or("it ends too early")?;
        if Digest::of(set).0 != check {
            return Err("it is not as it was written".to_owned());
        }
        decode_all(set).map_err(|bad| bad.to_string())
    }

    /// Keeps the endpoints, to know them again after a restart.
    ///
    /// # Errors
    /// Of the folder. They are used all the same: the snapshot does not depend on them.
    pub(crate) fn keep_endpoints(&self, set: &EndpointSet) -> Result<(), FolderError> {
        let mut body = Vec::new();
        set.encode(&mut body);
        let bytes = [&Digest::of(&body).0[..], &body].concat();
        self.files.replace(ENDPOINTS, &bytes).map_err(self.failed("keep the endpoints"))
    }
}

#[cfg(test)]
mod tests;
