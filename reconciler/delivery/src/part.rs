//! The part of a snapshot that one member may have.
//!
//! Owns: which objects that is, who may ask for it, and how a member proves from bytes alone that it has all of it.
//! May not: trust a name. The root's digest is the snapshot's id, it names the bucket, which names the view, which
//! leads to everything else: a publisher that lies about any of them is found out.

use std::collections::BTreeSet;

use bytes::Bytes;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{Bucket, ClusterSet, EndpointSource, ObjectKind, Root, View};
use taut_snapshot::{BadSnapshot, Digest, Objects, Snapshot, base_of};

use crate::limits::{LACKING_MAX, PART_BYTES_MAX, PART_OBJECTS_MAX};
use crate::message::{MemberKind, Refused};

/// What a publisher may send to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The snapshot that it is a part of.
    pub snapshot: Digest,
    /// Its objects, by digest.
    pub objects: Vec<(Digest, Bytes)>,
    /// The digest of its contents, as the member will report it of its disk.
    pub contents: Digest,
    /// The workload's view; none for an authority.
    pub view: Option<View>,
    /// The trust domain of the mesh, and its other names.
    pub trust_domains: Vec<String>,
    /// Which endpoints its clusters consist of.
    pub sources: Vec<EndpointSource>,
}

/// Why a member has no part in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPart {
    /// The user's matter: the workload is not, or no more, in git.
    #[error("the snapshot has no workload `{0}`")]
    UnknownWorkload(String),
    /// The user's matter: it is too much for one member.
    #[error("the part of `{0}` is larger than a member takes: give it a Sidecar that imports less")]
    TooLarge(String),
    /// Our matter: the snapshot was checked when it was offered.
    #[error(transparent)]
    Bad(#[from] BadSnapshot),
}

impl Part {
    /// The part of a snapshot for a member of this kind.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(snapshot: &Snapshot, kind: &MemberKind) -> Result<Part, NoPart> {
        let mut names = match kind {
            MemberKind::Authority => snapshot.objects_of_authority()?,
            MemberKind::Proxy { workload } => {
                snapshot.objects_of(workload)?.ok_or_else(|| NoPart::UnknownWorkload(workload.clone()))?
            }
        };
        names.sort_unstable();
        let mut objects = Vec::with_capacity(names.len());
        let mut sources = Vec::new();
        let mut bytes_sum = 0;
        for name in names {
            let bytes = snapshot.objects.bytes(name).ok_or(BadSnapshot::Missing(name))?;
            bytes_sum += bytes.len();
            objects.push((name, bytes.clone()));
            // Every object was decoded on the way here; only these are looked at again.
            if bytes.first() == Some(&ClusterSet::KIND) {
                let set = snapshot.objects.read(Link::<ClusterSet>::to(name))?;
                sources.push(set.endpoints); // a subset's are among them
            }
        }
        if PART_OBJECTS_MAX < objects.len() || PART_BYTES_MAX < bytes_sum {
            return Err(NoPart::TooLarge(kind.to_string()));
        }
        let view = match kind {
            MemberKind::Authority => None,
            MemberKind::Proxy { workload } => {
                snapshot.view_of(workload)?.map(|link| snapshot.objects.read(link)).transpose()?
            }
        };
        let mesh = snapshot.objects.read(snapshot.root()?.mesh)?;
        let trust_domains = std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases);
        Ok(Part {
            snapshot: snapshot.id,
            contents: contents(snapshot.id, objects.iter().map(|(name, _)| *name)),
            objects,
            view,
            trust_domains: trust_domains.map(ToString::to_string).collect(),
            sources,
        })
    }

    /// Whether a peer with this SPIFFE id may have it: a proxy's must be that of its workload's service account, an
    /// authority's is given by whoever runs the mesh.
    ///
    /// # Errors
    /// If not, a sentence that says what was expected.
    pub fn admits(&self, peer: &str, authority: &str) -> Result<(), String> {
        let Some(view) = &self.view else {
            return if peer == authority {
                Ok(())
            } else {
                Err(format!("`{peer}` is not the certificate authority of this mesh, which is `{authority}`"))
            };
        };
        let (namespace, account) = (&view.namespace, &view.service_account);
        let id = |domain: &String| format!("spiffe://{domain}/ns/{namespace}/sa/{account}");
        if self.trust_domains.iter().any(|domain| id(domain) == peer) {
            return Ok(());
        }
        let expected = self.trust_domains.first().map(id).unwrap_or_default();
        Err(format!("`{peer}` may not be a proxy of {namespace}/{}, which runs as `{expected}`", view.name))
    }
}

