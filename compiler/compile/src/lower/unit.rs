//! The units that a mesh is lowered in, a host or a workload each, and what several of them share.
//!
//! A unit is a function of the mesh alone. So where an edit leaves all units but a few what they were, the snapshot
//! changes by what these few came to before and come to now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use taut_model::{Client, Host, LabelSet, Mesh};
use taut_snapshot::format::codec::Link;
use taut_snapshot::{Digest, Objects, Text};

use super::{LayerName, Layers, Lowering};
use crate::origins::{Places, Source};

/// The name of a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnitName {
    /// What a host means to every client.
    Host(Host),
    /// The view of a workload, `namespace/name`.
    View(Text),
    /// What a host means to those who have a layer of a Sidecar.
    Imported(LayerName, Host),
}

/// What a unit came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Unit {
    /// Its object.
    pub(crate) digest: Digest,
    /// All objects that were made on the way.
    pub(crate) objects: Objects,
    /// Where they came from.
    pub(crate) origins: Places,
}

/// How many units made an object, or name a place as its origin, where it is more than one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    made: Vec<Digest>,
    placed: Vec<(Digest, Source)>,
    objects: HashMap<Digest, u32>,
    origins: HashMap<(Digest, Source), u32>,
}

impl Shares {
    fn add(&mut self, unit: &mut Lowering<'_, '_>, is_kept: bool) {
        self.made.extend(unit.objects.iter().map(|(digest, _)| digest).filter(|_| is_kept));
        self.placed.extend(unit.origins.once());
    }

    pub(super) fn absorb(&mut self, other: Shares) {
        self.made.extend(other.made);
        self.placed.extend(other.placed);
    }

    /// Counts what the units came to.
    pub(super) fn settled(mut self) -> Shares {
        self.objects = repeated(std::mem::take(&mut self.made));
        self.origins = repeated(std::mem::take(&mut self.placed));
        self
    }

    /// Takes away one unit's part in an object; whether that was the last.
    pub(crate) fn drop_object(&mut self, digest: Digest) -> bool {
        one_less(&mut self.objects, &digest)
    }

    /// Adds a unit's part in an object that is there already, or is new.
    pub(crate) fn add_object(&mut self, digest: Digest, is_there: bool) {
        one_more(&mut self.objects, digest, is_there);
    }

    /// Takes away one unit's part in an origin; whether that was the last.
    pub(crate) fn drop_origin(&mut self, origin: &(Digest, Source)) -> bool {
        one_less(&mut self.origins, origin)
    }

    /// Adds a unit's part in an origin that is there already, or is new.
    pub(crate) fn add_origin(&mut self, origin: (Digest, Source), is_there: bool) {
        one_more(&mut self.origins, origin, is_there);
    }
}

fn one_less<T: std::hash::Hash + Eq>(counts: &mut HashMap<T, u32>, of: &T) -> bool {
    let Some(count) = counts.get_mut(of) else { return true };
    *count -= 1;
    if *count == 1 {
        counts.remove(of);
    }
    false
}

fn one_more<T: std::hash::Hash + Eq>(counts: &mut HashMap<T, u32>, of: T, is_there: bool) {
    if is_there {
        *counts.entry(of).or_insert(1) += 1;
    }
}

/// Those that are there more than once, and how often.
fn repeated<T: Ord + std::hash::Hash>(mut all: Vec<T>) -> HashMap<T, u32> {
    all.sort_unstable();
    let mut counts = HashMap::new();
    let mut all = all.into_iter().peekable();
    while let Some(one) = all.next() {
        let mut count = 1;
        while all.next_if(|next| *next == one).is_some() {
            count += 1;
        }
        if 1 < count {
            counts.insert(one, count);
        }
    }
    counts
}

impl Lowering<'_, '_> {
    /// Lowers a unit; apart from all others if it is to be known what it comes to. Its objects may be for nobody.
    pub(super) fn unit<R>(&mut self, is_kept: bool, lower: impl FnOnce(&mut Self) -> R) -> R {
        let Some(mut shares) = self.shares.take() else { return lower(self) };
        let mut unit = self.fork();
        let made = lower(&mut unit);
        shares.add(&mut unit, is_kept);
        self.join(unit);
        self.shares = Some(shares);
        made
    }
}

