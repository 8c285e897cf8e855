//! What ties the objects of the Gateway API, and Ingresses, to others.
//!
//! A reference is tied by every name that it could mean, whatever its kind: one too many costs time alone.

use taut_resources::gateway_api::{Gateway, GrpcRoute, HttpRoute, Listener, ParentRef};
use taut_resources::{At, Ingress, Resource, Spec};

use super::{Name, Reach, Role, Tie, Ties};
use crate::attachment::GATEWAY_NAME;
use crate::gateway_api::{ingress_label, ingress_name, server_name};
use crate::{EndpointKind, Service, Settings, Text, expand, pool};

const GATEWAY: &str = "Gateway";
const LISTENER_SET: &str = "ListenerSet";

/// Who refers to something, and what a service is called there.
struct Referring<'t> {
    ties: &'t Ties,
    namespace: &'t str,
    settings: &'t Settings,
    found: Vec<Tie>,
}

impl Ties {
    /// How others find an object that is converted.
    pub(super) fn converted(&self, resource: &Resource, namespace: &Text, settings: &Settings) -> Reach {
        if resource.subject.name.is_empty() {
            return Reach::Unknown; // the last of these counts, which a part does not show
        }
        let mut it = Referring { ties: self, namespace, settings, found: Vec::new() };
        let name = &resource.subject.name;
        match &resource.spec {
            Spec::KubernetesGateway(spec) => {
                it.gateway(resource, spec);
                return Reach::Known(it.found);
            }
            Spec::ListenerSet(spec) => {
                it.asks(&Name::Parent(LISTENER_SET, namespace, name));
                it.servers(name, &spec.listeners);
                if !it.parent(&spec.parent_ref) {
                    return Reach::Unknown;
                }
            }
            Spec::HttpRoute(spec) => {
                it.http_route(spec);
                return it.route(&spec.parent_refs, false);
            }
            Spec::GrpcRoute(spec) => {
                it.grpc_route(spec);
                return it.route(&spec.parent_refs, false);
            }
            Spec::TlsRoute(spec) => {
                let to = spec.rules.iter().flat_map(|rule| &rule.backend_refs);
                to.for_each(|to| it.backend(&to.name, to.namespace.as_ref()));
                return it.route(&spec.parent_refs, true);
            }
            Spec::TcpRoute(spec) => {
                let to = spec.rules.iter().flat_map(|rule| &rule.backend_refs);
                to.for_each(|to| it.backend(&to.name, to.namespace.as_ref()));
                return it.route(&spec.parent_refs, true);
            }
            Spec::BackendTlsPolicy(spec) => {
                for target in &spec.target_refs {
                    if target.kind.as_str() == "ServiceEntry" {
                        return Reach::Unknown; // whose hosts its name does not show
                    }
                    it.backend(&target.name, None);
                }
            }
            Spec::BackendTrafficPolicy(spec) => {
                for target in &spec.target_refs {
                    if target.kind.as_str() == "ServiceEntry" {
                        return Reach::Unknown;
                    }
                    it.backend(&target.name, None);
                }
            }
            Spec::InferencePool(_) => {
                for service in Service::of(resource, settings) {
                    it.found.push(self.asks_host(&service.host));
                    if let EndpointKind::Selector(selector) = service.endpoints {
                        it.found.extend(self.selector(namespace, selector));
                    }
                }
            }
            Spec::Ingress(spec) => it.ingress(resource, spec),
            _ => return Reach::Unknown,
        }
        Reach::Tied(it.found)
    }
}

