//! The whole mesh with its indexes: what every other question starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use taut_resources::{
    AuthorizationPolicy, DestinationRule, EndpointSlice, Gateway, Labels, MeshConfig, MeshNetworks, PeerAuthentication,
    RequestAuthentication, Resource, Secret, Sidecar, Spec, VirtualService, WorkloadEntry,
};
use taut_source::{FileId, Place};

use crate::attachment::Attached as _;
use crate::check::Destined;
use crate::delegate::{RuleOf, continue_rules};
use crate::gateway::{Entrance, is_run_by};
use crate::gateway_api::{Broken, Converted, Status};
use crate::inventory::Inventory;
use crate::labels::{HashMap, LabelSet};
use crate::pod::{Pods, injection_is_said};
use crate::selection::Numbers;
use crate::{Host, Service, ServiceId, Settings, Text, Visibility, Workload, WorkloadId, expand, is_wildcard, selects};

/// A resource of one kind.
#[derive(Debug)]
pub struct Of<'r, T> {
    /// Its envelope.
    pub resource: &'r Resource,
    /// What it says.
    pub spec: &'r T,
}

impl<T> Clone for Of<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Of<'_, T> {}

impl<'r, T> Of<'r, T> {
    /// Its namespace; empty if it has none.
    #[must_use]
    pub fn namespace(&self) -> &'r Text {
        const NONE: &Text = &Text::new_static("");
        self.resource.subject.namespace.as_ref().unwrap_or(NONE)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'r Text {
        &self.resource.subject.name
    }

    /// A place in its file.
    #[must_use]
    pub fn at(&self, span: taut_source::Span) -> Place {
        Place { file: self.resource.file, span }
    }

    /// What decides between objects that claim one place: age where the file says it, then name, then namespace
    /// (semantics.md §1.6).
    #[must_use]
    pub fn seniority(&self) -> (&'r str, &'r Text, &'r Text) {
        let created = self.resource.meta.creation_timestamp.as_ref().map_or("", |time| time.value.as_str());
        (created, self.name(), self.namespace())
    }
}

/// A virtual service with its hosts in full.
#[derive(Debug)]
pub struct Routing<'r> {
    /// The resource.
    pub of: Of<'r, VirtualService>,
    /// Its hosts, in full.
    pub hosts: Vec<Host>,
    /// Its rules, with those of its delegates in their places.
    pub http: Vec<RuleOf<'r>>,
    /// Who may use it.
    pub visibility: Visibility,
    /// The gateways that use it, as `namespace/name` or `mesh`.
    pub gateways: BTreeSet<Text>,
    /// Whether it was made of routes of the Gateway API or of Ingresses, and not written as it is.
    pub made: bool,
}

/// A destination rule with its host in full.
#[derive(Debug)]
pub struct Traffic<'r> {
    /// The resource.
    pub of: Of<'r, DestinationRule>,
    /// Its host, in full.
    pub host: Host,
    /// Who may use it.
    pub visibility: Visibility,
    /// Whether it was made of a policy of the Gateway API.
    pub made: bool,
}

