//! What conversion looks things up in: classes, services, namespaces, secrets, grants.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use taut_resources::gateway_api::{
    self, BackendTlsPolicy, BackendTrafficPolicy, GrpcRoute, HttpRoute, ListenerSet, TcpRoute, TlsRoute,
};
use taut_resources::{ConfigMap, Ingress, IngressClass, Labels, Resource, Secret, Spec};

use super::class::Classes;
use crate::mesh::Of;
use crate::{Host, Service, Settings, Text, covers, pool};

/// A resource of one kind, with its number among all.
pub(crate) struct Numbered<'r, T> {
    pub(crate) number: usize,
    pub(crate) of: Of<'r, T>,
}

impl<T> Clone for Numbered<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Numbered<'_, T> {}

/// The objects of the Gateway API, and what they name.
pub(crate) struct World<'r> {
    pub(crate) settings: &'r Settings,
    pub(crate) classes: Classes,
    pub(crate) class_objects: Vec<Numbered<'r, gateway_api::GatewayClass>>,
    pub(crate) gateways: Vec<Numbered<'r, gateway_api::Gateway>>,
    pub(crate) listener_sets: Vec<Numbered<'r, ListenerSet>>,
    pub(crate) http_routes: Vec<Numbered<'r, HttpRoute>>,
    pub(crate) grpc_routes: Vec<Numbered<'r, GrpcRoute>>,
    pub(crate) tls_routes: Vec<Numbered<'r, TlsRoute>>,
    pub(crate) tcp_routes: Vec<Numbered<'r, TcpRoute>>,
    pub(crate) tls_policies: Vec<Numbered<'r, BackendTlsPolicy>>,
    pub(crate) traffic_policies: Vec<Numbered<'r, BackendTrafficPolicy>>,
    pub(crate) grants: Vec<Of<'r, gateway_api::ReferenceGrant>>,
    pub(crate) ingresses: Vec<Numbered<'r, Ingress>>,
    pub(crate) ingress_classes: HashMap<&'r Text, &'r IngressClass>,
    pub(crate) config_maps: HashMap<(Text, Text), &'r ConfigMap>,
    pub(crate) secrets: HashMap<(Text, Text), &'r Secret>,
    pub(crate) entries: HashMap<(Text, Text), &'r Resource>,
    pub(crate) namespaces: BTreeMap<Text, Option<&'r Labels>>,
    /// Pools, by namespace and name.
    pools: HashSet<(Text, Text)>,
    services: HashMap<Host, Vec<Service<'r>>>,
    wildcards: Vec<Service<'r>>,
}

/// Whether a resource is one that is converted.
pub(super) fn is_converted(resource: &Resource) -> bool {
    matches!(
        resource.spec,
        Spec::KubernetesGateway(_)
            | Spec::GatewayClass(_)
            | Spec::ListenerSet(_)
            | Spec::HttpRoute(_)
            | Spec::GrpcRoute(_)
            | Spec::TlsRoute(_)
            | Spec::TcpRoute(_)
            | Spec::BackendTlsPolicy(_)
            | Spec::BackendTrafficPolicy(_)
            | Spec::Ingress(_)
    )
}