impl std::fmt::Display for MemberKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MemberKind::Proxy { workload } => f.write_str(workload),
            MemberKind::Authority => f.write_str("authority"),
        }
    }
}

/// The digest of a part's contents: of the snapshot's id, and of the names of its objects in order. It does not depend
/// on the version of the file that they are kept in.
#[must_use]
pub fn contents(snapshot: Digest, objects: impl IntoIterator<Item = Digest>) -> Digest {
    let mut bytes = snapshot.0.to_vec();
    for name in objects {
        bytes.extend_from_slice(&name.0);
    }
    Digest::of(&bytes)
}

/// What a member can make of the objects at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assembled {
    /// Its whole part: every object that it needs, and no other.
    Whole(Snapshot),
    /// It lacks these objects, and perhaps those that they lead to.
    Lacks(Vec<Digest>),
}

/// Puts a member's part together: from the root to its view, and to everything that the view leads to. Every digest is
/// worked out anew and every object decoded.
///
/// # Errors
/// If the part can be proven to be wrong, or the snapshot has none for this member.
pub fn assemble(
    snapshot: Digest,
    kind: &MemberKind,
    at_hand: impl Fn(Digest) -> Option<Bytes>,
) -> Result<Assembled, Refused> {
    let mut walk = Walk { at_hand, objects: Objects::default(), lacking: Vec::new(), bytes_sum: 0 };
    let start = walk.start(snapshot, kind)?;
    walk.close(start)?;
    if walk.lacking.is_empty() {
        Ok(Assembled::Whole(Snapshot { id: snapshot, objects: walk.objects }))
    } else {
        walk.lacking.truncate(LACKING_MAX);
        Ok(Assembled::Lacks(walk.lacking))
    }
}

struct Walk<F> {
    at_hand: F,
    objects: Objects,
    lacking: Vec<Digest>,
    bytes_sum: usize,
}

impl<F: Fn(Digest) -> Option<Bytes>> Walk<F> {
    /// The objects from which all the rest follows, as far as they are known.
    fn start(&mut self, snapshot: Digest, kind: &MemberKind) -> Result<Vec<Digest>, Refused> {
        let Some(root) = self.read::<Root>(snapshot)? else { return Ok(Vec::new()) };
        let MemberKind::Proxy { workload } = kind else { return Ok(vec![root.authority.digest]) };
        let unknown = || refused(None, &NoPart::UnknownWorkload(workload.clone()));
        let bucket = root.views.bucket(workload).ok_or_else(unknown)?;
        let Some(bucket) = self.read::<Bucket>(bucket.digest)? else { return Ok(Vec::new()) };
        let view = bucket.get(workload).ok_or_else(unknown)?;
        if self.read::<View>(view)?.is_none() {
            return Ok(Vec::new());
        }
        let base = base_of(&self.objects, snapshot, Link::to(view)).map_err(|bad| refused(Some(view), &bad))?;
        Ok([view].into_iter().chain(base.map(|base| base.digest)).collect())
    }

    fn close(&mut self, start: Vec<Digest>) -> Result<(), Refused> {
        let mut seen = BTreeSet::new();
        let mut waiting = start;
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) || !self.take(name)? {
                continue;
            }
            let object = self.objects.read_any(name).map_err(|bad| refused(Some(name), &bad))?;
            waiting.extend(object.links());
        }
        Ok(())
    }

    fn read<T: ObjectKind>(&mut self, name: Digest) -> Result<Option<T>, Refused> {
        if !self.take(name)? {
            return Ok(None);
        }
        self.objects.read(Link::to(name)).map(Some).map_err(|bad| refused(Some(name), &bad))
    }

    /// Takes an object into the part; false if it is lacking. Bytes that do not fit their name are as good as none.
    fn take(&mut self, name: Digest) -> Result<bool, Refused> {
        let Some(length) = (self.at_hand)(name).and_then(|bytes| self.objects.insert_named(name, bytes)) else {
            self.lacking.push(name);
            return Ok(false);
        };
        self.bytes_sum += length;
        if PART_OBJECTS_MAX < self.objects.len() || PART_BYTES_MAX < self.bytes_sum {
            return Err(Refused { object: None, why: "the part is larger than a member takes".to_owned() });
        }
        Ok(true)
    }
}

fn refused(object: Option<Digest>, why: &dyn std::fmt::Display) -> Refused {
    Refused { object, why: why.to_string() }
}

#[cfg(test)]
mod tests;
