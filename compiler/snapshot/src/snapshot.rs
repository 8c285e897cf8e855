//! A whole snapshot in memory, and what it takes to believe one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use crate::format::codec::{BadBytes, Link};
use crate::object::{Bucket, Layer, Map, Object, ObjectKind, Root, Service, View};
use crate::{Digest, Text};

/// Why a snapshot, or a part of one, cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSnapshot {
    /// The bytes of the file are wrong.
    File(BadBytes),
    /// The bytes of an object are not what its name says.
    Digest(Digest),
    /// An object cannot be decoded.
    Object(Digest, BadBytes),
    /// An object is named and is not there.
    Missing(Digest),
    /// An object is there and nothing names it.
    Unreachable(Digest),
    /// An object decodes and says something impossible.
    Meaning(Digest, String),
}

impl fmt::Display for BadSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSnapshot::File(bad) => write!(f, "not a snapshot: {bad}"),
            BadSnapshot::Digest(name) => {
                write!(f, "object {} does not have the bytes that its name says", name.short())
            }
            BadSnapshot::Object(name, bad) => write!(f, "object {}: {bad}", name.short()),
            BadSnapshot::Missing(name) => write!(f, "object {} is missing", name.short()),
            BadSnapshot::Unreachable(name) => write!(f, "nothing leads to object {}", name.short()),
            BadSnapshot::Meaning(name, what) => write!(f, "object {}: {what}", name.short()),
        }
    }
}

impl std::error::Error for BadSnapshot {}

/// Objects by digest. The bytes are checked against the name whenever an object is read. Those of one file share its
/// memory.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    by_digest: BTreeMap<Digest, Bytes>,
    /// Where the next object is encoded: most are there already, and the others keep no more memory than they need.
    scratch: Vec<u8>,
}

impl PartialEq for Objects {
    fn eq(&self, other: &Objects) -> bool {
        self.by_digest == other.by_digest
    }
}

impl Eq for Objects {}

impl Objects {
    /// Adds the bytes of an object under the name that they have.
    pub fn insert_bytes(&mut self, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.by_digest.insert(digest, bytes);
        digest
    }

    /// Adds an object that came under a name, and says how many bytes it has; nothing if that is not their name.
    pub fn insert_named(&mut self, name: Digest, bytes: Bytes) -> Option<usize> {
        if Digest::of(&bytes) != name {
            return None;
        }
        let length = bytes.len();
        self.by_digest.insert(name, bytes);
        Some(length)
    }

    /// Objects under names that were found in a file, sorted; reading checks them.
    pub(crate) fn unchecked(sorted: impl Iterator<Item = (Digest, Bytes)>) -> Objects {
        Objects { by_digest: sorted.collect(), scratch: Vec::new() }
    }

    /// Adds an object.
    pub fn insert<T: ObjectKind>(&mut self, object: &T) -> Link<T> {
        self.scratch.clear();
        object.encode_into(&mut self.scratch);
        let digest = Digest::of(&self.scratch);
        self.by_digest.entry(digest).or_insert_with(|| Bytes::copy_from_slice(&self.scratch));
        Link::to(digest)
    }

    /// Adds all objects of others.
    pub fn absorb(&mut self, mut other: Objects) {
        if self.by_digest.len() < other.by_digest.len() {
            std::mem::swap(&mut self.by_digest, &mut other.by_digest);
        }
        if other.by_digest.len() < self.by_digest.len() / 16 {
            self.by_digest.extend(other.by_digest);
        } else {
            self.by_digest.append(&mut other.by_digest); // goes through all of both, which is little beside finding many
        }
    }

    /// Takes an object away.
    pub fn remove(&mut self, digest: Digest) {
        self.by_digest.remove(&digest);
    }

    /// The bytes of an object, unchecked.
    #[must_use]
    pub fn bytes(&self, digest: Digest) -> Option<&Bytes> {
        self.by_digest.get(&digest)
    }

    /// Whether an object is there.
    #[must_use]
    pub fn contains(&self, digest: Digest) -> bool {
        self.by_digest.contains_key(&digest)
    }

