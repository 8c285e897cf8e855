//! Views: what each workload runs.

use std::collections::BTreeMap;

use taut_model::{
    Client, Imports, LabelSet, Leading, Mode, ModeOf, Of, Protocol, Who, Workload, leading_to, mode_of, sidecar_of,
};
use taut_resources::{OutboundMode, Sidecar};
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{Egress, EgressPort, Inbound, MtlsMode, PortMode, Target, View};
use taut_snapshot::{Digest, Text};

use super::Lowering;
use super::cluster::protocol;
use super::route::Portless;
use crate::origins::Source;
use taut_source::threads;

/// A workload that a view is made for: one that is declared, or one that somebody only describes.
pub(crate) struct Subject<'w> {
    pub(crate) who: Who<'w>,
    pub(crate) name: Text,
    pub(crate) service_account: Text,
    pub(crate) gateway: bool,
}

impl<'r> Lowering<'_, 'r> {
    /// The views of all workloads in the mesh, by `namespace/name`.
    pub(super) fn views(&mut self) -> BTreeMap<Text, Digest> {
        let workloads: Vec<_> = self.mesh.workloads.iter().filter(|workload| workload.meshed).collect();
        self.prepare();
        // Those without a name yet cannot be told apart.
        let named = self.mesh.sidecars.iter().all(|sidecar| !sidecar.name().is_empty());
        if self.shares.is_some() && named && self.is_the_same_for_everybody() {
            self.prepare_imported(&workloads);
        }
        let this = &*self;
        let made = threads::fold(
            &workloads.chunks(64).collect::<Vec<_>>(),
            || (this.fork(), Vec::new()),
            |(lowering, views), some| {
                let view = |workload: &&Workload<'_>| {
                    (
                        format!("{}/{}", workload.namespace, workload.name).into(),
                        lowering.unit(true, |unit| unit.view(workload)),
                    )
                };
                views.extend(some.iter().map(view));
            },
        );
        let mut views = BTreeMap::new();
        for (lowering, of_some) in made {
            self.join_later(lowering);
            views.extend(of_some);
        }
        views
    }

    pub(super) fn view(&mut self, workload: &Workload<'_>) -> Digest {
        let who =
            Who { namespace: &workload.namespace, labels: &workload.labels, ports: &workload.ports, addresses: &[] };
        let subject = Subject {
            who,
            name: workload.name.clone(),
            service_account: workload.service_account.clone(),
            gateway: workload.gateway,
        };
        let link = self.view_of(&subject);
        self.origins.add(link.digest, [Source::new(0, workload.resource, workload.resource.span)]);
        link.digest
    }

    /// The view of a workload.
    pub(crate) fn view_of(&mut self, subject: &Subject<'_>) -> Link<View> {
        let Who { namespace, labels, .. } = subject.who;
        let modes = mode_of(self.mesh, namespace, labels);
        let leading = leading_to(self.mesh, subject.who);
        let mut view = View {
            namespace: namespace.clone(),
            name: subject.name.clone(),
            labels: labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            service_account: subject.service_account.clone(),
            gateway: subject.gateway,
            mesh: self.mesh_link,
            layers: Vec::new(),
            inbound: Vec::new(),
            other_ports: mode(modes.workload),
            policies: self.policies(namespace, labels),
            tokens: self.tokens(namespace, labels),
            telemetry: self.telemetry(namespace, labels),
            listeners: Vec::new(),
            egress: None,
            egress_ports: Vec::new(),
            port_modes: Vec::new(),
            has_base: false,
        };
        if subject.gateway {
            // A gateway sends by its listeners' rules alone, which name their clusters.
            view.listeners = self.listeners(namespace, labels, &leading);
            return self.objects.insert(&view);
        }
        view.inbound = inbound(subject.who, &leading, &modes);
        match sidecar_of(self.mesh, namespace, labels) {
            None => self.know_everything(namespace, labels, &mut view),
            Some(sidecar) => self.obey(sidecar, subject.who, &modes, &mut view),
        }
        let known = |port: &u16| view.inbound.iter().any(|inbound| inbound.port == *port);
        let others = modes.ports().filter(|port| !known(port));
        view.port_modes = others.map(|port| PortMode { port, mtls: mode(modes.port(port)) }).collect();
        view.port_modes.sort();
        self.objects.insert(&view)
    }

    /// A workload that knows all services: what is its namespace's and its own before what everybody has.
    fn know_everything(&mut self, namespace: &Text, labels: &LabelSet, view: &mut View) {
        view.layers = self.layers(namespace, labels);
        view.has_base = true;
        self.base_is_used = true;
    }

    /// What a Sidecar changes of a view (semantics.md §7).
    fn obey(&mut self, sidecar: Of<'_, Sidecar>, who: Who<'_>, modes: &ModeOf<'_>, view: &mut View) {
        let place: Text = format!("{}/{}", sidecar.namespace(), sidecar.name()).into();
        if sidecar.spec.egress.is_empty() {
            self.know_everything(who.namespace, who.labels, view);
        }
        for (at, listener) in sidecar.spec.egress.iter().enumerate() {
            let imports = Imports::of(listener, who.namespace);
            let layer = self.imported(imports, (place.clone(), at), who.namespace, who.labels);
            let Some(port) = &listener.port else {
                (view.layers, view.has_base) = (vec![layer], false);
                continue;
            };
            let written = port.protocol.as_ref().map_or("", |protocol| protocol.as_str());
            let speaks = Protocol::parse(written).unwrap_or(Protocol::Auto);
            view.egress_ports.push(EgressPort {
                port: port.number.map_or(0, |number| number.value.0),
                protocol: protocol(speaks),
                bind: listener.bind.as_ref().map(|bind| bind.value.clone()).unwrap_or_default(),
                layers: vec![layer],
                any_port: speaks == Protocol::HttpProxy,
            });
        }
        if let Some(policy) = &sidecar.spec.outbound_traffic_policy {
            // An empty one means REGISTRY_ONLY, though a missing one does not (the trap of §7.1).
            let registry_only = policy.mode.is_none_or(|mode| mode.value == OutboundMode::RegistryOnly);
            let proxy = policy.egress_proxy.as_ref().and_then(|to| {
                let client = Client { namespace: who.namespace, labels: who.labels, gateway: "mesh" };
                let mut clusters = Vec::new();
                match self.target(sidecar.namespace(), to, &client, Portless::Only(0), &mut clusters) {
                    Target::Cluster(to) => Some((*clusters.get(to.set as usize)?, to.subset)),
                    Target::Missing(_) => None,
                }
            });
            let (through, subset) = proxy.map_or((None, Text::default()), |(link, subset)| (Some(link), subset));
            view.egress = Some(Egress { registry_only, through, subset });
        }
        if !sidecar.spec.ingress.is_empty() {
            let ports = sidecar.spec.ingress.iter().map(|ingress| {
                let port = ingress.port.number.map_or(0, |number| number.value.0);
                let written = ingress.port.protocol.as_ref().map_or("", |protocol| protocol.as_str());
                Inbound {
                    port,
                    name: ingress.port.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
                    protocol: protocol(Protocol::parse(written).unwrap_or(Protocol::Auto)),
                    mtls: mode(modes.port(port)),
                    service: Text::default(),
                    service_namespace: Text::default(),
                    endpoint: ingress.default_endpoint.as_ref().map(|it| behind(&it.value)).unwrap_or_default(),
                }
            });
            view.inbound = ports.collect();
            view.inbound.sort();
        }
    }
}

