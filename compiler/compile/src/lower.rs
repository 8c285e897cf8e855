//! The model becomes the objects of a snapshot.
//!
//! Owns: one file per noun, named as in `taut_snapshot::object`.
//! May not: report problems: what cannot be lowered was refused before.
//! Invariant: nothing here depends on the order of anything that the user did not order.

mod authz;
mod balancing;
mod cluster;
mod connection;
mod fault;
mod headers;
mod imported;
mod listener;
mod pattern;
mod route;
mod service;
mod telemetry;
mod token;
mod unit;
mod view;

pub(crate) use imported::{LayerName, Layers};
use std::collections::{BTreeMap, BTreeSet, HashMap};
pub(crate) use unit::{Part, Shares, Unit, UnitName, units};
pub(crate) use view::Subject;

use std::sync::Arc;

use taut_model::{Governing, Host, Imports, LabelSet, Mesh, Protocol, ServiceId};
use taut_resources::Normalization;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{self, Authority, ClusterSet, Layer, PathNormalization, Root, Telemetry};
use taut_snapshot::{Digest, Objects, Snapshot, Text};
use taut_source::Place;
use taut_source::threads::{self, Job};

use crate::origins::{Found, Places};

/// What a mesh becomes.
pub(crate) struct Lowered {
    pub(crate) snapshot: Snapshot,
    pub(crate) origins: Places,
    /// What its parts have in common, if that is asked for, and the mesh is one whose parts can be lowered alone.
    pub(crate) shares: Option<Shares>,
    /// The layers of Sidecars, where that is so.
    pub(crate) layers: Layers,
}

/// Lowers a mesh. What its parts share is found out if `shared` asks for it.
pub(crate) fn lower(mesh: &Mesh<'_>, shared: bool) -> Lowered {
    let mut lowering = Lowering::new(mesh);
    lowering.shares = shared.then(Shares::default);
    let views = lowering.views();
    let id = lowering.root(views);
    let apart = lowering.is_the_same_for_everybody();
    let shares = lowering.shares.take().filter(|_| apart).map(Shares::settled);
    let objects =
        if lowering.base_is_used { std::mem::take(&mut lowering.objects) } else { reachable(id, &lowering.objects) };
    let layers = lowering.layers_of_sidecars;
    Lowered { snapshot: Snapshot { id, objects }, origins: lowering.origins.places(), shares, layers }
}

/// Whether some service speaks HTTP on port 80.
pub(crate) fn has_plain_http(mesh: &Mesh<'_>) -> bool {
    let plain = |port: &taut_model::ServicePort| {
        port.number == 80 && (port.protocol.is_http() || port.protocol == Protocol::Auto)
    };
    mesh.services.iter().any(|service| service.ports.iter().any(plain))
}

/// The objects that something leads to: a snapshot with any other one is not believed.
fn reachable(id: Digest, objects: &Objects) -> Objects {
    let mut kept = Objects::default();
    for digest in objects.closure([id]).expect("all were written here") {
        let bytes = objects.bytes(digest).expect("the walk has read it");
        kept.insert_bytes(bytes.clone());
    }
    kept
}

/// A layer, and the digests of its services by host.
type SharedLayer = (Link<Layer>, BTreeMap<Text, Digest>);

/// What a host means that is written in an object of a namespace, to clients of another one.
#[derive(Clone)]
struct Meant<'r> {
    written: Text,
    namespace: Text,
    client: Text,
    host: Host,
    service: Option<(ServiceId, Arc<Governing<'r>>)>,
}

/// Clusters by service, port, the rules that were merged for them, and the gateway whose Secrets they use.
type ClusterKey = (u32, u16, Vec<usize>, Option<Box<cluster::Caller>>);