    /// All objects by name.
    pub fn iter(&self) -> impl Iterator<Item = (Digest, &Bytes)> {
        self.by_digest.iter().map(|(digest, bytes)| (*digest, bytes))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    fn checked(&self, digest: Digest) -> Result<&[u8], BadSnapshot> {
        let bytes = self.by_digest.get(&digest).ok_or(BadSnapshot::Missing(digest))?;
        if Digest::of(bytes) == digest { Ok(bytes) } else { Err(BadSnapshot::Digest(digest)) }
    }

    /// Reads an object of a known kind.
    ///
    /// # Errors
    /// If it is missing, or its bytes are not what its name says, or not of that kind.
    pub fn read<T: ObjectKind>(&self, link: Link<T>) -> Result<T, BadSnapshot> {
        T::from_bytes(self.checked(link.digest)?).map_err(|bad| BadSnapshot::Object(link.digest, bad))
    }

    /// Reads an object of any kind.
    ///
    /// # Errors
    /// If it is missing, or its bytes are not what its name says.
    pub fn read_any(&self, digest: Digest) -> Result<Object, BadSnapshot> {
        Object::decode(self.checked(digest)?).map_err(|bad| BadSnapshot::Object(digest, bad))
    }

    /// The entries of a map, bucket by bucket.
    ///
    /// # Errors
    /// If a bucket is missing or wrong.
    pub fn entries(&self, map: &Map) -> Result<Vec<(Text, Digest)>, BadSnapshot> {
        let mut entries = Vec::new();
        for (_, bucket) in &map.buckets {
            entries.extend(self.read(*bucket)?.entries);
        }
        entries.sort();
        Ok(entries)
    }

    /// Cuts entries into buckets, and adds these.
    pub fn insert_map(&mut self, entries: BTreeMap<Text, Digest>) -> Map {
        let count = entries.len() as u64;
        let mut buckets: BTreeMap<u32, Vec<(Text, Digest)>> = BTreeMap::new();
        for (name, digest) in entries {
            buckets.entry(crate::object::bucket_of(&name, count)).or_default().push((name, digest));
        }
        let buckets = buckets.into_iter().map(|(number, entries)| (number, self.insert(&Bucket { entries }))).collect();
        Map { count, buckets }
    }

    /// Gives names of a map other objects, and adds the buckets that change. The old ones stay; their digests are returned.
    ///
    /// # Errors
    /// If a bucket is missing or wrong, or has no such name.
    pub fn update_map(
        &mut self,
        map: &mut Map,
        changes: impl IntoIterator<Item = (Text, Digest)>,
    ) -> Result<Vec<Digest>, BadSnapshot> {
        let mut changed: BTreeMap<u32, Bucket> = BTreeMap::new();
        let mut before = Vec::new();
        for (name, digest) in changes {
            let number = crate::object::bucket_of(&name, map.count);
            let bucket = match changed.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let link = map.bucket(&name).ok_or_else(|| no_entry(&name))?;
                    before.push(link.digest);
                    new.insert(self.read(link)?)
                }
            };
            let at = bucket.entries.binary_search_by(|(key, _)| key.cmp(&name)).map_err(|_| no_entry(&name))?;
            bucket.entries[at].1 = digest;
        }
        for (number, bucket) in changed {
            let link = self.insert(&bucket);
            if let Ok(at) = map.buckets.binary_search_by_key(&number, |(number, _)| *number) {
                map.buckets[at].1 = link;
            }
        }
        Ok(before)
    }

    /// Every object that one leads to, itself included, in the order in which a walk meets them.
    ///
    /// # Errors
    /// If one is missing or wrong.
    pub fn closure(&self, from: impl IntoIterator<Item = Digest>) -> Result<Vec<Digest>, BadSnapshot> {
        let mut seen = BTreeSet::new();
        let mut order = Vec::new();
        let mut waiting: Vec<Digest> = from.into_iter().collect();
        while let Some(digest) = waiting.pop() {
            if seen.insert(digest) {
                order.push(digest);
                waiting.extend(self.read_any(digest)?.links());
            }
        }
        Ok(order)
    }
}

fn no_entry(name: &str) -> BadSnapshot {
    BadSnapshot::Meaning(Digest::of(name.as_bytes()), format!("no entry `{name}`"))
}