/// What a mesh is told beside its resources, each with the file it stands in.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeshWide<'r> {
    /// MeshConfig.
    pub config: Option<(FileId, &'r MeshConfig)>,
    /// MeshNetworks.
    pub networks: Option<(FileId, &'r MeshNetworks)>,
    /// The time, in seconds since 1970, for whoever asks what is wrong today. None asks what is wrong at any time.
    pub now_s: Option<i64>,
}

/// The mesh.
#[derive(Debug)]
pub struct Mesh<'r> {
    /// What holds for all of it.
    pub settings: Settings,
    /// What it is told beside its resources.
    pub wide: MeshWide<'r>,
    /// Every resource, by kind.
    pub inventory: Inventory<'r>,
    /// Every pod and class of pods.
    pub pods: Pods<'r>,
    /// Whether anything in the sources says who gets a proxy.
    pub injection_is_said: bool,
    /// Every namespace that is declared, or that something lives in; labels where they are known.
    pub namespaces: BTreeMap<Text, Option<&'r Labels>>,
    /// Every service, Kubernetes' before entries, each by seniority.
    pub services: Vec<Service<'r>>,
    /// Every workload, by namespace and name.
    pub workloads: Vec<Workload<'r>>,
    /// Workloads that have the name of another one, and that other, which counts.
    pub shadowed: Vec<(&'r Resource, &'r Resource)>,
    /// Every virtual service, by seniority.
    pub routings: Vec<Routing<'r>>,
    /// Every destination rule, by seniority.
    pub traffic: Vec<Traffic<'r>>,
    /// Every gateway that was written, by seniority.
    pub gateways: Vec<Of<'r, Gateway>>,
    /// Every gateway, those that were made of the Gateway API and of Ingresses included.
    pub entrances: Vec<Entrance<'r>>,
    /// What a controller would report of objects of the Gateway API.
    pub statuses: Vec<(&'r Resource, &'r Status)>,
    /// Gateways of classes that are not run, and where they name them.
    pub not_run: Vec<(&'r Resource, taut_source::Span)>,
    /// References of routes that lead nowhere.
    pub broken: Vec<(&'r Resource, &'r Broken)>,
    /// Parts of objects that do nothing: where, and why.
    pub unused: Vec<(&'r Resource, taut_source::Span, &'r str)>,
    /// Every peer authentication, by seniority.
    pub peer_authentications: Vec<Of<'r, PeerAuthentication>>,
    /// Every authorization policy, by seniority.
    pub authorization_policies: Vec<Of<'r, AuthorizationPolicy>>,
    /// Every sidecar, by seniority.
    pub sidecars: Vec<Of<'r, Sidecar>>,
    /// Every request authentication, by seniority.
    pub request_authentications: Vec<Of<'r, RequestAuthentication>>,
    /// Secrets by namespace and name.
    pub secrets: BTreeMap<(Text, Text), Of<'r, Secret>>,
    /// Endpoint slices.
    pub slices: Vec<Of<'r, EndpointSlice>>,
    /// Workload entries.
    pub entries: Vec<Of<'r, WorkloadEntry>>,
    /// Service accounts that are declared: namespace and name.
    pub service_accounts: BTreeSet<(Text, Text)>,
    by_host: HashMap<Host, Vec<ServiceId>>,
    routings_by_host: HashMap<Host, Vec<usize>>,
    wildcard_routings: Vec<(Host, usize)>,
    traffic_by_host: HashMap<Host, Vec<usize>>,
    wildcard_traffic: Vec<(Host, usize)>,
    workloads_by_namespace: HashMap<Text, Vec<WorkloadId>>,
    services_by_namespace: HashMap<Text, Vec<ServiceId>>,
    peers_by_namespace: HashMap<Text, Vec<usize>>,
    pub(crate) destinations: OnceLock<Vec<Destined<'r>>>,
    selecting: Selecting,
    workloads_by_label: Numbers,
    entries_by_label: Numbers,
}

/// Who selects workloads.
#[derive(Clone, Debug, Default)]
struct Selecting {
    services: Numbers,
    policies: Numbers,
    peers: Numbers,
    authentications: Numbers,
    sidecars: Numbers,
}

/// Resolves the names of all resources. `converted` is what [`crate::convert`] made of the same ones.
#[must_use]
pub fn resolve<'r>(
    resources: &'r [Resource],
    converted: &'r Converted,
    settings: Settings,
    wide: MeshWide<'r>,
) -> Mesh<'r> {
    let mut mesh = begin(&resources.iter().collect::<Vec<_>>(), settings, wide);
    mesh.add_made(resources, converted);
    mesh.injection_is_said = injection_is_said(&mesh.namespaces, &mesh.pods);
    mesh.order();
    mesh.enter(resources, converted);
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

/// Resolves the names of a part of the resources of a mesh, none of which are of the Gateway API or Ingresses.
#[must_use]
pub fn resolve_part<'r>(part: &[&'r Resource], whole: &Whole, settings: Settings, wide: MeshWide<'r>) -> Mesh<'r> {
    let mut mesh = begin(part, settings, wide);
    for namespace in &whole.namespaces {
        mesh.namespaces.entry(namespace.clone()).or_insert(None);
    }
    mesh.injection_is_said = whole.injection_is_said;
    mesh.order();
    mesh.entrances = mesh.gateways.iter().map(|of| Entrance::written(*of)).collect();
    mesh.index();
    mesh.mark_gateways();
    mesh
}

/// A mesh with its resources, not yet in order.
fn begin<'r>(resources: &[&'r Resource], settings: Settings, wide: MeshWide<'r>) -> Mesh<'r> {
    let inventory = Inventory::of(resources);
    let mut mesh = Mesh {
        settings,
        wide,
        pods: Pods::of(&inventory.all),
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
        selecting: Selecting::default(),
        workloads_by_label: Numbers::default(),
        entries_by_label: Numbers::default(),
    };
    for resource in &inventory.all {
        mesh.add(resource);
    }
    mesh.inventory = inventory;
    mesh
}

