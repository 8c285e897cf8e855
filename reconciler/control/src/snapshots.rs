//! Snapshots in memory, and the parts that were cut out of them.
//!
//! Owns: what is loaded of the releases in play. Invariant: a part is cut once for each workload, however many members
//! run it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taut_delivery::{MemberKind, NoPart, Part};
use taut_snapshot::{Digest, EndpointSet, Snapshot, SourceMap};

use crate::desired::Release;

/// A release with all its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub release: Release,
    pub snapshot: Snapshot,
    pub endpoints: EndpointSet,
    pub source_map: SourceMap,
}

impl Loaded {
    /// Where an object came from: `file:line Kind namespace/name`, each once.
    pub(crate) fn places(&self, object: Digest) -> Vec<String> {
        let origins = self.source_map.origins(object).iter();
        let place = |origin: &taut_snapshot::Origin| {
            let (place, kind) = (self.source_map.place(origin), &origin.kind);
            let name = [origin.namespace.as_str(), origin.name.as_str()].join("/");
            format!("{place} {kind} {}", name.trim_start_matches('/'))
        };
        origins.map(place).collect::<BTreeSet<String>>().into_iter().collect()
    }
}

/// The releases in play, by snapshot.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// None: it was asked for, and is not to be had.
    loaded: BTreeMap<Digest, Option<Arc<Loaded>>>,
    parts: BTreeMap<(Digest, MemberKind), Result<Arc<Part>, NoPart>>,
}

impl Snapshots {
    /// Adds a release, or takes note that there is none to be had.
    pub(crate) fn insert(&mut self, snapshot: Digest, loaded: Option<Arc<Loaded>>) {
        self.loaded.insert(snapshot, loaded);
        self.parts.retain(|(of, _), _| *of != snapshot);
    }

    /// Whether a snapshot was asked for.
    pub(crate) fn knows(&self, snapshot: Digest) -> bool {
        self.loaded.contains_key(&snapshot)
    }

    /// A release.
    pub(crate) fn get(&self, snapshot: Digest) -> Option<&Arc<Loaded>> {
        self.loaded.get(&snapshot)?.as_ref()
    }

    /// A member's part of a snapshot.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub(crate) fn part(&mut self, snapshot: Digest, kind: &MemberKind) -> Result<Arc<Part>, String> {
        let loaded = self.get(snapshot).cloned();
        let loaded = loaded.ok_or("its objects are not at hand before git is compiled again")?;
        let cut = || Part::of(&loaded.snapshot, kind).map(Arc::new);
        self.parts.entry((snapshot, kind.clone())).or_insert_with(cut).clone().map_err(|why| why.to_string())
    }

    /// Forgets what is not in play any more.
    pub(crate) fn retain(&mut self, in_play: &BTreeSet<Digest>) {
        self.loaded.retain(|snapshot, _| in_play.contains(snapshot));
        self.parts.retain(|(snapshot, _), _| in_play.contains(snapshot));
    }
}
