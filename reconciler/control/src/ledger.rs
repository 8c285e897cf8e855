//! What the reconciler never forgets: where the fleet is to go, who is in it, what was active, and what happened.
//!
//! Owns: the ledger's file (redb: each batch of writes is there as a whole or not at all), the contents of releases in
//! a folder beside it, and the lock on the state folder.
//! May not: know what any of it means.
//! Invariant: a batch is on disk when `write` returns; the contents of a release are on disk before anything that
//! names it.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use taut_delivery::folder::{Files, Folder, FolderError, UNFINISHED};
use taut_snapshot::Digest;
use taut_snapshot::format::codec::decode_all;
use taut_snapshot::format::{Encode, file};

use crate::control::{HEADS_KEPT, Remembered, Write};
use crate::desired::Release;
use crate::record::Record;
use crate::snapshots::Loaded;
use crate::wire::{
    Unreadable, read_desired, read_head, read_known, read_record, write_desired, write_head, write_known, write_record,
};

/// The ledger's file in the state folder.
const FILE: &str = "ledger.redb";

/// Single values, by name.
const ONES: TableDefinition<&str, &[u8]> = TableDefinition::new("ones");
const MEMBERS: TableDefinition<&str, &[u8]> = TableDefinition::new("members");
/// By generation.
const HEADS: TableDefinition<u64, &[u8]> = TableDefinition::new("heads");
/// By number.
const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");

const DESIRED: &str = "desired";
const FORMAT: &str = "format";

/// The version of the tables. A newer one is not touched.
const VERSION: &[u8] = b"1";

/// How many records are kept: years of a busy mesh, and 50 MB.
const RECORDS_KEPT: u64 = 100_000;

/// How many of the last records are read at the start: what became of commits that somebody may still wait for.
const RECORDS_READ: usize = 10_000;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The operator's matter; its text says what to do.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The operator's matter: trying again does not help.
    #[error(
        "the ledger {} cannot be used ({what}): move the file away and start again. Nothing that runs is touched: the \
         newest commit is compiled again, members say what they run, and only the history and a hold are lost",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The ledger of one state folder, which no other process can use meanwhile.
#[derive(Debug)]
pub struct Ledger {
    state: PathBuf,
    database: Database,
    contents: Box<dyn Contents>,
    /// The number of the next record.
    next: u64,
    /// Keeps others away for as long as the ledger is open.
    _lock: Option<Folder>,
}

/// Files that can be printed in a failure.
pub(crate) trait Contents: Files + Sync + std::fmt::Debug {}

impl<T: Files + Sync + std::fmt::Debug> Contents for T {}

impl Ledger {
    /// Opens the ledger of a state folder, and makes both if they are not there.
    ///
    /// # Errors
    /// If another process uses the folder, it cannot be written, its disk is full, or the ledger is damaged. The text
    /// says what to do.
    pub fn open(state: &Path) -> Result<Ledger, LedgerError> {
        let folder = Folder::open(state)?;
        let contents = Box::new(folder.folder("contents")?);
        if !state.join(FILE).exists() {
            // Made beside its place: a crash on the way leaves nothing that looks like a damaged ledger.
            let new = format!("{FILE}{UNFINISHED}");
            let stale = std::fs::remove_file(state.join(&new));
            stale.or_else(absent).map_err(|source| FolderError::of(state, OPEN, source))?;
            drop(Ledger::with(state, database(state, &new)?, Box::new(folder.folder("contents")?), None)?);
            let placed = folder.rename(&new, FILE).and_then(|()| folder.sync());
            placed.map_err(|source| FolderError::of(state, OPEN, source))?;
        }
        Ledger::with(state, database(state, FILE)?, contents, Some(folder))
    }

    pub(crate) fn with(
        state: &Path,
        database: Database,
        contents: Box<dyn Contents>,
        lock: Option<Folder>,
    ) -> Result<Ledger, LedgerError> {
        let mut ledger = Ledger { state: state.to_owned(), database, contents, next: 1, _lock: lock };
        ledger.next = ledger.prepare().map_err(|error| failed(state, OPEN, error))?;
        Ok(ledger)
    }