impl<'r> World<'r> {
    /// What some resources hold; none if nothing of them is to be converted.
    pub(crate) fn of(
        resources: &[&'r Resource],
        namespaces: &BTreeSet<Text>,
        settings: &'r Settings,
    ) -> Option<World<'r>> {
        if !resources.iter().any(|resource| is_converted(resource)) {
            return None;
        }
        let mut world = World {
            settings,
            classes: Classes::new(std::iter::empty()),
            class_objects: Vec::new(),
            gateways: Vec::new(),
            listener_sets: Vec::new(),
            http_routes: Vec::new(),
            grpc_routes: Vec::new(),
            tls_routes: Vec::new(),
            tcp_routes: Vec::new(),
            tls_policies: Vec::new(),
            traffic_policies: Vec::new(),
            grants: Vec::new(),
            ingresses: Vec::new(),
            ingress_classes: HashMap::new(),
            config_maps: HashMap::new(),
            secrets: HashMap::new(),
            entries: HashMap::new(),
            namespaces: namespaces.iter().filter(|it| !it.is_empty()).map(|it| (it.clone(), None)).collect(),
            pools: HashSet::new(),
            services: HashMap::new(),
            wildcards: Vec::new(),
        };
        // Of objects with one kind and name the last counts, as everywhere.
        let mut last: HashMap<(&str, &str, Option<&Text>, &Text), usize> = HashMap::new();
        let key = |resource: &'r Resource| {
            let subject = &resource.subject;
            let group = subject.api_version().rsplit_once('/').map_or("", |(group, _)| group);
            (group, subject.kind().as_str(), subject.namespace.as_ref(), &subject.name)
        };
        for (number, &resource) in resources.iter().enumerate() {
            last.insert(key(resource), number);
        }
        for (number, &resource) in resources.iter().enumerate() {
            if last.get(&key(resource)) == Some(&number) {
                world.add(number, resource);
            }
        }
        world.classes = Classes::new(world.class_objects.iter().map(|it| it.of));
        world.order();
        Some(world)
    }

    fn add(&mut self, number: usize, resource: &'r Resource) {
        let namespace = resource.subject.namespace.clone().unwrap_or_default();
        let name = (namespace.clone(), resource.subject.name.clone());
        if !namespace.is_empty() {
            self.namespaces.entry(namespace).or_default();
        }
        macro_rules! listed {
            ($list:ident, $spec:ident) => {
                self.$list.push(Numbered { number, of: Of { resource, spec: $spec } })
            };
        }
        match &resource.spec {
            Spec::Namespace(_) => {
                self.namespaces.insert(resource.subject.name.clone(), Some(&resource.meta.labels));
            }
            Spec::GatewayClass(spec) => listed!(class_objects, spec),
            Spec::KubernetesGateway(spec) => listed!(gateways, spec),
            Spec::ListenerSet(spec) => listed!(listener_sets, spec),
            Spec::HttpRoute(spec) => listed!(http_routes, spec),
            Spec::GrpcRoute(spec) => listed!(grpc_routes, spec),
            Spec::TlsRoute(spec) => listed!(tls_routes, spec),
            Spec::TcpRoute(spec) => listed!(tcp_routes, spec),
            Spec::BackendTlsPolicy(spec) => listed!(tls_policies, spec),
            Spec::BackendTrafficPolicy(spec) => listed!(traffic_policies, spec),
            Spec::Ingress(spec) => listed!(ingresses, spec),
            Spec::IngressClass(spec) => drop(self.ingress_classes.insert(&resource.subject.name, spec)),
            Spec::ReferenceGrant(spec) => self.grants.push(Of { resource, spec }),
            Spec::ConfigMap(spec) => drop(self.config_maps.insert(name, spec)),
            Spec::Secret(spec) => drop(self.secrets.insert(name, spec)),
            Spec::Service(_) | Spec::ServiceEntry(_) | Spec::InferencePool(_) => {
                match resource.spec {
                    Spec::ServiceEntry(_) => drop(self.entries.insert(name, resource)),
                    Spec::InferencePool(_) => drop(self.pools.insert(name)),
                    _ => {}
                }
                for service in Service::of(resource, self.settings) {
                    if crate::is_wildcard(&service.host) {
                        self.wildcards.push(service);
                    } else {
                        self.services.entry(service.host.clone()).or_default().push(service);
                    }
                }
            }
            _ => {}
        }
    }

    fn order(&mut self) {
        self.class_objects.sort_by_key(|it| it.of.seniority());
        self.gateways.sort_by_key(|it| it.of.seniority());
        self.listener_sets.sort_by_key(|it| it.of.seniority());
        self.http_routes.sort_by_key(|it| it.of.seniority());
        self.grpc_routes.sort_by_key(|it| it.of.seniority());
        self.tls_routes.sort_by_key(|it| it.of.seniority());
        self.tcp_routes.sort_by_key(|it| it.of.seniority());
        self.tls_policies.sort_by_key(|it| it.of.seniority());
        self.traffic_policies.sort_by_key(|it| it.of.seniority());
        self.ingresses.sort_by_key(|it| it.of.seniority());
    }

    /// The host of a Service.
    pub(crate) fn host_of_service(&self, name: &str, namespace: &str) -> Host {
        format!("{}.{namespace}.svc.{}", name.to_ascii_lowercase(), self.settings.domain_suffix).into()
    }

    /// A service that a namespace sees, by host. One that somebody wrote is a pool's before what is made of the pool.
    pub(crate) fn service(&self, host: &str, namespace: &str) -> Option<&Service<'r>> {
        let named = self.services.get(host).into_iter().flatten();
        let wild = self.wildcards.iter().filter(|service| covers(&service.host, host));
        let seen = named.chain(wild).filter(|service| service.visibility.admits(namespace));
        seen.min_by_key(|service| service.is_pool())
    }

    /// The service of a pool, as one that a namespace sees.
    pub(crate) fn pool(&self, name: &str, of: &str, namespace: &str) -> Option<&Service<'r>> {
        let pool = self.pools.contains(&(of.into(), name.into()));
        pool.then(|| self.service(&self.host_of_service(&pool::service_name(name), of), namespace)).flatten()
    }
}