/// The units of a part of a mesh, and what stands beside them.
pub(crate) struct Part {
    pub(crate) units: BTreeMap<UnitName, Unit>,
    /// What holds for the whole mesh, who may have a certificate, and whether something is plain HTTP.
    pub(crate) beside: (Digest, Digest, bool),
    /// What each view has of Sidecars, and whether it has what everybody has.
    pub(crate) has: Vec<(Text, Vec<LayerName>, bool)>,
    /// Every workload, whether it is in the mesh, and whether it is a gateway: single rules look through all of them.
    pub(crate) workloads: Vec<(Text, Text, bool, bool)>,
}

/// Lowers the units of these hosts and workloads, with layers of Sidecars as they are known. None if some host does not
/// mean the same to every client, or some workload has a layer that is not known.
pub(crate) fn units(
    mesh: &Mesh<'_>,
    plain_http: bool,
    layers: &Layers,
    is_wanted: impl Fn(&UnitName) -> bool,
) -> Option<Part> {
    let mut lowering = Lowering::new(mesh);
    let found_plain = std::mem::replace(&mut lowering.plain_http, plain_http);
    lowering.aliases();
    let hosts = lowering.hosts();
    if !lowering.is_the_same_for_everybody() {
        return None;
    }
    // Views do not name what everybody has: any digest does.
    lowering.base = Some(Arc::new((Link::to(Digest::of(&[])), BTreeMap::new())));
    let nobody = LabelSet::new();
    let client = Client { namespace: "", labels: &nobody, gateway: "mesh" };
    let mut units = BTreeMap::new();
    for host in hosts.iter() {
        let name = UnitName::Host(host.clone());
        if !is_wanted(&name) {
            continue;
        }
        let mut unit = lowering.fork();
        if let Some(digest) = unit.service(host, &client) {
            units.insert(name, Unit { digest, objects: unit.objects, origins: unit.origins.places() });
        }
    }
    for layer in layers.links.keys() {
        let imports = layer.imports(mesh)?;
        for host in hosts.iter() {
            if !lowering.may_know(&imports, host) || !is_wanted(&UnitName::Host(host.clone())) {
                continue;
            }
            let mut unit = lowering.fork();
            if let Some(digest) = unit.imported_service(host, &imports, &layer.namespace) {
                let name = UnitName::Imported(layer.clone(), host.clone());
                units.insert(name, Unit { digest, objects: unit.objects, origins: unit.origins.places() });
            }
        }
    }
    lowering.known_layers = Some(layers.links.clone());
    let mut has = Vec::new();
    for workload in mesh.workloads.iter().filter(|workload| workload.meshed) {
        let name = UnitName::View(format!("{}/{}", workload.namespace, workload.name).into());
        if !is_wanted(&name) {
            continue;
        }
        let mut unit = lowering.fork();
        let digest = unit.view(workload);
        let asked = std::mem::take(&mut unit.asked_layers).into_iter().collect::<Option<Vec<LayerName>>>()?;
        has.push((format!("{}/{}", workload.namespace, workload.name).into(), asked, unit.base_is_used));
        units.insert(name, Unit { digest, objects: unit.objects, origins: unit.origins.places() });
    }
    let authority = lowering.authority().digest;
    let workloads = mesh.workloads.iter().map(|it| (it.namespace.clone(), it.name.clone(), it.meshed, it.gateway));
    let beside = (lowering.mesh_link.digest, authority, found_plain);
    Some(Part { units, beside, has, workloads: workloads.collect() })
}

impl Part {
    /// The names of the units that came to something else than in another part, or that only one of the two has.
    pub(crate) fn differing<'p>(&'p self, other: &'p Part) -> BTreeSet<&'p UnitName> {
        let names = self.units.keys().chain(other.units.keys());
        names.filter(|name| self.units.get(name) != other.units.get(name)).collect()
    }
}
