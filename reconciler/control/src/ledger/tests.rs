//! The ledger on a disk that stops at every write.

use std::collections::BTreeMap;
use std::sync::Mutex;

use redb::StorageBackend;
use taut_delivery::MemberKind;
use taut_delivery::simulation::mesh;
use taut_snapshot::{EndpointSet, SourceMap};

use super::*;
use crate::desired::{Delivery, Desired, Head};
use crate::member::Known;
use crate::record::{GIT, What};
use crate::status::sample::release;

fn loaded(mark: u32) -> Loaded {
    let snapshot = mesh(&["shop/cart", "shop/orders"], mark);
    let endpoints = EndpointSet { endpoints: Vec::new() };
    let commit = release(mark as u8).commit;
    let source_map = SourceMap {
        repository: "shop".into(),
        commit: commit.rev.as_str().into(),
        compiler: "1".into(),
        files: vec![],
        objects: vec![],
    };
    let digest = |value: &dyn Encode| {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        Digest::of(&bytes)
    };
    let release =
        Release { commit, snapshot: snapshot.id, endpoints: digest(&endpoints), source_map: digest(&source_map) };
    Loaded { release, snapshot, endpoints, source_map }
}

fn record(generation: u64) -> Write {
    let record = Record::new(std::time::SystemTime::UNIX_EPOCH, GIT, What::Staging);
    Write::Record(Box::new(Record { generation: Some(generation), ..record }))
}

fn known(counted: bool) -> Option<Box<Known>> {
    let kind = MemberKind::Proxy { workload: "shop/cart".to_owned() };
    Some(Box::new(Known { kind, peer: "spiffe://a".to_owned(), activated: None, counted, endpoint: None }))
}

/// One batch for each generation: everything in it names that generation.
fn batch(desired: &mut Desired, generation: u64) -> Vec<Write> {
    let release = release(generation as u8);
    let delivery = desired.deliver(release.clone(), None);
    assert_eq!(delivery, Delivery::Candidate { generation, instead_of: None });
    desired.pass();
    let head = Head { release, generation, origin: generation };
    vec![
        record(generation),
        Write::Head(Box::new(head)),
        Write::Desired(Box::new(desired.clone())),
        Write::Known(format!("cart-{generation}"), known(true)),
    ]
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut desired = Desired::default();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    ledger.write(&batch(&mut desired, 1)).unwrap();
    ledger.write(&batch(&mut desired, 2)).unwrap();
    ledger.write(&[Write::Known("cart-1".to_owned(), None)]).unwrap();
    drop(ledger);
    let ledger = Ledger::open(folder.path()).unwrap();
    let remembered = ledger.remember().unwrap();
    assert_eq!(remembered.desired, desired);
    assert_eq!(remembered.heads.iter().map(|head| head.generation).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(remembered.members.into_keys().collect::<Vec<_>>(), ["cart-2"]);
    assert_eq!(remembered.records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 2]);
    let newest = ledger.history(1).unwrap();
    assert_eq!(newest.iter().map(|record| record.number).collect::<Vec<_>>(), [2], "newest first, no more than asked");
}

#[test]
fn only_the_newest_activations_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    let last = HEADS_KEPT as u64 + 7;
    for generation in 1..=last {
        let head = Head { release: release(1), generation, origin: generation };
        ledger.write(&[Write::Head(Box::new(head))]).unwrap();
    }
    let heads = ledger.remember().unwrap().heads;
    assert_eq!((heads.len(), heads.first().unwrap().generation), (HEADS_KEPT, 8));
}

#[test]
fn a_release_is_read_as_it_was_kept_and_others_are_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let (one, two) = (loaded(1), loaded(2));
    ledger.keep(&one).unwrap();
    ledger.keep(&two).unwrap();
    assert_eq!(*ledger.load(&one.release).unwrap(), one);
    let kept = [two.release.snapshot, two.release.endpoints, two.release.source_map];
    ledger.prune(&kept.into()).unwrap();
    assert_eq!(*ledger.load(&two.release).unwrap(), two);
    let lost = ledger.load(&one.release).unwrap_err();
    assert!(lost.starts_with("the contents of commit 010101010101 cannot be read from disk"), "{lost}");
}

#[test]
fn a_flipped_byte_in_a_release_is_found_and_mended_when_git_offers_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let one = loaded(1);
    ledger.keep(&one).unwrap();
    for name in [one.release.snapshot, one.release.source_map] {
        let path = folder.path().join("contents").join(name.to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(ledger.load(&one.release).unwrap_err(), "the contents of commit 010101010101 are damaged on disk");
        ledger.keep(&one).unwrap();
        assert_eq!(*ledger.load(&one.release).unwrap(), one);
    }
}

#[test]
fn a_second_reconciler_on_one_folder_is_told_to_take_another() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Ledger::open(folder.path()).unwrap();
    let error = Ledger::open(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("another process (pid "), "{error}");
    assert!(error.ends_with("stop it, or give this one a folder of its own"), "{error}");
}

#[test]
fn a_ledger_that_is_none_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, b"dear diary").unwrap();
    let error = Ledger::open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("move the file away and start again"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"dear diary");
}

#[test]
fn a_ledger_of_a_newer_program_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let write = ledger.database.begin_write().unwrap();
    write.open_table(ONES).unwrap().insert(FORMAT, &b"2"[..]).unwrap();
    write.commit().unwrap();
    drop(ledger);
    let error = Ledger::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Ledger::open(&file.join("state")).unwrap_err().to_string();
    assert!(error.contains("it was not possible to open the state folder in"), "{error}");
}