impl<'r> Mesh<'r> {
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
            Spec::VirtualService(spec) => self.routings.push(Routing::written(Of { resource, spec }, &self.settings)),
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
    fn add_made(&mut self, resources: &'r [Resource], converted: &'r Converted) {
        self.routings.extend(converted.routings.iter().map(|made| Routing::made_of(resources, made)));
        self.traffic.extend(converted.traffic.iter().map(|made| Traffic {
            of: Of { resource: &resources[made.resource], spec: &made.spec },
            host: made.host.clone(),
            visibility: Visibility::Public,
            made: true,
        }));
        self.statuses = converted.statuses.iter().map(|status| (&resources[status.resource], status)).collect();
        self.not_run = converted.not_run.iter().map(|(number, span)| (&resources[*number], *span)).collect();
        self.broken = converted.broken.iter().map(|broken| (&resources[broken.resource], broken)).collect();
        let unused = converted.unused.iter();
        self.unused = unused.map(|(number, span, why)| (&resources[*number], *span, why.as_str())).collect();
    }

    /// Gateways that were written come before those that were made: of those each has its own names anyway.
    fn enter(&mut self, resources: &'r [Resource], converted: &'r Converted) {
        self.entrances = self.gateways.iter().map(|of| Entrance::written(*of)).collect();
        let made = converted.gateways.iter().map(|made| Entrance {
            of: Of { resource: &resources[made.resource], spec: &made.spec },
            name: made.name.clone(),
            run_by: Some(&made.run_by),
            client_certificate: made.client_certificate.as_ref(),
        });
        self.entrances.extend(made);
    }

