//! Pods, and classes of pods that a template makes: what labels select (semantics.md §1.8, §17.3).
//!
//! Owns: one view of all kinds with a pod template, and who of them has a proxy.
//! Invariant: finding the pods of a selector costs what its rarest label costs, not what the mesh is large.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use taut_resources::{At, Container, Labels, List, Resource, SecurityContext, Spec};

use crate::Text;
use crate::labels::HashMap;
use crate::mesh::Mesh;

/// A pod, or all pods of one template.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'r> {
    /// Where it is declared.
    pub resource: &'r Resource,
    /// Its labels.
    pub labels: &'r Labels,
    /// Its annotations.
    pub annotations: &'r Labels,
    /// Its containers.
    pub containers: &'r [Container],
    /// The containers that run before them.
    pub init_containers: &'r [Container],
    /// Its service account; `default` if none is named.
    pub service_account: Option<&'r At<Text>>,
    /// As whom they run.
    pub security: Option<&'r SecurityContext>,
    /// Whether it has the node's network.
    pub host_network: bool,
    /// Whether it is a Pod of its own, rather than a template.
    pub single: bool,
}

/// All pods, with indexes.
#[derive(Debug, Default)]
pub struct Pods<'r> {
    list: Vec<Pod<'r>>,
    everyone: Vec<u32>,
    by_namespace: HashMap<&'r str, Vec<u32>>,
    by_label: HashMap<(&'r str, &'r str), SmallVec<[u32; 4]>>,
}

static NO_LABELS: Labels = Labels(List::new());

impl<'r> Pod<'r> {
    pub(crate) fn of(resource: &'r Resource) -> Option<Pod<'r>> {
        let Spec::Workload(workload) = &resource.spec else { return None };
        let over = |phase: &str| matches!(phase, "Succeeded" | "Failed");
        if workload.status.as_ref().and_then(|status| status.phase.as_ref()).is_some_and(|phase| over(phase)) {
            return None;
        }
        let spec = workload.spec.as_ref();
        if resource.subject.kind() == "Pod" {
            return Some(Pod {
                resource,
                labels: &resource.meta.labels,
                annotations: &resource.meta.annotations,
                containers: spec.map_or(&[], |spec| &spec.containers),
                init_containers: spec.map_or(&[], |spec| &spec.init_containers),
                service_account: spec.and_then(|spec| spec.service_account_name.as_ref()),
                security: spec.and_then(|spec| spec.security_context.as_deref()),
                host_network: spec.and_then(|spec| spec.host_network).is_some_and(|host| host.value),
                single: true,
            });
        }
        let of_jobs = spec.and_then(|spec| spec.job_template.as_ref()?.spec.as_ref()?.template.as_ref());
        let template = spec.and_then(|spec| spec.template.as_ref()).or(of_jobs)?;
        let meta = template.metadata.as_ref();
        let spec = template.spec.as_ref();
        Some(Pod {
            resource,
            labels: meta.map_or(&NO_LABELS, |meta| &meta.labels),
            annotations: meta.map_or(&NO_LABELS, |meta| &meta.annotations),
            containers: spec.map_or(&[], |spec| &spec.containers),
            init_containers: spec.map_or(&[], |spec| &spec.init_containers),
            service_account: spec.and_then(|spec| spec.service_account_name.as_ref()),
            security: spec.and_then(|spec| spec.security_context.as_deref()),
            host_network: spec.and_then(|spec| spec.host_network).is_some_and(|host| host.value),
            single: false,
        })
    }

    /// Its namespace; empty if it has none.
    #[must_use]
    pub fn namespace(&self) -> &'r str {
        self.resource.subject.namespace.as_deref().unwrap_or_default()
    }

