//! Crashes, damage and full disks, on real files.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::simulation::mesh;

const WORKLOAD: &str = "shop/cart";

fn kind() -> MemberKind {
    MemberKind::Proxy { workload: WORKLOAD.to_owned() }
}

fn part(mark: u32) -> Snapshot {
    let whole = mesh(&[WORKLOAD, "shop/orders"], mark);
    match assemble(whole.id, &kind(), |name| whole.objects.bytes(name).cloned()).unwrap() {
        Assembled::Whole(part) => part,
        Assembled::Lacks(names) => panic!("lacks {names:?}"),
    }
}

fn open(path: &Path) -> Store {
    Store::open(Folder::open(path).unwrap(), kind())
}

fn deliver(store: &mut Store<impl Files>, part: &Snapshot, generation: u64) -> Result<(), FolderError> {
    store.stage(part)?;
    store.activate(Running { snapshot: part.id, generation })
}

fn booted(path: &Path) -> (Option<u64>, Vec<String>) {
    let booted = open(path).boot();
    (booted.part.map(|(_, generation)| generation), booted.notes)
}

/// What happens to a folder while it is written.
enum Fate {
    /// The machine stops after this many steps: the step under way is half done, and no other follows.
    Stops { steps_left: AtomicUsize },
    /// Nothing more fits on the disk; what is there can be overwritten.
    Full,
    /// The disk can be read and not written.
    ReadOnly,
}

struct Fated(Folder, Fate);

impl Fated {
    fn step(&self) -> io::Result<()> {
        match &self.1 {
            Fate::Stops { steps_left } => {
                let took = steps_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                took.map(|_| ()).map_err(|_| io::ErrorKind::Interrupted.into())
            }
            Fate::Full => Ok(()),
            Fate::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }
}

impl Files for Fated {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.1, Fate::Full) && self.0.read(name).map_or(0, |old| old.len()) < bytes.len() {
            self.0.write(name, &[])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let done = self.step();
        if done.is_err() && matches!(self.1, Fate::Stops { .. }) {
            let mut torn = self.0.read(name).unwrap_or_default();
            torn.resize(bytes.len(), 0);
            torn[..bytes.len() / 2].copy_from_slice(&bytes[..bytes.len() / 2]);
            self.0.write(name, &torn)?;
        }
        done.and_then(|()| self.0.write(name, bytes))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step().and_then(|()| self.0.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step().and_then(|()| self.0.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.step().and_then(|()| self.0.sync())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[test]
fn what_was_activated_boots() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    assert_eq!(store.boots(), Boots::Nothing);
    deliver(&mut store, &part(1), 1).unwrap();
    deliver(&mut store, &part(2), 2).unwrap();
    let names = part(2).objects.iter().map(|(name, _)| name).collect::<Vec<_>>();
    let running = Running { snapshot: part(2).id, generation: 2 };
    assert_eq!(store.boots(), Boots::From { running, contents: contents(part(2).id, names) });
    drop(store);

    let mut store = open(folder.path());
    let found = store.boot();
    assert_eq!((found.part, found.notes), (Some((part(2), 2)), vec![]));
    let held = part(1).objects.iter().chain(part(2).objects.iter()).all(|(name, _)| store.holds().contains(&name));
    assert!(held, "the one before is kept too: a rollback sends nothing");
    deliver(&mut store, &part(3), 3).unwrap();
    assert!(!folder.path().join(part_name(part(1).id)).exists(), "and older ones are not");
}

#[test]
fn a_crash_at_any_instruction_leaves_the_old_or_the_new() {
    let mut outcomes = Vec::new();
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        deliver(&mut store, &part(1), 1).unwrap();
        deliver(&mut store, &part(2), 2).unwrap();
        drop(store);
        let fate = Fate::Stops { steps_left: AtomicUsize::new(steps) };
        let mut store = Store::open(Fated(Folder::open(folder.path()).unwrap(), fate), kind());
        let done = deliver(&mut store, &part(3), 3);
        drop(store);
        let (generation, notes) = booted(folder.path());
        assert_eq!(notes, Vec::<String>::new(), "after {steps} steps");
        assert!(generation == Some(3) || done.is_err(), "after {steps} steps: what is said to be kept is kept");
        outcomes.push(generation);

        let mut store = open(folder.path());
        deliver(&mut store, &part(3), 3).unwrap();
        drop(store);
        assert_eq!(booted(folder.path()), (Some(3), vec![]), "after {steps} steps and another try");
        if done.is_ok() && generation == Some(3) && 12 < steps {
            break;
        }
    }
    assert!(outcomes.is_sorted(), "{outcomes:?}");
    assert_eq!((outcomes.first(), outcomes.last()), (Some(&Some(2)), Some(&Some(3))));
}

#[test]
fn a_flipped_byte_is_found_set_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    deliver(&mut store, &part(1), 1).unwrap();
    deliver(&mut store, &part(2), 2).unwrap();
    drop(store);
    let file = part_name(part(2).id);
    let whole = fs::read(folder.path().join(&file)).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(folder.path().join(&file), &bytes).unwrap();
        let store = open(folder.path());
        assert!(matches!(store.boots(), Boots::Damaged(_)), "byte {at}");
        drop(store);
        let (generation, notes) = booted(folder.path());
        assert_eq!(generation, Some(1), "byte {at}: {notes:?}");
        assert!(notes[0].starts_with(&format!("the file `{file}` was set aside: ")), "{notes:?}");
        assert_eq!(notes[1], "generation 1 was booted, the one before it");
        assert_eq!(fs::read(folder.path().join(format!("{DAMAGED}{file}"))).unwrap(), bytes);
    }

