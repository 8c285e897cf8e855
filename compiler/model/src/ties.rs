//! What ties resources together: which others a resource can have to do with.
//!
//! Owns: for each resource, the names by which others reach it and by which it reaches others.
//! May not: miss a tie that any rule goes by. One too many costs time alone: so hashes of names are enough.

mod gateway_api;

use std::hash::BuildHasher as _;

use taut_resources::{
    AuthorizationPolicy, DestinationRule, ExtensionProvider, Gateway, Labels, Resource, Spec, VirtualService,
};

use crate::authorization::meant_hosts;
use crate::destination_rule::credentials;
use crate::mesh::{Of, gateway_name};
use crate::pod::Pod;
use crate::{Service, Settings, Text, expand, is_wildcard};

/// How a resource is found by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By names alone.
    Tied(Vec<Tie>),
    /// By everybody, as what holds for a namespace or for many hosts is; and it reaches others by names.
    Everywhere(Vec<Tie>),
    /// By everybody, who looks at it alone and at nothing behind it; and it reaches others by names.
    Known(Vec<Tie>),
    /// In ways that names do not show.
    Unknown,
}

/// A name, and what it is to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The hash of the name.
    pub key: u64,
    /// What it is to the resource.
    pub role: Role,
}

/// What a name is to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It asks for the name: it has to do with whoever has it, and with whoever asks for it too.
    Asks,
    /// The same of a name that many may meet at, as the routes of a gateway do: what is bound there, and who binds it.
    Meets,
    /// It has the name, as a workload has labels: it has to do with whoever asks for it.
    Has,
    /// It only wants to know whether somebody has the name.
    Names,
}

