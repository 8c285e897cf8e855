//! The whole mesh with its indexes: what every other question starts from.

mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use taut_resources::{
    AuthorizationPolicy, DestinationRule, EndpointSlice, Gateway, Labels, MeshConfig, MeshNetworks, PeerAuthentication,
    RequestAuthentication, Resource, Secret, Sidecar, VirtualService, WorkloadEntry,
};
use taut_source::{FileId, Place, Subject};

use crate::attachment::Attached as _;
use crate::check::{Behind, Destined};
use crate::delegate::RuleOf;
use crate::gateway::Entrance;
use crate::gateway_api::{Broken, Status};
use crate::inventory::Inventory;
use crate::labels::{HashMap, LabelSet};
use crate::pod::Pods;
use crate::selection::{Few, Numbers};
use crate::service::ServiceIds;
use crate::{Host, Service, ServiceId, Settings, Text, Visibility, Workload, WorkloadId, selects};

pub use self::resolve::{Whole, resolve, resolve_part};

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

    /// What decides between objects that claim one place (see [`seniority`]).
    #[must_use]
    pub fn seniority(&self) -> (Text, Text, Text) {
        seniority(self.resource)
    }
}

/// What decides between objects that claim one place: age where the file says it, then name, then namespace
/// (semantics.md §1.6). Held rather than borrowed: most of it is short, and is compared without looking at the resources
/// again, which are all over the memory.
fn seniority(resource: &Resource) -> (Text, Text, Text) {
    let created = resource.meta.creation_timestamp.as_ref().map(|time| time.value.clone());
    let Subject { name, namespace, .. } = &resource.subject;
    (created.unwrap_or_default(), name.clone(), namespace.clone().unwrap_or_default())
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
    /// The gateways that use it, as `namespace/name` or `mesh`: sorted, each once.
    pub gateways: Vec<Text>,
    /// Whether it was made of routes of the Gateway API or of Ingresses, and not written as it is.
    pub made: bool,
}

impl Routing<'_> {
    /// Whether a gateway, or `mesh`, uses it.
    #[must_use]
    pub fn is_used_by(&self, gateway: &str) -> bool {
        self.gateways.iter().any(|name| name == gateway)
    }
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
    /// Every pod and class of pods, for checks alone: there is none [after them](Mesh::after_checks).
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
    by_host: HashMap<Host, ServiceIds>,
    routings_by_host: HashMap<Host, Few>,
    wildcard_routings: Vec<(Host, usize)>,
    traffic_by_host: HashMap<Host, Few>,
    wildcard_traffic: Vec<(Host, usize)>,
    workloads_by_namespace: HashMap<Text, Vec<WorkloadId>>,
    services_by_namespace: HashMap<Text, Vec<ServiceId>>,
    peers_by_namespace: HashMap<Text, Vec<usize>>,
    pub(crate) destinations: OnceLock<Vec<Destined<'r>>>,
    pub(crate) behind_several: OnceLock<Vec<Behind<'r>>>,
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

impl<'r> Mesh<'r> {
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
        self.by_host.get(host).map_or(&[], ServiceIds::as_slice)
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
        self.routings_by_host.get(host).map_or(&[], Few::as_slice)
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
        self.traffic_by_host.get(host).map_or(&[], Few::as_slice)
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
