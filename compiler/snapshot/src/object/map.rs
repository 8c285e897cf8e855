//! A map from names to objects, cut into buckets: an edit rewrites one bucket, not the map, and a member that may know
//! one entry is shown one bucket.

use super::Links;
use crate::format::codec::{Link, record};
use crate::{Digest, Text};

record! {
    /// The buckets of a map.
    pub struct Map {
        /// How many entries there are, which decides how many buckets they are cut into.
        pub count: u64 = 1,
        /// The buckets that hold anything, by number.
        pub buckets: Vec<(u32, Link<Bucket>)> = 2,
    }
}

record! {
    /// Some entries of a map.
    pub struct Bucket {
        /// Names and digests, by name.
        pub entries: Vec<(Text, Digest)> = 1,
    }
}

/// The entries of one bucket, on average: small enough to send for one name, large enough to keep the list of buckets short.
const ENTRIES: u64 = 32;

/// The most buckets of a map.
const BUCKETS_MAX: u64 = 4096;

/// The number of the bucket that a name is in, in a map of `count` entries.
#[must_use]
pub fn bucket_of(name: &str, count: u64) -> u32 {
    let buckets = (count / ENTRIES).next_power_of_two().clamp(1, BUCKETS_MAX);
    let hash = Digest::of(name.as_bytes()).0;
    let number = u64::from(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]));
    (number & (buckets - 1)) as u32
}

impl Map {
    /// The bucket that a name would be in.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<Link<Bucket>> {
        let number = bucket_of(name, self.count);
        self.buckets.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| self.buckets[at].1)
    }
}

impl Bucket {
    /// The digest of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Digest> {
        self.entries.binary_search_by(|(key, _)| key.as_str().cmp(name)).ok().map(|at| self.entries[at].1)
    }
}

impl Links for Bucket {
    fn links(&self) -> Vec<Digest> {
        self.entries.iter().map(|(_, digest)| *digest).collect()
    }
}