/// An immutable result of compilation: objects, of which one is the root. Its id is the root's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The id.
    pub id: Digest,
    /// The objects.
    pub objects: Objects,
}

impl Snapshot {
    /// The root object.
    ///
    /// # Errors
    /// If it is missing or wrong.
    pub fn root(&self) -> Result<Root, BadSnapshot> {
        self.objects.read(Link::to(self.id))
    }

    /// The names of all workloads.
    ///
    /// # Errors
    /// If an object on the way is missing or wrong.
    pub fn workloads(&self) -> Result<Vec<(Text, Link<View>)>, BadSnapshot> {
        let entries = self.objects.entries(&self.root()?.views)?;
        Ok(entries.into_iter().map(|(name, digest)| (name, Link::to(digest))).collect())
    }

    /// The view of a workload, by `namespace/name`.
    ///
    /// # Errors
    /// If an object on the way is missing or wrong.
    pub fn view_of(&self, workload: &str) -> Result<Option<Link<View>>, BadSnapshot> {
        view_of(&self.objects, self.id, workload)
    }

    /// Checks everything: every digest, every encoding, every link, and that nothing is there which nothing needs.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<(), BadSnapshot> {
        self.root()?;
        let reached: BTreeSet<Digest> = self.objects.closure([self.id])?.into_iter().collect();
        match self.objects.iter().find(|(digest, _)| !reached.contains(digest)) {
            Some((digest, _)) => Err(BadSnapshot::Unreachable(digest)),
            None => Ok(()),
        }
    }

    /// The objects that a member with this workload's view may be given, and nothing else: the root, the bucket that
    /// proves which view is its own, and all that the view leads to.
    ///
    /// # Errors
    /// If an object on the way is missing or wrong.
    pub fn objects_of(&self, workload: &str) -> Result<Option<Vec<Digest>>, BadSnapshot> {
        let root = self.root()?;
        let Some(bucket) = root.views.bucket(workload) else { return Ok(None) };
        let Some(view) = self.objects.read(bucket)?.get(workload) else { return Ok(None) };
        let mut objects = vec![self.id, bucket.digest];
        let base = base_of(&self.objects, self.id, Link::to(view))?;
        objects.extend(self.objects.closure([view].into_iter().chain(base.map(|base| base.digest)))?);
        Ok(Some(objects))
    }

    /// The objects that a certificate authority may be given: the root and its own.
    ///
    /// # Errors
    /// If an object on the way is missing or wrong.
    pub fn objects_of_authority(&self) -> Result<Vec<Digest>, BadSnapshot> {
        let authority = self.root()?.authority;
        self.objects.read(authority)?;
        Ok(vec![self.id, authority.digest])
    }
}

/// The view of a workload in a snapshot of which only a part may be there.
///
/// # Errors
/// If an object on the way is missing or wrong.
pub fn view_of(objects: &Objects, id: Digest, workload: &str) -> Result<Option<Link<View>>, BadSnapshot> {
    let root: Root = objects.read(Link::to(id))?;
    let Some(bucket) = root.views.bucket(workload) else { return Ok(None) };
    Ok(objects.read(bucket)?.get(workload).map(Link::to))
}

/// The layer that a view has beside its own ones, in a snapshot of which only a part may be there.
///
/// # Errors
/// If an object on the way is missing or wrong, or the view counts on a layer that there is not.
pub fn base_of(objects: &Objects, id: Digest, view: Link<View>) -> Result<Option<Link<Layer>>, BadSnapshot> {
    if !objects.read(view)?.has_base {
        return Ok(None);
    }
    let root: Root = objects.read(Link::to(id))?;
    let missing = || BadSnapshot::Meaning(id, "it has no layer that all share, which a view counts on".into());
    root.base.map(Some).ok_or_else(missing)
}

/// The services of a layer, each with its digest.
///
/// # Errors
/// If an object on the way is missing or wrong.
pub fn services_of(objects: &Objects, layer: Link<Layer>) -> Result<Vec<(Digest, Service)>, BadSnapshot> {
    let layer = objects.read(layer)?;
    let entries = objects.entries(&layer.services)?;
    entries.into_iter().map(|(_, digest)| Ok((digest, objects.read(Link::<Service>::to(digest))?))).collect()
}
