//! What an edit does to the layers of Sidecars, and to the views that have them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{Layer, Root, View};
use taut_snapshot::{Digest, Objects, Text};

use crate::lower::{LayerName, Layers};

/// A view as it was and as it is, and whether that is an object which was not there.
type Moved = (Digest, Digest, bool);

/// Gives hosts of layers another meaning. The buckets and layers that nobody may need any more are added to `outdated`;
/// the views that change with their layers are returned, and the old ones are still there.
pub(super) fn enter(
    changed: BTreeMap<&LayerName, Vec<(Text, Digest)>>,
    objects: &mut Objects,
    root: &mut Root,
    layers: &mut Layers,
    outdated: &mut Vec<Digest>,
) -> Option<Vec<Moved>> {
    let mut moves: BTreeMap<&LayerName, (Link<Layer>, Link<Layer>)> = BTreeMap::new();
    let mut views: BTreeSet<&Text> = BTreeSet::new();
    for (name, hosts) in changed {
        let old = *layers.links.get(name)?;
        let mut layer: Layer = objects.read(old).ok()?;
        outdated.extend(objects.update_map(&mut layer.services, hosts).ok()?);
        outdated.push(old.digest);
        moves.insert(name, (old, objects.insert(&layer)));
        views.extend(layers.users.get(name)?);
    }
    let mut moved = Vec::with_capacity(views.len());
    let mut changes = Vec::with_capacity(views.len());
    for name in views {
        let bucket = root.views.bucket(name)?;
        let old = objects.read(bucket).ok()?.get(name)?;
        let mut view: View = objects.read(Link::to(old)).ok()?;
        // A view names its layers by what they are, so that two which were alike must still be.
        let mut becomes: BTreeMap<Digest, Link<Layer>> = BTreeMap::new();
        for layer in layers.of_view.get(name)? {
            let unmoved = *layers.links.get(layer)?;
            let (from, to) = moves.get(layer).copied().unwrap_or((unmoved, unmoved));
            if becomes.insert(from.digest, to).is_some_and(|other| other.digest != to.digest) {
                return None;
            }
        }
        let of_ports = view.egress_ports.iter_mut().flat_map(|port| &mut port.layers);
        for link in view.layers.iter_mut().chain(of_ports) {
            *link = becomes.get(&link.digest).copied().unwrap_or(*link);
        }
        let count = objects.len();
        let new = objects.insert(&view).digest;
        if new != old {
            moved.push((old, new, count < objects.len()));
            changes.push((name.clone(), new));
        }
    }
    outdated.extend(objects.update_map(&mut root.views, changes).ok()?);
    let links = std::sync::Arc::make_mut(&mut layers.links);
    let moves: Vec<(LayerName, Link<Layer>)> = moves.into_iter().map(|(name, (_, new))| (name.clone(), new)).collect();
    links.extend(moves);
    Some(moved)
}

/// The layers that there are, and all buckets of maps: layers that have much in common share them.
pub(super) fn in_use(objects: &Objects, root: &Root, layers: &Layers) -> Option<HashSet<Digest>> {
    let mut in_use: HashSet<Digest> = root.views.buckets.iter().map(|(_, bucket)| bucket.digest).collect();
    for link in root.base.iter().chain(layers.links.values()) {
        if in_use.insert(link.digest) {
            let layer = objects.read(*link).ok()?;
            in_use.extend(layer.services.buckets.iter().map(|(_, bucket)| bucket.digest));
        }
    }
    Some(in_use)
}
