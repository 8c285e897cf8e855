//! Resources become a mesh: names in full, every kind in its order, and the indexes.
//!
//! Owns: what of it is done at once where there is much of it.
//! Invariant: the mesh does not depend on how many threads there are.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use taut_resources::{Resource, Spec, VirtualService};
use taut_source::threads::{self, Job, MANY};

use super::{Mesh, MeshWide, Of, Routing, Selecting, Traffic, entry_labels, seniority};
use crate::delegate::{Beyond, Rule, RuleOf, continue_rules};
use crate::gateway::{Entrance, is_run_by};
use crate::gateway_api::{Converted, MadeRouting};
use crate::inventory::Inventory;
use crate::labels::HashMap;
use crate::pod::{Pods, injection_is_said};
use crate::selection::Numbers;
use crate::{
    Host, Service, ServiceId, Settings, Text, Visibility, Workload, WorkloadId, expand, gateway_name, is_wildcard,
};

/// How many resources a thread takes at once.
const SHARE: usize = 1024;

/// Resolves the names of all resources. `converted` is what [`crate::convert`] made of the same ones.
#[must_use]
pub fn resolve<'r>(
    resources: &'r [impl Borrow<Resource>],
    converted: &'r Converted,
    settings: Settings,
    wide: MeshWide<'r>,
) -> Mesh<'r> {
    let resources: Vec<&Resource> = resources.iter().map(Borrow::borrow).collect();
    let mut mesh = begin(&resources, settings, wide);
    mesh.add_made(&resources, converted);
    mesh.order();
    mesh.injection_is_said = injection_is_said(&mesh.namespaces, &mesh.pods);
    mesh.enter(&resources, converted);
    mesh.index();
    mesh.mark_gateways();
    mesh
}

/// What is to be known of a mesh where only a part of it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The names of all namespaces.
    pub namespaces: BTreeSet<Text>,
    /// Whether anything in the sources says who gets a proxy.
    pub injection_is_said: bool,
}

/// Resolves the names of a part of the resources of a mesh. `converted` is what [`crate::convert_among`] made of it.
#[must_use]
pub fn resolve_part<'r>(
    part: &[&'r Resource],
    converted: &'r Converted,
    whole: &Whole,
    settings: Settings,
    wide: MeshWide<'r>,
) -> Mesh<'r> {
    let mut mesh = begin(part, settings, wide);
    for namespace in &whole.namespaces {
        mesh.namespaces.entry(namespace.clone()).or_insert(None);
    }
    mesh.injection_is_said = whole.injection_is_said;
    mesh.add_made(part, converted);
    mesh.order();
    mesh.enter(part, converted);
    mesh.index();
    mesh.mark_gateways();
    mesh
}

