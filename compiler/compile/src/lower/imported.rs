//! The layers that Sidecars make: what each egress listener lets the workloads of a namespace know (semantics.md §7).
//!
//! Where units are told apart, every host of every such layer is one of its own: an edit then changes the entries of its
//! hosts in the layers that know them, and the views that have these layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use taut_model::{Client, Host, Imports, LabelSet, Mesh, Workload, covers, sidecar_of};
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::Layer;
use taut_snapshot::{Digest, Text};
use taut_source::threads;

use super::Lowering;

/// An egress listener of a Sidecar, as workloads of one namespace have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerName {
    /// `namespace/name` of the Sidecar.
    pub(crate) sidecar: Text,
    /// The number of the listener.
    pub(crate) listener: usize,
    /// The namespace of the workloads.
    pub(crate) namespace: Text,
}

/// The layers of Sidecars.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// What each is now.
    pub(crate) links: Arc<BTreeMap<LayerName, Link<Layer>>>,
    /// The views that have it, `namespace/name`.
    pub(crate) users: BTreeMap<LayerName, Vec<Text>>,
    /// The layers that a view has.
    pub(crate) of_view: BTreeMap<Text, Vec<LayerName>>,
}

impl LayerName {
    /// What the listener lets the workloads know; none if the mesh does not have it.
    pub(super) fn imports(&self, mesh: &Mesh<'_>) -> Option<Imports> {
        let (namespace, name) = self.sidecar.split_once('/')?;
        let sidecar =
            mesh.sidecars.iter().find(|it| it.namespace().as_str() == namespace && it.name().as_str() == name)?;
        Some(Imports::of(sidecar.spec.egress.get(self.listener)?, &self.namespace))
    }
}

/// The layers that a workload has of its Sidecar, and whether it has what everybody has too.
fn layers_of(mesh: &Mesh<'_>, workload: &Workload<'_>) -> (Vec<LayerName>, bool) {
    if workload.gateway {
        return (Vec::new(), false);
    }
    let Some(sidecar) = sidecar_of(mesh, &workload.namespace, &workload.labels) else { return (Vec::new(), true) };
    let place: Text = format!("{}/{}", sidecar.namespace(), sidecar.name()).into();
    let name = |listener| LayerName { sidecar: place.clone(), listener, namespace: workload.namespace.clone() };
    ((0..sidecar.spec.egress.len()).map(name).collect(), sidecar.spec.egress.is_empty())
}

impl Lowering<'_, '_> {
    /// Whether some workload has what everybody has.
    pub(super) fn uses_base(&self) -> bool {
        self.mesh.workloads.iter().any(|it| it.meshed && layers_of(self.mesh, it).1)
    }

    /// Makes the layers of all Sidecars, each host a unit.
    pub(super) fn prepare_imported(&mut self, workloads: &[&Workload<'_>]) {
        let mut layers = Layers::default();
        for workload in workloads {
            let (names, _) = layers_of(self.mesh, workload);
            if names.is_empty() {
                continue;
            }
            let view: Text = format!("{}/{}", workload.namespace, workload.name).into();
            for name in &names {
                layers.users.entry(name.clone()).or_default().push(view.clone());
            }
            layers.of_view.insert(view, names);
        }
        let named: Vec<(&LayerName, Imports)> =
            layers.users.keys().filter_map(|name| Some((name, name.imports(self.mesh)?))).collect();
        let hosts = self.hosts();
        let this = &*self;
        let made = threads::fold(
            &named,
            || (this.fork(), BTreeMap::new()),
            |(lowering, links), (name, imports)| {
                let mut entries = BTreeMap::new();
                for host in hosts.iter() {
                    if !lowering.may_know(imports, host) {
                        continue;
                    }
                    let digest = lowering.unit(true, |unit| unit.imported_service(host, imports, &name.namespace));
                    entries.extend(digest.map(|digest| (host.clone(), digest)));
                }
                links.insert((*name).clone(), lowering.layer(entries));
            },
        );
        let mut links = BTreeMap::new();
        for (lowering, of_some) in made {
            self.join_later(lowering);
            links.extend(of_some);
        }
        layers.links = Arc::new(links);
        self.known_layers = Some(layers.links.clone());
        self.layers_of_sidecars = layers;
    }

    /// Whether a host may mean something to whoever knows these alone: of any other it is clear without a look.
    pub(super) fn may_know(&self, imports: &Imports, host: &Host) -> bool {
        let mesh = self.mesh;
        let exact = mesh.routings_of(host).iter();
        let wild = mesh.wildcard_routings().iter().filter(|(wide, _)| covers(wide, host)).map(|(_, number)| number);
        mesh.services_of(host).iter().any(|id| imports.admits(mesh.service(*id)))
            || exact.chain(wild).any(|number| imports.admits_rules(&mesh.routings[*number]))
    }

    /// What a host means to whoever knows these alone.
    pub(super) fn imported_service(&mut self, host: &Host, imports: &Imports, namespace: &Text) -> Option<Digest> {
        self.imports = Some(imports.clone());
        let nobody = LabelSet::new();
        let digest = self.service(host, &Client { namespace, labels: &nobody, gateway: "mesh" });
        self.imports = None;
        digest
    }
}