/// What is kept while one mesh is lowered.
pub(crate) struct Lowering<'m, 'r> {
    pub(crate) mesh: &'m Mesh<'r>,
    pub(crate) objects: Objects,
    pub(crate) origins: Found,
    /// What others have made of parts of the mesh, until it is put together.
    made: Vec<(Objects, Found)>,
    pub(crate) mesh_link: Link<object::Mesh>,
    clusters: HashMap<ClusterKey, Link<ClusterSet>>,
    /// What is told of requests, by namespace and the Telemetries that say so.
    telemetries: HashMap<(Text, Vec<Place>), Option<Link<Telemetry>>>,
    /// Every host that is a service, or that a virtual service of sidecars names.
    hosts: Option<Arc<[Host]>>,
    /// What the last destination led to: most of those of a rule are subsets of one host.
    last: Option<Meant<'r>>,
    /// The layer that every client shares, with the digests of its services by host.
    base: Option<Arc<SharedLayer>>,
    /// Whether some client has it. All may be gateways, or know what their Sidecars say.
    base_is_used: bool,
    /// The hosts whose rules look at the client's labels.
    looked_at: Option<Arc<Vec<Host>>>,
    /// For each namespace, the hosts whose meaning may differ there.
    special: Option<Arc<BTreeMap<Text, BTreeSet<Text>>>>,
    /// The layers of namespaces.
    layers: BTreeMap<Text, Option<Link<Layer>>>,
    /// What the workload that is being lowered knows, if its Sidecar says.
    imports: Option<Imports>,
    /// The layers of Sidecars: by place, listener, the client's namespace and its labels, where rules look at them.
    imported: BTreeMap<(Text, usize, Text, LabelSet), Link<Layer>>,
    /// The layers of Sidecars that were made before, where units are told apart.
    known_layers: Option<Arc<BTreeMap<LayerName, Link<Layer>>>>,
    /// Those that were asked for; None among them is one that was not made.
    asked_layers: Vec<Option<LayerName>>,
    layers_of_sidecars: Layers,
    /// The virtual services with rules for connections.
    streams: Arc<[usize]>,
    /// Whether some service speaks HTTP on port 80, so that requests to it are looked at.
    plain_http: bool,
    /// Other names of services, by host.
    aliases: Option<Arc<BTreeMap<Host, Vec<Host>>>>,
    /// What each unit came to, if that is asked for.
    shares: Option<Shares>,
}

impl<'m, 'r> Lowering<'m, 'r> {
    pub(crate) fn new(mesh: &'m Mesh<'r>) -> Self {
        let mut objects = Objects::default();
        let settings = &mesh.settings;
        let mesh_link = objects.insert(&object::Mesh {
            trust_domain: settings.trust_domain.clone(),
            trust_domain_aliases: settings.trust_domain_aliases.clone(),
            root_namespace: settings.root_namespace.clone(),
            domain_suffix: settings.domain_suffix.clone(),
            registry_only: settings.registry_only,
            path_normalization: match settings.path_normalization {
                Normalization::None => PathNormalization::None,
                Normalization::Default | Normalization::Base => PathNormalization::Base,
                Normalization::MergeSlashes => PathNormalization::MergeSlashes,
                Normalization::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
            },
            retry: settings.retry.as_ref().map(route::mesh_retry),
            detection_timeout_ms: settings.detection_timeout_ms,
        });
        let has_streams = |number: &usize| {
            let spec = mesh.routings[*number].of.spec;
            !spec.tls.is_empty() || !spec.tcp.is_empty()
        };
        let streams = (0..mesh.routings.len()).filter(has_streams).collect();
        Lowering {
            mesh,
            objects,
            origins: Found::default(),
            made: Vec::new(),
            mesh_link,
            clusters: HashMap::new(),
            telemetries: HashMap::new(),
            hosts: None,
            last: None,
            base: None,
            base_is_used: false,
            looked_at: None,
            special: None,
            layers: BTreeMap::new(),
            imports: None,
            imported: BTreeMap::new(),
            known_layers: None,
            asked_layers: Vec::new(),
            layers_of_sidecars: Layers::default(),
            streams,
            aliases: None,
            plain_http: has_plain_http(mesh),
            shares: None,
        }
    }