/// A mesh with its resources, not yet in order.
fn begin<'r>(resources: &[&'r Resource], settings: Settings, wide: MeshWide<'r>) -> Mesh<'r> {
    let inventory = Inventory::of(resources);
    let mut mesh = Mesh::empty(settings, wide);
    if resources.len() < MANY {
        inventory.all.iter().for_each(|resource| mesh.add(resource));
    } else {
        let shares: Vec<&[&'r Resource]> = inventory.all.chunks(SHARE).collect();
        let parts = threads::each(&shares, |some| {
            let mut part = Mesh::empty(mesh.settings.clone(), wide);
            some.iter().for_each(|resource| part.add(resource));
            part
        });
        mesh.absorb(parts);
    }
    mesh.inventory = inventory;
    mesh
}

impl<'r> Mesh<'r> {
    fn empty(settings: Settings, wide: MeshWide<'r>) -> Mesh<'r> {
        Mesh {
            settings,
            wide,
            pods: Pods::default(),
            inventory: Inventory::default(),
            injection_is_said: false,
            namespaces: BTreeMap::new(),
            services: Vec::new(),
            workloads: Vec::new(),
            routings: Vec::new(),
            traffic: Vec::new(),
            gateways: Vec::new(),
            entrances: Vec::new(),
            statuses: Vec::new(),
            not_run: Vec::new(),
            broken: Vec::new(),
            unused: Vec::new(),
            shadowed: Vec::new(),
            peer_authentications: Vec::new(),
            authorization_policies: Vec::new(),
            sidecars: Vec::new(),
            request_authentications: Vec::new(),
            secrets: BTreeMap::new(),
            slices: Vec::new(),
            entries: Vec::new(),
            service_accounts: BTreeSet::new(),
            by_host: HashMap::default(),
            routings_by_host: HashMap::default(),
            wildcard_routings: Vec::new(),
            traffic_by_host: HashMap::default(),
            wildcard_traffic: Vec::new(),
            workloads_by_namespace: HashMap::default(),
            services_by_namespace: HashMap::default(),
            peers_by_namespace: HashMap::default(),
            destinations: OnceLock::new(),
            behind_several: OnceLock::new(),
            selecting: Selecting::default(),
            workloads_by_label: Numbers::default(),
            entries_by_label: Numbers::default(),
        }
    }

    /// Adds what others hold, each after what came before.
    fn absorb(&mut self, mut others: Vec<Mesh<'r>>) {
        macro_rules! append {
            ($($list:ident),*) => {$(
                // All at once: a list that grows takes up to twice what it needs.
                self.$list.reserve_exact(others.iter().map(|other| other.$list.len()).sum());
                others.iter_mut().for_each(|other| self.$list.append(&mut other.$list));
            )*};
        }
        append!(services, workloads, routings, traffic, gateways, peer_authentications, authorization_policies);
        append!(sidecars, request_authentications, slices, entries);
        for mut other in others {
            for (name, labels) in std::mem::take(&mut other.namespaces) {
                let known = self.namespaces.entry(name).or_default();
                *known = labels.or(*known);
            }
            self.secrets.append(&mut other.secrets);
            self.service_accounts.append(&mut other.service_accounts);
        }
    }

    /// Lets go of what only checks look at: what the mesh becomes has the room.
    pub fn after_checks(&mut self) {
        self.pods = Pods::default();
        self.destinations = OnceLock::new();
        self.behind_several = OnceLock::new();
    }

    /// Whether anything in its own resources says who gets a proxy.
    #[must_use]
    pub fn part_says_injection(&self) -> bool {
        injection_is_said(&self.namespaces, &self.pods)
    }

    /// What a part of it has to know.
    #[must_use]
    pub fn whole(&self) -> Whole {
        Whole { namespaces: self.namespaces.keys().cloned().collect(), injection_is_said: self.injection_is_said }
    }

    fn add(&mut self, resource: &'r Resource) {
        let namespace = resource.subject.namespace.clone();
        if let Some(namespace) = namespace.as_ref().filter(|namespace| !self.namespaces.contains_key(*namespace)) {
            self.namespaces.insert(namespace.clone(), None);
        }
        let namespace = namespace.unwrap_or_default();
        match &resource.spec {
            Spec::Namespace(_) => {
                self.namespaces.insert(resource.subject.name.clone(), Some(&resource.meta.labels));
            }
            Spec::Service(_) | Spec::ServiceEntry(_) | Spec::InferencePool(_) => {
                self.services.extend(Service::of(resource, &self.settings));
            }
            Spec::ServiceAccount(_) => {
                self.service_accounts.insert((namespace, resource.subject.name.clone()));
            }
            Spec::Workload(_) => self.workloads.extend(Workload::of(resource)),
            Spec::Secret(spec) => {
                self.secrets.insert((namespace, resource.subject.name.clone()), Of { resource, spec });
            }
            Spec::EndpointSlice(spec) => self.slices.push(Of { resource, spec }),
            Spec::WorkloadEntry(spec) => self.entries.push(Of { resource, spec }),
            Spec::VirtualService(spec) => self.routings.push(routing(Of { resource, spec }, &self.settings)),
            Spec::DestinationRule(spec) => self.traffic.push(Traffic {
                of: Of { resource, spec },
                host: expand(&spec.host, &namespace, &self.settings),
                visibility: Visibility::of_list(&spec.export_to, &namespace, &self.settings.destination_rule_export_to),
                made: false,
            }),
            Spec::Gateway(spec) => self.gateways.push(Of { resource, spec }),
            Spec::PeerAuthentication(spec) => self.peer_authentications.push(Of { resource, spec }),
            Spec::Sidecar(spec) => self.sidecars.push(Of { resource, spec }),
            Spec::RequestAuthentication(spec) => self.request_authentications.push(Of { resource, spec }),
            Spec::AuthorizationPolicy(spec) => self.authorization_policies.push(Of { resource, spec }),
            // The rest is refused by name where it was read, or is there to be looked at by single rules.
            _ => {}
        }
    }

    /// What was made of the Gateway API stands beside what was written.
    fn add_made(&mut self, resources: &[&'r Resource], converted: &'r Converted) {
        self.routings.extend(converted.routings.iter().map(|made| made_routing(resources, made)));
        self.traffic.extend(converted.traffic.iter().map(|made| Traffic {
            of: Of { resource: resources[made.resource], spec: &made.spec },
            host: made.host.clone(),
            visibility: Visibility::Public,
            made: true,
        }));
        self.statuses = converted.statuses.iter().map(|status| (resources[status.resource], status)).collect();
        self.not_run = converted.not_run.iter().map(|(number, span)| (resources[*number], *span)).collect();
        self.broken = converted.broken.iter().map(|broken| (resources[broken.resource], broken)).collect();
        let unused = converted.unused.iter();
        self.unused = unused.map(|(number, span, why)| (resources[*number], *span, why.as_str())).collect();
    }

    /// Gateways that were written come before those that were made: of those each has its own names anyway.
    fn enter(&mut self, resources: &[&'r Resource], converted: &'r Converted) {
        self.entrances = self.gateways.iter().map(|of| Entrance::written(*of)).collect();
        let made = converted.gateways.iter().map(|made| Entrance {
            of: Of { resource: resources[made.resource], spec: &made.spec },
            name: made.name.clone(),
            run_by: Some(&made.run_by),
            client_certificate: made.client_certificate.as_ref(),
        });
        self.entrances.extend(made);
    }

    /// Puts every kind in its order, and looks at the pods.
    fn order(&mut self) {
        self.gateways.sort_by_cached_key(Of::seniority);
        self.peer_authentications.sort_by_cached_key(Of::seniority);
        self.sidecars.sort_by_cached_key(Of::seniority);
        self.request_authentications.sort_by_cached_key(Of::seniority);
        self.slices.sort_by_cached_key(Of::seniority);
        self.entries.sort_by_cached_key(Of::seniority);
        let many = MANY <= self.inventory.all.len();
        if self.services.iter().any(Service::is_pool) {
            // A Service that somebody wrote under the name of a pool's is left as it is.
            let written = self.services.iter().filter(|service| service.kubernetes && !service.is_pool());
            let written: BTreeSet<Host> = written.map(|service| service.host.clone()).collect();
            self.services.retain(|service| !service.is_pool() || !written.contains(&service.host));
        }
        let Mesh { workloads, shadowed, pods, services, routings, traffic, authorization_policies, .. } = self;
        let (inventory, settle) = (&self.inventory, || settle(workloads, shadowed));
        threads::all(
            many,
            vec![
                Box::new(|| *pods = Pods::of(&inventory.all)),
                Box::new(settle),
                Box::new(|| routings.sort_by_cached_key(|routing| routing.of.seniority())),
                // What was made of a policy fills what rules leave open: it comes last.
                Box::new(|| traffic.sort_by_cached_key(|traffic| (traffic.made, traffic.of.seniority()))),
                Box::new(|| authorization_policies.sort_by_cached_key(Of::seniority)),
                Box::new(|| services.sort_by_cached_key(|service| (!service.kubernetes, seniority(service.resource)))),
            ],
        );
    }

    fn index(&mut self) {
        continue_rules(&mut self.routings);
        for (at, policy) in self.peer_authentications.iter().enumerate() {
            let labels = policy.spec.selector.as_ref().map(|selector| &selector.match_labels);
            self.selecting.peers.add_selecting(policy.namespace(), labels, at);
            self.peers_by_namespace.entry(policy.namespace().clone()).or_default().push(at);
        }
        for (at, authentication) in self.request_authentications.iter().enumerate() {
            self.selecting.authentications.add_attached(authentication.namespace(), authentication.spec, at);
        }
        for (at, sidecar) in self.sidecars.iter().enumerate() {
            let labels = sidecar.spec.workload_selector.as_ref().map(|selector| &selector.labels);
            self.selecting.sidecars.add_selecting(sidecar.namespace(), labels, at);
        }
        for (at, entry) in self.entries.iter().enumerate() {
            self.entries_by_label.add_selected(entry.namespace(), &entry_labels(entry), at);
        }
        let Mesh { by_host, services_by_namespace, workloads_by_namespace, workloads_by_label, .. } = self;
        let Mesh { routings_by_host, wildcard_routings, traffic_by_host, wildcard_traffic, .. } = self;
        let Selecting { services: selecting_services, policies: selecting_policies, .. } = &mut self.selecting;
        let services = || {
            for (at, service) in self.services.iter().enumerate() {
                let id = ServiceId(number(at));
                by_host.entry(service.host.clone()).or_default().push(id);
                services_by_namespace.entry(service.namespace.clone()).or_default().push(id);
                if let crate::EndpointKind::Selector(selector) = service.endpoints {
                    selecting_services.add_selecting(&service.namespace, Some(selector), at);
                }
            }
        };
        let policies = || {
            for (at, policy) in self.authorization_policies.iter().enumerate() {
                selecting_policies.add_attached(policy.namespace(), policy.spec, at);
            }
        };
        let workloads = || {
            for (at, workload) in self.workloads.iter().enumerate() {
                workloads_by_namespace.entry(workload.namespace.clone()).or_default().push(WorkloadId(number(at)));
                workloads_by_label.add_selected(&workload.namespace, &workload.labels, at);
            }
        };
        let routings = || {
            for (at, routing) in self.routings.iter().enumerate() {
                for host in &routing.hosts {
                    if is_wildcard(host) {
                        wildcard_routings.push((host.clone(), at));
                    } else {
                        routings_by_host.entry(host.clone()).or_default().push(at);
                    }
                }
            }
        };
        let traffic = || {
            for (at, traffic) in self.traffic.iter().enumerate() {
                if is_wildcard(&traffic.host) {
                    wildcard_traffic.push((traffic.host.clone(), at));
                } else {
                    traffic_by_host.entry(traffic.host.clone()).or_default().push(at);
                }
            }
        };
        let jobs: Vec<Job<'_>> =
            vec![Box::new(workloads), Box::new(services), Box::new(routings), Box::new(traffic), Box::new(policies)];
        threads::all(MANY <= self.inventory.all.len(), jobs);
    }

    /// A workload that some Gateway picks by labels is a gateway.
    fn mark_gateways(&mut self) {
        for entrance in self.entrances.iter().filter(|it| it.run_by.is_some() || !it.of.spec.selector.is_empty()) {
            let services: Vec<&Service<'r>> = entrance.services(&self.by_host, &self.services);
            for workload in &mut self.workloads {
                workload.gateway |= is_run_by(entrance, &services, &workload.namespace, &workload.labels);
            }
        }
    }
}

/// Of workloads with one name one counts, and those that another one makes do not.
fn settle<'r>(workloads: &mut Vec<Workload<'r>>, shadowed: &mut Vec<(&'r Resource, &'r Resource)>) {
    if workloads.iter().any(|workload| !workload.resource.meta.owner_references.is_empty()) {
        let declared: BTreeSet<_> = workloads.iter().map(Workload::declared).collect();
        workloads.retain(|workload| !workload.is_made_by(&declared));
    }
    workloads.sort_by(|a, b| (&a.namespace, &a.name, a.rank()).cmp(&(&b.namespace, &b.name, b.rank())));
    workloads.dedup_by(|later, kept| {
        let same = (&later.namespace, &later.name) == (&kept.namespace, &kept.name);
        shadowed.extend(same.then_some((later.resource, kept.resource)));
        same
    });
}

fn routing<'r>(of: Of<'r, VirtualService>, settings: &Settings) -> Routing<'r> {
    let namespace = of.namespace();
    let mut gateways: Vec<Text> = of.spec.gateways.iter().map(|name| gateway_name(name, namespace)).collect();
    if gateways.is_empty() {
        gateways = vec!["mesh".into()];
    }
    gateways.sort_unstable();
    gateways.dedup();
    Routing {
        hosts: of.spec.hosts.iter().map(|host| expand(host, namespace, settings)).collect(),
        visibility: Visibility::of_list(&of.spec.export_to, namespace, &settings.virtual_service_export_to),
        gateways,
        http: of
            .spec
            .http
            .iter()
            .map(|rule| RuleOf { rule: Rule::Written(rule), of, beyond: Beyond::default() })
            .collect(),
        of,
        made: false,
    }
}

fn made_routing<'r>(resources: &[&'r Resource], made: &'r MadeRouting) -> Routing<'r> {
    let of = |number: usize| Of { resource: resources[number], spec: &made.spec };
    // Those of Ingresses have a destination that does not exist answer as any virtual service does.
    let gateway_api = !matches!(resources[made.resource].spec, Spec::Ingress(_));
    let rules = made.spec.http.iter().zip(&made.rules);
    Routing {
        of: of(made.resource),
        hosts: made.hosts.clone(),
        http: rules
            .map(|(rule, (owner, full_path))| RuleOf {
                rule: Rule::Written(rule),
                of: of(*owner),
                beyond: Beyond { gateway_api, full_path: full_path.as_ref() },
            })
            .collect(),
        visibility: made.only_for.as_ref().map_or(Visibility::Public, |only| Visibility::Only([only.clone()].into())),
        gateways: vec![made.gateway.clone()],
        made: true,
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a mesh has fewer than 2^32 resources")
}