/// Names of the kinds that tie.
#[derive(Hash)]
enum Name<'n> {
    Host(&'n str),
    Gateway(&'n str),
    /// The namespace is empty where the label is asked for in any.
    Label(&'n str, &'n str, &'n str),
    Account(&'n str, &'n str),
    Accounts(&'n str),
    Services(&'n str),
    Workload(&'n str, &'n str),
    Delegate(&'n str, &'n str),
    /// An object of the Gateway API: its kind, namespace and name.
    Parent(&'static str, &'n str, &'n str),
    /// All Ingresses: their rules are put together by host.
    Ingresses,
}

/// Hashes names. Two of them hash alike only if one is a clone of the other.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    hasher: foldhash::fast::RandomState,
}

impl Ties {
    fn tie(&self, role: Role, name: &Name<'_>) -> Tie {
        Tie { key: self.hasher.hash_one(name), role }
    }

    /// The key of a host.
    #[must_use]
    pub fn host(&self, host: &str) -> u64 {
        self.hasher.hash_one(Name::Host(host))
    }

    /// The key of the service accounts of a namespace, whichever they are.
    #[must_use]
    pub fn accounts(&self, namespace: &str) -> u64 {
        self.hasher.hash_one(Name::Accounts(namespace))
    }

    /// The key of the services of a namespace, whichever they are.
    #[must_use]
    pub fn services(&self, namespace: &str) -> u64 {
        self.hasher.hash_one(Name::Services(namespace))
    }

    /// The keys of the services that the mesh's settings lead to: everybody may have to do with them.
    #[must_use]
    pub fn led_to_by(&self, settings: &Settings) -> Vec<u64> {
        let named = settings.providers.iter().flat_map(ExtensionProvider::services);
        named.map(|service| self.host(&service.rsplit('/').next().unwrap_or_default().to_ascii_lowercase())).collect()
    }

    fn asks_host(&self, host: &str) -> Tie {
        Tie { key: self.host(host), role: Role::Asks }
    }

    /// A selector goes by its first label: whoever it selects has that one. Without any it is for everybody.
    fn selector(&self, namespace: &str, labels: &Labels) -> Option<Tie> {
        let (name, value) = labels.iter().next()?;
        Some(self.tie(Role::Asks, &Name::Label(namespace, name, value)))
    }

    /// How others find a resource.
    #[must_use]
    pub fn of(&self, resource: &Resource, settings: &Settings) -> Reach {
        const NONE: &Text = &Text::new_static("");
        let namespace = resource.subject.namespace.as_ref().unwrap_or(NONE);
        match &resource.spec {
            Spec::Service(spec) => {
                let services = Service::of(resource, settings);
                let own = services.iter().map(|service| self.asks_host(&service.host));
                let alias = spec.external_name.iter().map(|to| self.asks_host(&to.to_ascii_lowercase()));
                Reach::Tied(own.chain(alias).chain(self.selector(namespace, &spec.selector)).collect())
            }
            Spec::Workload(_) => Reach::Tied(self.workload(resource, namespace)),
            Spec::ServiceAccount(_) => {
                Reach::Tied(vec![self.tie(Role::Has, &Name::Account(namespace, &resource.subject.name))])
            }
            Spec::VirtualService(spec) => self.virtual_service(Of { resource, spec }, settings),
            Spec::DestinationRule(spec) => self.destination_rule(spec, namespace, settings),
            Spec::Gateway(spec) => self.gateway(spec, resource, namespace),
            Spec::AuthorizationPolicy(spec) => self.policy(spec, namespace, settings),
            Spec::ServiceEntry(spec) => {
                let selected = spec.workload_selector.as_ref();
                Reach::Everywhere(selected.and_then(|it| self.selector(namespace, &it.labels)).into_iter().collect())
            }
            Spec::Sidecar(_) if resource.subject.name.is_empty() => Reach::Unknown,
            Spec::Sidecar(spec) => {
                let selected = spec.workload_selector.as_ref().and_then(|it| self.selector(namespace, &it.labels));
                let hosts = spec.egress.iter().flat_map(|egress| &egress.hosts);
                let named =
                    hosts.filter_map(|host| Some(self.asks_host(&host.split_once('/')?.1.to_ascii_lowercase())));
                let proxy = spec.outbound_traffic_policy.as_ref().and_then(|policy| policy.egress_proxy.as_ref());
                let proxy = proxy.map(|to| self.asks_host(&expand(&to.host, namespace, settings)));
                Reach::Known(selected.into_iter().chain(named).chain(proxy).collect())
            }
            Spec::KubernetesGateway(_)
            | Spec::ListenerSet(_)
            | Spec::HttpRoute(_)
            | Spec::GrpcRoute(_)
            | Spec::TlsRoute(_)
            | Spec::TcpRoute(_)
            | Spec::BackendTlsPolicy(_)
            | Spec::BackendTrafficPolicy(_)
            | Spec::InferencePool(_)
            | Spec::Ingress(_) => self.converted(resource, namespace, settings),
            Spec::GatewayClass(_) | Spec::IngressClass(_) | Spec::ReferenceGrant(_) | Spec::ProxyConfig(_) => {
                Reach::Known(Vec::new())
            }
            Spec::Namespace(_)
            | Spec::Node(_)
            | Spec::Secret(_)
            | Spec::ConfigMap(_)
            | Spec::EndpointSlice(_)
            | Spec::WebhookConfiguration(_)
            | Spec::CustomResourceDefinition(_)
            | Spec::WorkloadEntry(_)
            | Spec::WorkloadGroup(_)
            | Spec::PeerAuthentication(_)
            | Spec::RequestAuthentication(_)
            | Spec::Telemetry(_) => Reach::Everywhere(Vec::new()),
            _ => Reach::Unknown,
        }
    }

    fn workload(&self, resource: &Resource, namespace: &str) -> Vec<Tie> {
        let subject = &resource.subject;
        let mut ties = vec![self.tie(Role::Asks, &Name::Workload(namespace, &subject.name))];
        for owner in resource.meta.owner_references.iter().filter_map(|owner| owner.name.as_ref()) {
            ties.push(self.tie(Role::Asks, &Name::Workload(namespace, &owner.value)));
        }
        let Some(pod) = Pod::of(resource) else { return ties };
        for (name, value) in pod.labels.iter() {
            ties.push(self.tie(Role::Has, &Name::Label(namespace, name, value)));
            ties.push(self.tie(Role::Has, &Name::Label("", name, value)));
        }
        let account = pod.service_account.map_or("default", |account| account.value.as_str());
        ties.push(self.tie(Role::Has, &Name::Account(namespace, account)));
        ties
    }

    fn virtual_service(&self, of: Of<'_, VirtualService>, settings: &Settings) -> Reach {
        let (spec, namespace) = (of.spec, of.namespace());
        let http = spec.http.iter().flat_map(|rule| {
            let routes = rule.route.iter().map(|to| &to.destination);
            routes.chain(rule.mirror.as_deref()).chain(rule.mirrors.iter().map(|mirror| &mirror.destination))
        });
        let tls = spec.tls.iter().flat_map(|rule| &rule.route).map(|to| &to.destination);
        let tcp = spec.tcp.iter().flat_map(|rule| &rule.route).map(|to| &to.destination);
        let destinations = http.chain(tls).chain(tcp).map(|destination| &destination.host);
        let hosts: Vec<Text> =
            spec.hosts.iter().chain(destinations).map(|host| expand(host, namespace, settings)).collect();
        let mut ties: Vec<Tie> = hosts.iter().map(|host| self.asks_host(host)).collect();
        let gateways = spec.gateways.iter().map(|name| gateway_name(name, namespace)).filter(|name| name != "mesh");
        ties.extend(gateways.map(|name| self.tie(Role::Meets, &Name::Gateway(&name))));
        let delegates = spec.http.iter().filter_map(|rule| rule.delegate.as_ref());
        ties.extend(delegates.map(|to| {
            let written = to.namespace.as_ref().map(|namespace| namespace.as_str()).filter(|it| !it.is_empty());
            let name = to.name.as_ref().map_or("", |name| name.as_str());
            self.tie(Role::Asks, &Name::Delegate(written.unwrap_or(namespace), name))
        }));
        ties.push(self.tie(Role::Asks, &Name::Delegate(namespace, of.name())));
        let of_mesh = spec.gateways.is_empty() || spec.gateways.iter().any(|name| *name.as_str() == *"mesh");
        let wide = spec.hosts.iter().any(|host| is_wildcard(host));
        if of_mesh && wide || !spec.tls.is_empty() || !spec.tcp.is_empty() {
            return Reach::Everywhere(ties);
        }
        Reach::Tied(ties)
    }

    fn destination_rule(&self, spec: &DestinationRule, namespace: &str, settings: &Settings) -> Reach {
        let host = expand(&spec.host, namespace, settings);
        let ties = vec![self.asks_host(&host)];
        // Of one that names a Secret, every gateway and sidecar is looked at.
        let wide = is_wildcard(&host) || credentials(spec).next().is_some();
        if wide { Reach::Everywhere(ties) } else { Reach::Tied(ties) }
    }

    fn gateway(&self, spec: &Gateway, resource: &Resource, namespace: &str) -> Reach {
        let name = format!("{namespace}/{}", resource.subject.name);
        let mut ties = vec![self.tie(Role::Meets, &Name::Gateway(&name))];
        let Some(selector) = self.selector("", &spec.selector) else { return Reach::Everywhere(ties) };
        ties.push(selector);
        Reach::Tied(ties)
    }

    fn policy(&self, spec: &AuthorizationPolicy, namespace: &str, settings: &Settings) -> Reach {
        let sources = spec.rules.iter().flatten().flat_map(|rule| rule.from.iter().flatten());
        let sources = sources.filter_map(|from| from.source.as_ref());
        let named = sources.flat_map(|source| source.principals.iter().chain(&source.not_principals));
        let account = |principal: &str| {
            let (_, rest) = principal.split_once("/ns/")?;
            let (namespace, name) = rest.split_once("/sa/")?;
            let some = Tie { key: self.accounts(namespace), role: Role::Names };
            Some([self.tie(Role::Names, &Name::Account(namespace, name)), some])
        };
        let mut ties: Vec<Tie> = named.filter_map(|principal| account(principal)).flatten().collect();
        for host in meant_hosts(spec, namespace, settings) {
            ties.push(self.asks_host(&host.host));
            ties.push(self.asks_host(&host.written));
            ties.push(Tie { key: self.services(&host.namespace), role: Role::Names });
        }
        let selected = spec.selector.as_ref().and_then(|selector| self.selector(namespace, &selector.match_labels));
        match selected {
            Some(selector) if *namespace != *settings.root_namespace => {
                ties.push(selector);
                Reach::Tied(ties)
            }
            _ => Reach::Everywhere(ties),
        }
    }
}