    let mut store = open(folder.path());
    deliver(&mut store, &part(2), 2).unwrap();
    drop(store);
    assert_eq!(booted(folder.path()), (Some(2), vec![]), "delivered again, it is whole again");
}

#[test]
fn damage_to_both_copies_boots_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    deliver(&mut store, &part(1), 1).unwrap();
    deliver(&mut store, &part(2), 2).unwrap();
    drop(store);
    fs::write(folder.path().join(ACTIVE), "rubbish").unwrap();
    fs::write(folder.path().join(PREVIOUS), "rubbish").unwrap();
    let (generation, notes) = booted(folder.path());
    assert_eq!((generation, notes.len()), (None, 2), "{notes:?}");
}

#[test]
fn a_part_that_was_swapped_behind_our_back_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    deliver(&mut store, &part(1), 1).unwrap();
    deliver(&mut store, &part(2), 2).unwrap();
    fs::copy(folder.path().join(PREVIOUS), folder.path().join(ACTIVE)).unwrap();
    let Boots::From { running, .. } = store.boots() else { panic!("it boots") };
    assert_eq!(running.generation, 1, "a valid old state is what would boot, and is reported as such");
    fs::copy(folder.path().join(part_name(part(2).id)), folder.path().join(part_name(part(1).id))).unwrap();
    assert!(matches!(store.boots(), Boots::Damaged(_)));
}

#[test]
fn a_full_disk_refuses_new_snapshots_and_activates_staged_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    deliver(&mut store, &part(1), 1).unwrap();
    store.stage(&part(2)).unwrap();
    drop(store);
    let mut store = Store::open(Fated(Folder::open(folder.path()).unwrap(), Fate::Full), kind());
    store.activate(Running { snapshot: part(2).id, generation: 2 }).unwrap();
    let why = store.stage(&part(3)).unwrap_err().to_string();
    assert!(why.ends_with("free some space; nothing that was there is lost"), "{why}");
    drop(store);
    assert_eq!(booted(folder.path()), (Some(2), vec![]));
}

#[test]
fn a_read_only_folder_boots_and_stages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    deliver(&mut store, &part(1), 1).unwrap();
    drop(store);
    let mut store = Store::open(Fated(Folder::open(folder.path()).unwrap(), Fate::ReadOnly), kind());
    assert_eq!(store.boot().part, Some((part(1), 1)));
    let why = store.stage(&part(2)).unwrap_err().to_string();
    assert!(why.contains("make it writable for this user, or choose another folder"), "{why}");
    store.activate(Running { snapshot: part(1).id, generation: 2 }).unwrap_err();
}

#[test]
fn endpoints_are_known_again_after_a_restart_unless_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let set = EndpointSet { endpoints: vec![crate::simulation::endpoint("cart-1", "shop", "cart", 1)] };
    store.keep_endpoints(&set).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).boot().endpoints, set);

    let mut bytes = fs::read(folder.path().join(ENDPOINTS)).unwrap();
    bytes[40] ^= 1;
    fs::write(folder.path().join(ENDPOINTS), bytes).unwrap();
    let found = open(folder.path()).boot();
    assert_eq!(found.endpoints, EndpointSet { endpoints: vec![] });
    assert_eq!(found.notes, ["the file `endpoints` was set aside: it is not as it was written"]);
}
