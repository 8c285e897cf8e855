//! Everything that was declared, by kind: what single rules look through.
//!
//! Owns: one list for each kind, in the order of the sources. Of objects with one kind, namespace and name the last
//! counts, as with `kubectl apply`; the others are kept aside, for the rule that reports them.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use taut_resources::{
    AuthorizationPolicy, ConfigMap, CustomResourceDefinition, DestinationRule, EnvoyFilter, Gateway, Ingress,
    Namespace, PeerAuthentication, ProxyConfig, RequestAuthentication, Resource, Secret, Service, ServiceEntry,
    Sidecar, Spec, Telemetry, VirtualService, WasmPlugin, WebhookConfiguration, Workload, WorkloadEntry, WorkloadGroup,
    gateway_api,
};

use taut_source::threads;

use crate::Text;
use crate::labels::HashMap;
use crate::mesh::Of;

macro_rules! inventory {
    ($( $(#[doc = $doc:literal])* $field:ident: $Variant:ident($Type:ty); )*) => {
        /// Every resource, by kind.
        #[derive(Debug, Default)]
        pub struct Inventory<'r> {
            $( $(#[doc = $doc])* pub $field: Vec<Of<'r, $Type>>, )*
            /// Every object that counts, whatever its kind.
            pub all: Vec<&'r Resource>,
            /// Objects that a later one of the same name replaces: the earlier, and the one that counts.
            pub replaced: Vec<(&'r Resource, &'r Resource)>,
        }

        impl<'r> Inventory<'r> {
            fn add(&mut self, resource: &'r Resource) {
                self.all.push(resource);
                match &resource.spec {
                    $( Spec::$Variant(spec) => self.$field.push(Of { resource, spec }), )*
                    _ => {}
                }
            }
        }
    };
}

inventory! {
    /// Namespace.
    namespaces: Namespace(Namespace);
    /// Service.
    services: Service(Service);
    /// Pod and every kind with a pod template.
    workloads: Workload(Workload);
    /// ConfigMap.
    config_maps: ConfigMap(ConfigMap);
    /// Secret.
    secrets: Secret(Secret);
    /// MutatingWebhookConfiguration and ValidatingWebhookConfiguration.
    webhooks: WebhookConfiguration(WebhookConfiguration);
    /// CustomResourceDefinition.
    definitions: CustomResourceDefinition(CustomResourceDefinition);
    /// Ingress.
    ingresses: Ingress(Ingress);
    /// VirtualService.
    virtual_services: VirtualService(VirtualService);
    /// DestinationRule.
    destination_rules: DestinationRule(DestinationRule);
    /// Gateway of networking.istio.io.
    gateways: Gateway(Gateway);
    /// ServiceEntry.
    service_entries: ServiceEntry(ServiceEntry);
    /// WorkloadEntry.
    workload_entries: WorkloadEntry(WorkloadEntry);
    /// WorkloadGroup.
    workload_groups: WorkloadGroup(WorkloadGroup);
    /// Sidecar.
    sidecars: Sidecar(Sidecar);
    /// ProxyConfig.
    proxy_configs: ProxyConfig(ProxyConfig);
    /// EnvoyFilter.
    envoy_filters: EnvoyFilter(EnvoyFilter);
    /// PeerAuthentication.
    peer_authentications: PeerAuthentication(PeerAuthentication);
    /// RequestAuthentication.
    request_authentications: RequestAuthentication(RequestAuthentication);
    /// AuthorizationPolicy.
    authorization_policies: AuthorizationPolicy(AuthorizationPolicy);
    /// Telemetry.
    telemetries: Telemetry(Telemetry);
    /// WasmPlugin.
    wasm_plugins: WasmPlugin(WasmPlugin);
    /// Gateway of gateway.networking.k8s.io.
    kubernetes_gateways: KubernetesGateway(gateway_api::Gateway);
    /// HTTPRoute.
    http_routes: HttpRoute(gateway_api::HttpRoute);
    /// GRPCRoute.
    grpc_routes: GrpcRoute(gateway_api::GrpcRoute);
    /// TLSRoute.
    tls_routes: TlsRoute(gateway_api::TlsRoute);
    /// TCPRoute.
    tcp_routes: TcpRoute(gateway_api::TcpRoute);
    /// ReferenceGrant.
    reference_grants: ReferenceGrant(gateway_api::ReferenceGrant);
}

impl<'r> Inventory<'r> {
    /// Sorts resources into lists.
    pub(crate) fn of(resources: &[&'r Resource]) -> Inventory<'r> {
        type Name<'r> = (&'r str, &'r str, Option<&'r Text>, &'r Text);
        let name = |resource: &'r Resource| -> Name<'r> {
            let subject = &resource.subject;
            let group = subject.api_version().rsplit_once('/').map_or("", |(group, _)| group);
            (group, subject.kind().as_str(), subject.namespace.as_ref(), &subject.name)
        };
        // Nearly always they are all different, and their hashes say so.
        let hasher = RandomState::default();
        let hashes = threads::each_of_many(resources, |resource| hasher.hash_one(name(resource)));
        let mut seen: HashSet<u64, RandomState> =
            HashSet::with_capacity_and_hasher(resources.len(), Default::default());
        let named = resources.iter().zip(hashes).filter(|(resource, _)| !resource.subject.name.is_empty());
        let mut inventory = Inventory::default();
        if named.map(|(_, hash)| hash).all(|hash| seen.insert(hash)) {
            resources.iter().for_each(|resource| inventory.add(resource));
            return inventory;
        }
        let mut last: HashMap<Name<'r>, &'r Resource> =
            HashMap::with_capacity_and_hasher(resources.len(), Default::default());
        // An object that is still to get its name from `generateName` is like no other.
        for &resource in resources.iter().filter(|resource| !resource.subject.name.is_empty()) {
            last.insert(name(resource), resource);
        }
        for &resource in resources {
            match last.get(&name(resource)) {
                Some(counts) if !std::ptr::eq(*counts, resource) => inventory.replaced.push((resource, counts)),
                _ => inventory.add(resource),
            }
        }
        inventory
    }
}