    /// Makes the tables, and finds the number of the next record.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let write = self.database.begin_write()?;
        let next = {
            let mut ones = write.open_table(ONES)?;
            let version = ones.get(FORMAT)?.map(|version| version.value().to_vec());
            match version {
                None => drop(ones.insert(FORMAT, VERSION)?),
                Some(version) if version == VERSION => (),
                Some(_) => return Err(redb::Error::Corrupted("it is of a newer version of this program".to_owned())),
            }
            write.open_table(MEMBERS)?;
            write.open_table(HEADS)?;
            let records = write.open_table(RECORDS)?;
            records.last()?.map_or(0, |(number, _)| number.value()) + 1
        };
        write.commit()?;
        Ok(next)
    }

    /// Whether nothing was ever written into it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.next == 1
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Everything that the reconciler goes on from.
    pub(crate) fn remember(&self) -> Result<Remembered, LedgerError> {
        self.read().map_err(|error| failed(&self.state, "read the ledger", error))?.map_err(|unreadable| {
            let file = self.state.join(FILE);
            LedgerError::Damaged { file, what: unreadable.to_string() }
        })
    }

    fn read(&self) -> Result<Result<Remembered, Unreadable>, redb::Error> {
        let read = self.database.begin_read()?;
        let mut remembered = Remembered::default();
        let desired = read.open_table(ONES)?.get(DESIRED)?.map(|bytes| read_desired(bytes.value()));
        let mut members = Vec::new();
        for entry in read.open_table(MEMBERS)?.iter()? {
            let (name, bytes) = entry?;
            members.push(read_known(bytes.value()).map(|known| (name.value().to_owned(), known)));
        }
        let mut heads = Vec::new();
        for entry in read.open_table(HEADS)?.iter()? {
            heads.push(read_head(entry?.1.value()));
        }
        let records = self.last_records(&read, RECORDS_READ)?;
        Ok((|| {
            remembered.desired = desired.transpose()?.unwrap_or_default();
            remembered.members = members.into_iter().collect::<Result<_, _>>()?;
            remembered.heads = heads.into_iter().collect::<Result<_, _>>()?;
            remembered.records = records?;
            remembered.records.reverse();
            Ok(remembered)
        })())
    }

    fn last_records(
        &self,
        read: &redb::ReadTransaction,
        limit: usize,
    ) -> Result<Result<Vec<Record>, Unreadable>, redb::Error> {
        let mut records = Vec::new();
        for entry in read.open_table(RECORDS)?.iter()?.rev().take(limit) {
            records.push(read_record(entry?.1.value()));
        }
        Ok(records.into_iter().collect())
    }

    /// The last records, newest first.
    pub(crate) fn history(&self, limit: usize) -> Result<Vec<Record>, LedgerError> {
        let doing = "read the history";
        let records = || self.last_records(&self.database.begin_read()?, limit);
        let records = records().map_err(|error| failed(&self.state, doing, error))?;
        records.map_err(|unreadable| LedgerError::Damaged { file: self.state.join(FILE), what: unreadable.to_string() })
    }

    /// Writes all of it, or nothing.
    pub(crate) fn write(&mut self, writes: &[Write]) -> Result<(), LedgerError> {
        let next = self.commit(writes).map_err(|error| failed(&self.state, "write into the ledger", error))?;
        self.next = next;
        Ok(())
    }

    fn commit(&self, writes: &[Write]) -> Result<u64, redb::Error> {
        let mut next = self.next;
        let transaction = self.database.begin_write()?;
        {
            let mut ones = transaction.open_table(ONES)?;
            let mut members = transaction.open_table(MEMBERS)?;
            let mut heads = transaction.open_table(HEADS)?;
            let mut records = transaction.open_table(RECORDS)?;
            for write in writes {
                match write {
                    Write::Record(record) => {
                        let record = Record { number: next, ..(**record).clone() };
                        records.insert(next, &*write_record(&record))?;
                        if let Some(old) = next.checked_sub(RECORDS_KEPT) {
                            records.remove(old)?;
                        }
                        next += 1;
                    }
                    Write::Desired(desired) => drop(ones.insert(DESIRED, &*write_desired(desired))?),
                    Write::Head(head) => {
                        heads.insert(head.generation, &*write_head(head))?;
                        while (HEADS_KEPT as u64) < heads.len()? {
                            heads.pop_first()?;
                        }
                    }
                    Write::Known(name, Some(known)) => {
                        members.insert(&**name, &*write_known(name, known))?;
                    }
                    Write::Known(name, None) => drop(members.remove(&**name)?),
                }
            }
        }
        transaction.commit()?;
        Ok(next)
    }

    /// Keeps the contents of a release.
    pub(crate) fn keep(&self, loaded: &Loaded) -> Result<(), LedgerError> {
        let Loaded { release, snapshot, endpoints, source_map } = loaded;
        let kept = self.kept()?;
        let encoded = |value: &dyn Encode| {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            bytes
        };
        let all: [(Digest, &dyn Fn() -> Vec<u8>); 3] = [
            (release.snapshot, &|| file::write(snapshot)),
            (release.endpoints, &|| encoded(endpoints)),
            (release.source_map, &|| encoded(source_map)),
        ];
        for (name, bytes) in all {
            // What is there may be damaged: only what can be read is not written again.
            let there = kept.contains(&name) && self.bytes(name).is_ok_and(|there| there == bytes());
            if !there {
                let written = self.contents.replace(&name.to_string(), &bytes());
                written.map_err(|source| FolderError::of(&self.state, "keep a snapshot", source))?;
            }
        }
        Ok(())
    }

    fn kept(&self) -> Result<BTreeSet<Digest>, FolderError> {
        let names = self.contents.names().map_err(|source| FolderError::of(&self.state, "list snapshots", source))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn bytes(&self, name: Digest) -> io::Result<Vec<u8>> {
        self.contents.read(&name.to_string())
    }

    /// Removes the contents of all other releases.
    pub(crate) fn prune(&self, keep: &BTreeSet<Digest>) -> Result<(), LedgerError> {
        for name in self.kept()?.difference(keep) {
            // One that cannot be removed takes space and harms nobody.
            if let Err(error) = self.contents.remove(&name.to_string()) {
                tracing::warn!(%error, snapshot = %name, "an old snapshot cannot be removed");
            }
        }
        Ok(())
    }

    /// Reads the contents of a release, and believes nothing of it.
    pub(crate) fn load(&self, release: &Release) -> Result<Arc<Loaded>, String> {
        let bytes = |name: Digest| {
            let lost = |why: &dyn std::fmt::Display| {
                format!("the contents of commit {} cannot be read from disk: {why}", release.commit.short())
            };
            self.bytes(name).map_err(|error| lost(&error))
        };
        let damaged = || format!("the contents of commit {} are damaged on disk", release.commit.short());
        let checked =
            |name: Digest| bytes(name).and_then(|it| if Digest::of(&it) == name { Ok(it) } else { Err(damaged()) });
        let snapshot = file::read(&bytes(release.snapshot)?).map_err(|_| damaged())?;
        snapshot.verify().map_err(|_| damaged())?;
        if snapshot.id != release.snapshot {
            return Err(damaged());
        }
        Ok(Arc::new(Loaded {
            release: release.clone(),
            snapshot,
            endpoints: decode_all(&checked(release.endpoints)?).map_err(|_| damaged())?,
            source_map: decode_all(&checked(release.source_map)?).map_err(|_| damaged())?,
        }))
    }
}

const OPEN: &str = "open the ledger";

/// Opens a database file of the state folder, and makes it if it is not there.
fn database(state: &Path, name: &str) -> Result<Database, LedgerError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(state.join(name));
    let file = file.map_err(|source| FolderError::of(state, OPEN, source))?;
    redb::Builder::new().create_file(file).map_err(|error| failed(state, OPEN, error.into()))
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// What an error of the database means for whoever runs this.
fn failed(state: &Path, doing: &'static str, error: redb::Error) -> LedgerError {
    let damaged = |what: String| LedgerError::Damaged { file: state.join(FILE), what };
    match error {
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            damaged(error.to_string())
        }
        redb::Error::Io(source) => FolderError::of(state, doing, source).into(),
        error => damaged(error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