/// The ports that services lead to. Of two services for one port, the older says what it speaks.
fn inbound(who: Who<'_>, leading: &[Leading<'_, '_>], modes: &ModeOf<'_>) -> Vec<Inbound> {
    let mut ports: BTreeMap<u16, Inbound> = BTreeMap::new();
    for Leading { service, port, number } in leading.iter().filter(|it| it.port.protocol != Protocol::Udp) {
        let named = who.ports.iter().find(|(known, _)| known == number).and_then(|(_, name)| name.clone());
        ports.entry(*number).or_insert_with(|| Inbound {
            port: *number,
            name: named.unwrap_or_default(),
            protocol: protocol(port.protocol),
            mtls: mode(modes.port(*number)),
            service: service.host.clone(),
            service_namespace: service.namespace.clone(),
            endpoint: Text::default(),
        });
    }
    ports.into_values().collect()
}

/// The address of an application; `:80` is one of the workload's own.
fn behind(written: &str) -> Text {
    if written.starts_with(':') { format!("0.0.0.0{written}").into() } else { written.into() }
}

fn mode(mode: Mode) -> MtlsMode {
    match mode {
        Mode::Disable => MtlsMode::Disable,
        Mode::Permissive => MtlsMode::Permissive,
        Mode::Strict => MtlsMode::Strict,
    }
}