    fn order(&mut self) {
        let senior = |resource: &'r Resource| {
            let created = resource.meta.creation_timestamp.as_ref().map_or("", |time| time.value.as_str());
            (created, &resource.subject.name, &resource.subject.namespace)
        };
        if self.services.iter().any(Service::is_pool) {
            // A Service that somebody wrote under the name of a pool's is left as it is.
            let written = self.services.iter().filter(|service| service.kubernetes && !service.is_pool());
            let written: BTreeSet<Host> = written.map(|service| service.host.clone()).collect();
            self.services.retain(|service| !service.is_pool() || !written.contains(&service.host));
        }
        self.services.sort_by_cached_key(|service| (!service.kubernetes, senior(service.resource)));
        let declared: BTreeSet<_> = self.workloads.iter().map(Workload::declared).collect();
        self.workloads.retain(|workload| !workload.is_made_by(&declared));
        self.workloads.sort_by(|a, b| (&a.namespace, &a.name, a.rank()).cmp(&(&b.namespace, &b.name, b.rank())));
        self.workloads.dedup_by(|later, kept| {
            let same = (&later.namespace, &later.name) == (&kept.namespace, &kept.name);
            self.shadowed.extend(same.then_some((later.resource, kept.resource)));
            same
        });
        self.routings.sort_by_cached_key(|routing| routing.of.seniority());
        // What was made of a policy fills what rules leave open: it comes last.
        self.traffic.sort_by_cached_key(|traffic| (traffic.made, traffic.of.seniority()));
        self.gateways.sort_by_cached_key(Of::seniority);
        self.peer_authentications.sort_by_cached_key(Of::seniority);
        self.authorization_policies.sort_by_cached_key(Of::seniority);
        self.sidecars.sort_by_cached_key(Of::seniority);
        self.request_authentications.sort_by_cached_key(Of::seniority);
        self.slices.sort_by_cached_key(Of::seniority);
        self.entries.sort_by_cached_key(Of::seniority);
    }

    fn index(&mut self) {
        continue_rules(&mut self.routings);
        for (at, service) in self.services.iter().enumerate() {
            let id = ServiceId(number(at));
            self.by_host.entry(service.host.clone()).or_default().push(id);
            self.services_by_namespace.entry(service.namespace.clone()).or_default().push(id);
            if let crate::EndpointKind::Selector(selector) = service.endpoints {
                self.selecting.services.add_selecting(&service.namespace, Some(selector), at);
            }
        }
        for (at, policy) in self.authorization_policies.iter().enumerate() {
            self.selecting.policies.add_attached(policy.namespace(), policy.spec, at);
        }
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
        for (at, workload) in self.workloads.iter().enumerate() {
            self.workloads_by_namespace.entry(workload.namespace.clone()).or_default().push(WorkloadId(number(at)));
            self.workloads_by_label.add_selected(&workload.namespace, &workload.labels, at);
        }
        for (at, routing) in self.routings.iter().enumerate() {
            for host in &routing.hosts {
                if is_wildcard(host) {
                    self.wildcard_routings.push((host.clone(), at));
                } else {
                    self.routings_by_host.entry(host.clone()).or_default().push(at);
                }
            }
        }
        for (at, traffic) in self.traffic.iter().enumerate() {
            if is_wildcard(&traffic.host) {
                self.wildcard_traffic.push((traffic.host.clone(), at));
            } else {
                self.traffic_by_host.entry(traffic.host.clone()).or_default().push(at);
            }
        }
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

    /// The service of a number.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service<'r> {
        &self.services[id.0 as usize]
    }

    /// The workload of a number.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> &Workload<'r> {
        &self.workloads[id.0 as usize]
    }

    /// Every service of a host, whoever sees it.
    #[must_use]
    pub fn services_of(&self, host: &str) -> &[ServiceId] {
        self.by_host.get(host).map_or(&[], Vec::as_slice)
    }

    /// The service of exactly this host that a client of a namespace means: its own namespace's, then a Kubernetes one,
    /// then the oldest entry (semantics.md §6.2).
    #[must_use]
    pub fn service_named(&self, host: &str, namespace: &str) -> Option<ServiceId> {
        let visible = |id: &&ServiceId| self.service(**id).visibility.admits(namespace);
        let ids = self.services_of(host);
        let own = ids.iter().filter(visible).find(|id| self.service(**id).namespace == namespace);
        own.or_else(|| ids.iter().find(visible)).copied()
    }

    /// The service that a host belongs to: the one of that name, or the entry with the longest wildcard for it.
    #[must_use]
    pub fn service_for(&self, host: &str, namespace: &str) -> Option<ServiceId> {
        let mut rest = host;
        let mut found = self.service_named(host, namespace);
        while let (None, Some((_, parent))) = (found, rest.split_once('.')) {
            found = self.service_named(&format!("*.{parent}"), namespace);
            rest = parent;
        }
        found
    }

    /// The services of a namespace.
    #[must_use]
    pub fn services_in(&self, namespace: &str) -> &[ServiceId] {
        self.services_by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The workloads of a namespace.
    #[must_use]
    pub fn workloads_in(&self, namespace: &str) -> &[WorkloadId] {
        self.workloads_by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The authorization policies of a namespace that are for a workload with these labels, of that namespace or not, by
    /// seniority.
    pub fn policies_for<'m>(
        &'m self,
        place: &str,
        own: bool,
        labels: &'m LabelSet,
    ) -> impl Iterator<Item = Of<'r, AuthorizationPolicy>> + use<'m, 'r> {
        let numbers = self.selecting.policies.selecting(place, labels);
        let all = numbers.into_iter().map(|number| self.authorization_policies[number]);
        all.filter(move |it| it.spec.is_for(own, labels))
    }

    /// The request authentications of a namespace that are for a workload with these labels, of that namespace or not, by
    /// seniority.
    pub fn authentications_for<'m>(
        &'m self,
        place: &str,
        own: bool,
        labels: &'m LabelSet,
    ) -> impl Iterator<Item = Of<'r, RequestAuthentication>> + use<'m, 'r> {
        let numbers = self.selecting.authentications.selecting(place, labels);
        let all = numbers.into_iter().map(|number| self.request_authentications[number]);
        all.filter(move |it| it.spec.is_for(own, labels))
    }

    /// The peer authentications of a namespace with a selector that selects these labels, by seniority.
    pub fn peers_for<'m>(
        &'m self,
        namespace: &str,
        labels: &'m LabelSet,
    ) -> impl Iterator<Item = Of<'r, PeerAuthentication>> + use<'m, 'r> {
        let numbers = self.selecting.peers.selecting(namespace, labels);
        let all = numbers.into_iter().map(|number| self.peer_authentications[number]);
        all.filter(|it| {
            let labelled = it.spec.selector.as_ref().map(|selector| &selector.match_labels);
            labelled.is_some_and(|selector| !selector.is_empty() && selects(selector, labels))
        })
    }

    /// The peer authentication for all workloads of a namespace: the oldest without a selector.
    #[must_use]
    pub fn peer_of_namespace(&self, namespace: &str) -> Option<Of<'r, PeerAuthentication>> {
        self.selecting.peers.everywhere(namespace).first().map(|number| self.peer_authentications[*number])
    }

    /// The Sidecars of a namespace that may be for a workload with these labels, by seniority.
    pub(crate) fn sidecars_for(&self, namespace: &str, labels: &LabelSet) -> Vec<Of<'r, Sidecar>> {
        let numbers = self.selecting.sidecars.selecting(namespace, labels);
        numbers.into_iter().map(|number| self.sidecars[number]).collect()
    }

    /// The entries of a namespace that a selector selects, by their own labels and their objects'.
    pub fn entries_selected<'m>(
        &'m self,
        namespace: &str,
        selector: &'m Labels,
    ) -> impl Iterator<Item = Of<'r, WorkloadEntry>> + use<'m, 'r> {
        let all = self.entries_by_label.selected(namespace, selector).iter().map(|number| self.entries[*number]);
        all.filter(|entry| selects(selector, &entry_labels(entry)))
    }

    /// The peer authentications of a namespace, by seniority.
    pub fn peers_in(&self, namespace: &str) -> impl Iterator<Item = Of<'r, PeerAuthentication>> {
        let numbers = self.peers_by_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|number| self.peer_authentications[*number])
    }

    /// The workloads behind a service.
    pub fn workloads_behind<'m>(&'m self, service: &Service<'r>) -> impl Iterator<Item = &'m Workload<'r>> {
        let selector = match service.endpoints {
            crate::EndpointKind::Selector(selector) => Some(selector),
            _ => None,
        };
        let numbers = selector.map_or(&[][..], |it| self.workloads_by_label.selected(&service.namespace, it));
        numbers.iter().map(|number| &self.workloads[*number]).filter(move |workload| {
            workload.meshed && selector.is_some_and(|selector| selects(selector, &workload.labels))
        })
    }

    /// The services in front of a workload, by seniority.
    pub fn services_before<'m, 'l>(
        &'m self,
        namespace: &str,
        labels: &'l LabelSet,
    ) -> impl Iterator<Item = &'m Service<'r>> + use<'m, 'l, 'r> {
        let numbers = self.selecting.services.selecting(namespace, labels);
        numbers.into_iter().map(|number| &self.services[number]).filter(|service| match service.endpoints {
            crate::EndpointKind::Selector(selector) => selects(selector, labels),
            _ => false,
        })
    }

    /// The virtual services that were written, by seniority.
    pub fn written_routings(&self) -> impl Iterator<Item = &Routing<'r>> {
        self.routings.iter().filter(|routing| !routing.made)
    }

    /// The destination rules that were written, by seniority.
    pub fn written_traffic(&self) -> impl Iterator<Item = &Traffic<'r>> {
        self.traffic.iter().filter(|traffic| !traffic.made)
    }

    /// The virtual services that name exactly this host, by seniority.
    #[must_use]
    pub fn routings_of(&self, host: &str) -> &[usize] {
        self.routings_by_host.get(host).map_or(&[], Vec::as_slice)
    }

    /// The hosts that virtual services name exactly.
    pub fn routed_hosts(&self) -> impl Iterator<Item = &Host> {
        self.routings.iter().flat_map(|routing| &routing.hosts)
    }

    /// The virtual services with wildcards, each with the wildcard, by seniority.
    #[must_use]
    pub fn wildcard_routings(&self) -> &[(Host, usize)] {
        &self.wildcard_routings
    }

    /// The destination rules whose host is exactly this, by seniority.
    #[must_use]
    pub fn traffic_of(&self, host: &str) -> &[usize] {
        self.traffic_by_host.get(host).map_or(&[], Vec::as_slice)
    }

    /// The destination rules with wildcards, by seniority.
    #[must_use]
    pub fn wildcard_traffic(&self) -> &[(Host, usize)] {
        &self.wildcard_traffic
    }
}

/// The labels of an entry: its own, and its object's.
fn entry_labels(entry: &Of<'_, WorkloadEntry>) -> LabelSet {
    let all = entry.spec.labels.iter().chain(entry.resource.meta.labels.iter());
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `namespace/name` of a gateway as it is written in an object of `namespace`; `mesh` stays (semantics.md §3.4).
#[must_use]
pub fn gateway_name(written: &str, namespace: &str) -> Text {
    if written == "mesh" {
        return "mesh".into();
    }
    match written.split_once('/') {
        Some((".", name)) => format!("{namespace}/{name}").into(),
        Some(_) => written.into(),
        None => match legacy(written) {
            Some((name, namespace)) => format!("{namespace}/{name}").into(),
            None => format!("{namespace}/{written}").into(),
        },
    }
}

/// `name.namespace.svc...`, the old way of naming a gateway elsewhere.
fn legacy(written: &str) -> Option<(&str, &str)> {
    let (name, rest) = written.split_once('.')?;
    let namespace = rest.split('.').next()?;
    Some((name, namespace))
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a mesh has fewer than 2^32 resources")
}