/// A disk in memory. Writes are lost at a crash unless they were synced; a test may let some of them through.
#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    /// What is there after a crash: everything up to the last sync.
    synced: Vec<u8>,
    /// Operations that are left before the power fails; none while it is on for good.
    left: Option<usize>,
    /// What every operation says then.
    fails: Option<io::ErrorKind>,
    operations: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Storage(Arc<Mutex<Disk>>);

impl Storage {
    fn change(&self, change: impl FnOnce(&mut Disk)) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.operations += 1;
        match &mut disk.left {
            Some(0) => return Err(disk.fails.unwrap_or(io::ErrorKind::Other).into()),
            Some(left) => *left -= 1,
            None => (),
        }
        change(&mut disk);
        Ok(())
    }

    /// From now on, nothing is written any more.
    pub(crate) fn fill(&self) {
        let mut disk = self.0.lock().unwrap();
        (disk.left, disk.fails) = (Some(0), Some(io::ErrorKind::StorageFull));
    }

    /// The disk as it is found after the power has failed: with or without what was never synced.
    fn found(&self, with_unsynced: bool) -> Storage {
        let disk = self.0.lock().unwrap();
        let bytes = if with_unsynced { disk.now.clone() } else { disk.synced.clone() };
        Storage(Arc::new(Mutex::new(Disk { now: bytes.clone(), synced: bytes, ..Disk::default() })))
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let range = offset as usize..offset as usize + out.len();
        out.copy_from_slice(disk.now.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|disk| disk.now.resize(len as usize, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|disk| disk.synced = disk.now.clone())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|disk| {
            let offset = offset as usize;
            disk.now[offset..offset + data.len()].copy_from_slice(data);
        })
    }
}

/// Files in memory.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<String, Vec<u8>>>);

impl Files for Shelf {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), bytes.to_owned());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn path(&self) -> &Path {
        Path::new("shelf")
    }
}

pub(crate) fn open(storage: &Storage) -> Result<Ledger, LedgerError> {
    let state = Path::new("/state");
    let database = redb::Builder::new().create_with_backend(storage.clone());
    let database = database.map_err(|error| failed(state, OPEN, error.into()))?;
    Ledger::with(state, database, Box::new(Shelf::default()), None)
}

/// Writes three batches, and says how many of them the ledger has confirmed.
fn write_three(storage: &Storage) -> u64 {
    let mut desired = Desired::default();
    let Ok(mut ledger) = open(storage) else { return 0 };
    for generation in 1..=3 {
        if ledger.write(&batch(&mut desired, generation)).is_err() {
            return generation - 1;
        }
    }
    3
}

#[test]
fn a_crash_at_any_write_leaves_whole_batches_and_loses_none_that_was_confirmed() {
    // A ledger that was opened before: making one is looked at on its own.
    let fresh = Storage::default();
    drop(open(&fresh).unwrap());
    let whole = fresh.found(true);
    assert_eq!(write_three(&whole), 3);
    let operations = whole.0.lock().unwrap().operations;
    assert!(20 < operations, "there is something to interrupt: {operations} operations");
    for left in 0..=operations {
        for with_unsynced in [false, true] {
            let storage = fresh.found(true);
            storage.0.lock().unwrap().left = Some(left);
            let confirmed = write_three(&storage);
            let ledger = open(&storage.found(with_unsynced)).unwrap();
            let Remembered { desired, members, heads, records } = ledger.remember().unwrap();
            let at = format!("after {left} of {operations} operations, unsynced {with_unsynced}");
            assert!(confirmed <= desired.generation, "{at}: {confirmed} batches were confirmed, {desired:?} is there");
            let all = desired.generation as usize;
            assert_eq!((members.len(), heads.len(), records.len()), (all, all, all), "{at}: half a batch is there");
        }
    }
}

#[test]
fn a_crash_while_the_ledger_is_made_leaves_a_folder_that_can_be_used() {
    let whole = Storage::default();
    drop(open(&whole).unwrap());
    let operations = whole.0.lock().unwrap().operations;
    for left in 0..=operations {
        for with_unsynced in [false, true] {
            let storage = Storage::default();
            storage.0.lock().unwrap().left = Some(left);
            drop(open(&storage));
            let folder = tempfile::tempdir().unwrap();
            let found = storage.found(with_unsynced).0.lock().unwrap().now.clone();
            std::fs::write(folder.path().join("ledger.redb.new"), found).unwrap();
            let again = Ledger::open(folder.path());
            assert!(again.is_ok(), "after {left} of {operations} operations, unsynced {with_unsynced}: {again:?}");
        }
    }
}

#[test]
fn a_full_disk_stops_the_ledger_with_a_paragraph_and_loses_nothing() {
    let fresh = Storage::default();
    let mut desired = Desired::default();
    let mut ledger = open(&fresh).unwrap();
    ledger.write(&batch(&mut desired, 1)).unwrap();
    fresh.fill();
    let before = desired.clone();
    let error = ledger.write(&batch(&mut desired, 2)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the disk of /state is full, so it was not possible to write into the ledger: free some space; nothing that was \
         there is lost"
    );
    drop(ledger);
    assert_eq!(open(&fresh.found(true)).unwrap().remember().unwrap().desired, before);
}