    /// One of several that lower parts of the same mesh: it knows what this one has found out about all of it.
    pub(crate) fn fork(&self) -> Self {
        Lowering {
            mesh: self.mesh,
            objects: Objects::default(),
            origins: Found::default(),
            made: Vec::new(),
            mesh_link: self.mesh_link,
            clusters: HashMap::new(),
            telemetries: HashMap::new(),
            hosts: self.hosts.clone(),
            last: None,
            base: self.base.clone(),
            base_is_used: false,
            looked_at: self.looked_at.clone(),
            special: self.special.clone(),
            layers: BTreeMap::new(),
            imports: None,
            imported: BTreeMap::new(),
            known_layers: self.known_layers.clone(),
            asked_layers: Vec::new(),
            layers_of_sidecars: Layers::default(),
            streams: self.streams.clone(),
            plain_http: self.plain_http,
            aliases: self.aliases.clone(),
            shares: self.shares.as_ref().map(|_| Shares::default()),
        }
    }

    /// Takes over what another one has made.
    pub(crate) fn join(&mut self, other: Self) {
        self.join_later(other);
        self.join_all();
    }

    /// Takes it over too, and leaves the work for [`Lowering::root`].
    fn join_later(&mut self, other: Self) {
        self.base_is_used |= other.base_is_used;
        if let (Some(ours), Some(theirs)) = (&mut self.shares, other.shares) {
            ours.absorb(theirs);
        }
        self.made.push((other.objects, other.origins));
    }

    /// Puts together what others have made.
    fn join_all(&mut self) {
        let many = threads::MANY <= self.made.iter().map(|(objects, _)| objects.len()).sum();
        let (all_objects, all_origins): (Vec<_>, Vec<_>) = self.made.drain(..).unzip();
        let (objects, origins) = (&mut self.objects, &mut self.origins);
        let jobs: Vec<Job<'_>> = vec![
            Box::new(|| all_objects.into_iter().for_each(|other| objects.absorb(other))),
            Box::new(|| {
                all_origins.into_iter().for_each(|other| origins.absorb(other));
                if many {
                    origins.settle();
                }
            }),
        ];
        threads::all(many, jobs);
    }

    /// The root of these views, by the names of their workloads. All that was made for it is put together.
    pub(crate) fn root(&mut self, views: BTreeMap<Text, Digest>) -> Digest {
        self.join_all();
        let views = self.objects.insert_map(views);
        let authority = self.authority();
        let base = self.base.as_ref().filter(|_| self.base_is_used).map(|base| base.0);
        self.objects.insert(&Root { mesh: self.mesh_link, views, authority, base }).digest
    }

    /// Who may have a certificate: every service account that is declared or that a workload runs as.
    fn authority(&mut self) -> Link<Authority> {
        let declared = self.mesh.service_accounts.iter().cloned();
        let running = self.mesh.workloads.iter().map(|it| (it.namespace.clone(), it.service_account.clone()));
        let entries =
            self.mesh.entries.iter().filter_map(|entry| {
                Some((entry.namespace().clone(), entry.spec.service_account.as_ref()?.value.clone()))
            });
        let all: BTreeSet<(Text, Text)> = declared.chain(running).chain(entries).collect();
        let identities = all.into_iter().map(|(namespace, name)| format!("{namespace}/{name}").into()).collect();
        self.objects.insert(&Authority { trust_domain: self.mesh.settings.trust_domain.clone(), identities })
    }
}

#[cfg(test)]
mod tests {
    use taut_source::{SourceFile, SourceSet};

    use crate::{Options, compile};

    #[test]
    fn whoever_reads_a_snapshot_believes_it_also_where_nobody_knows_what_everybody_would() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n";
        let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: a}}\nspec: {containers: [{name: a}]}\n";
        let gateway = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: shop}\nspec: {selector: {app: a}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n";
        for rest in ["", pod, &format!("{pod}{gateway}")] {
            let sources = SourceSet::new(vec![SourceFile::new("a.yaml", format!("{service}{rest}").as_bytes())]);
            let compiled = compile(&sources, &Options::default());
            let snapshot = compiled.snapshot.unwrap_or_else(|| panic!("{:?}", compiled.problems));
            assert_eq!(snapshot.verify(), Ok(()), "{rest}");
        }
    }
}