impl Referring<'_> {
    fn asks(&mut self, name: &Name<'_>) {
        self.found.push(self.ties.tie(Role::Asks, name));
    }

    fn meets(&mut self, name: &Name<'_>) {
        self.found.push(self.ties.tie(Role::Meets, name));
    }

    fn service(&mut self, name: &str, namespace: &str) {
        let host = format!("{}.{namespace}.svc.{}", name.to_ascii_lowercase(), self.settings.domain_suffix);
        self.found.push(self.ties.asks_host(&host));
    }

    /// A Service, a host or a pool.
    fn backend(&mut self, name: &At<Text>, namespace: Option<&At<Text>>) {
        let namespace = namespace.map_or(self.namespace, |it| it.as_str());
        self.service(name, namespace);
        self.service(&pool::service_name(name), namespace);
        self.found.push(self.ties.asks_host(&name.to_ascii_lowercase()));
    }

    /// Whether a parent is one that names show: of a ServiceEntry they do not show the hosts.
    fn parent(&mut self, parent: &ParentRef) -> bool {
        let namespace = parent.namespace.as_ref().map_or(self.namespace, |it| it.as_str());
        match parent.kind.as_str() {
            GATEWAY => self.meets(&Name::Parent(GATEWAY, namespace, &parent.name)),
            LISTENER_SET => self.meets(&Name::Parent(LISTENER_SET, namespace, &parent.name)),
            "ServiceEntry" => return false,
            _ => self.service(&parent.name, namespace),
        }
        true
    }

    /// Rules for connections to services are looked at for whatever has a name in common with their hosts.
    fn route(mut self, parents: &[ParentRef], of_connections: bool) -> Reach {
        let mut wide = false;
        for parent in parents {
            if !self.parent(parent) {
                return Reach::Unknown;
            }
            wide |= of_connections && !matches!(parent.kind.as_str(), GATEWAY | LISTENER_SET);
        }
        if wide { Reach::Everywhere(self.found) } else { Reach::Tied(self.found) }
    }

    fn http_route(&mut self, spec: &HttpRoute) {
        for rule in &spec.rules {
            rule.backend_refs.iter().for_each(|to| self.backend(&to.name, to.namespace.as_ref()));
            let mirrors = rule.filters.iter().filter_map(|filter| filter.request_mirror.as_ref());
            mirrors.for_each(|to| self.backend(&to.backend_ref.name, to.backend_ref.namespace.as_ref()));
        }
    }

    fn grpc_route(&mut self, spec: &GrpcRoute) {
        for rule in &spec.rules {
            rule.backend_refs.iter().for_each(|to| self.backend(&to.name, to.namespace.as_ref()));
            let mirrors = rule.filters.iter().filter_map(|filter| filter.request_mirror.as_ref());
            mirrors.for_each(|to| self.backend(&to.backend_ref.name, to.backend_ref.namespace.as_ref()));
        }
    }

    /// Virtual services may name the servers that are made of listeners.
    fn servers(&mut self, name: &str, listeners: &[Listener]) {
        for listener in listeners {
            let server = server_name(self.namespace, name, &listener.name);
            self.meets(&Name::Gateway(&server));
        }
    }

    fn gateway(&mut self, resource: &Resource, spec: &Gateway) {
        let name = &resource.subject.name;
        self.meets(&Name::Parent(GATEWAY, self.namespace, name));
        self.servers(name, &spec.listeners);
        // Who runs it: its own pods, those of the Service that is made for it, or those of Services that it names.
        self.asks(&Name::Label(self.namespace, GATEWAY_NAME, name));
        self.service(name, self.namespace);
        self.service(&format!("{name}-{}", spec.gateway_class_name.value), self.namespace);
        if let Some(service) = resource.meta.annotations.get("gateway.istio.io/name-override") {
            self.service(service, self.namespace);
        }
        for value in spec.addresses.iter().filter_map(|address| address.value.as_ref()) {
            let host = expand(value, self.namespace, self.settings);
            self.found.push(self.ties.asks_host(&host));
        }
    }

    fn ingress(&mut self, resource: &Resource, spec: &Ingress) {
        self.meets(&Name::Ingresses);
        self.asks(&Name::Label("", "istio", &ingress_label(self.settings)));
        self.meets(&Name::Gateway(&ingress_name(&resource.subject, self.settings)));
        let paths = spec.rules.iter().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
        for service in paths.filter_map(|path| path.backend.service.as_ref()) {
            self.service(&service.name, self.namespace);
        }
    }
}