    /// Its name, or that of the object with the template.
    #[must_use]
    pub fn name(&self) -> &'r Text {
        &self.resource.subject.name
    }

    /// Every container, those that run first included.
    pub fn every_container(&self) -> impl Iterator<Item = &'r Container> + use<'r> {
        self.containers.iter().chain(self.init_containers)
    }

    /// The container of the proxy, if it is written out.
    #[must_use]
    pub fn proxy(&self) -> Option<&'r Container> {
        self.every_container()
            .find(|container| container.name.as_ref().is_some_and(|name| name.as_str() == "istio-proxy"))
    }

    /// Whether it has all labels of a selector. An empty selector selects everything.
    #[must_use]
    pub fn has(&self, selector: &Labels) -> bool {
        selector.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }

    /// What it says itself about getting a proxy: `"true"`, `"false"`, or nothing. The label goes first.
    #[must_use]
    pub fn wants_proxy(&self) -> Option<bool> {
        const INJECT: &str = "sidecar.istio.io/inject";
        let said = self.labels.get(INJECT).or_else(|| self.annotations.get(INJECT))?;
        match said.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl<'r> Pods<'r> {
    pub(crate) fn of(resources: &[&'r Resource]) -> Pods<'r> {
        let mut pods = Pods::default();
        for pod in resources.iter().filter_map(|resource| Pod::of(resource)) {
            let number = u32::try_from(pods.list.len()).expect("a mesh has fewer than 2^32 resources");
            pods.everyone.push(number);
            pods.by_namespace.entry(pod.namespace()).or_default().push(number);
            for (name, value) in pod.labels.iter() {
                pods.by_label.entry((name.as_str(), value.as_str())).or_default().push(number);
            }
            pods.list.push(pod);
        }
        pods
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Pod<'r>] {
        &self.list
    }

    /// Those of a namespace.
    pub fn within<'p>(&'p self, namespace: &str) -> impl Iterator<Item = &'p Pod<'r>> + use<'p, 'r> {
        let numbers = self.by_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|number| &self.list[*number as usize])
    }

    /// Those with all labels of a selector, in one namespace or anywhere.
    pub fn selected<'p>(
        &'p self,
        namespace: Option<&'p str>,
        selector: &'p Labels,
    ) -> impl Iterator<Item = &'p Pod<'r>> + use<'p, 'r> {
        let mut fewest = match namespace {
            Some(namespace) => self.by_namespace.get(namespace).map_or(&[][..], Vec::as_slice),
            None => &self.everyone,
        };
        for (name, value) in selector.iter() {
            let labelled = self.by_label.get(&(name.as_str(), value.as_str())).map_or(&[][..], SmallVec::as_slice);
            if labelled.len() < fewest.len() {
                fewest = labelled;
            }
        }
        fewest
            .iter()
            .map(|number| &self.list[*number as usize])
            .filter(move |pod| namespace.is_none_or(|namespace| pod.namespace() == namespace) && pod.has(selector))
    }
}

/// Which proxies namespaces ask for: what the labels of Namespaces say (semantics.md §17.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceMode {
    /// Nothing is said.
    Unsaid,
    /// A sidecar for every pod.
    Sidecars,
    /// No sidecar.
    Without,
    /// The nodes' proxies.
    Ambient,
}

/// What the labels of a namespace say.
#[must_use]
pub(crate) fn namespace_mode(labels: Option<&Labels>) -> NamespaceMode {
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(Text::as_str);
    match (label("istio-injection"), label("istio.io/rev"), label("istio.io/dataplane-mode")) {
        (Some("enabled"), ..) => NamespaceMode::Sidecars,
        (Some("disabled"), ..) => NamespaceMode::Without,
        (_, _, Some("ambient")) => NamespaceMode::Ambient,
        (None | Some(""), Some(_), _) => NamespaceMode::Sidecars,
        _ => NamespaceMode::Unsaid,
    }
}

impl Mesh<'_> {
    /// What the labels of a namespace say.
    #[must_use]
    pub fn namespace_mode(&self, namespace: &str) -> NamespaceMode {
        namespace_mode(self.namespaces.get(namespace).copied().flatten())
    }

    /// Whether a pod runs under the nodes' proxies.
    #[must_use]
    pub fn is_ambient(&self, pod: &Pod<'_>) -> bool {
        if pod.annotations.get("ambient.istio.io/redirection").is_some_and(|said| said == "enabled") {
            return true;
        }
        match pod.labels.get("istio.io/dataplane-mode").map(Text::as_str) {
            Some("ambient") => true,
            Some("none") => false,
            _ => self.namespace_mode(pod.namespace()) == NamespaceMode::Ambient && pod.proxy().is_none(),
        }
    }

    /// Whether a pod has a sidecar: it is written out, or the pod or its namespace ask for one. Where no object of the
    /// sources says anything about sidecars, they are for everybody: so it is in a fleet that Taut runs.
    #[must_use]
    pub fn has_sidecar(&self, pod: &Pod<'_>) -> bool {
        if pod.proxy().is_some() {
            return true;
        }
        if let Some(wants) = pod.wants_proxy() {
            return wants;
        }
        match self.namespace_mode(pod.namespace()) {
            NamespaceMode::Sidecars => true,
            NamespaceMode::Without | NamespaceMode::Ambient => false,
            NamespaceMode::Unsaid => !self.injection_is_said && !pod.host_network,
        }
    }

    /// Whether a pod is in the mesh one way or the other.
    #[must_use]
    pub fn is_meshed(&self, pod: &Pod<'_>) -> bool {
        self.has_sidecar(pod) || self.is_ambient(pod)
    }
}

/// Whether anything in the sources says who gets a proxy.
pub(crate) fn injection_is_said(namespaces: &BTreeMap<Text, Option<&Labels>>, pods: &Pods<'_>) -> bool {
    namespaces.values().any(|labels| namespace_mode(*labels) != NamespaceMode::Unsaid)
        || pods.all().iter().any(|pod| pod.wants_proxy().is_some() || pod.proxy().is_some())
}
