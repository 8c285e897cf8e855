//! The kinds that Taut reads: their groups, versions, fields, and what becomes of each.
//!
//! Owns: the table of kinds, and the JSON Schema of a whole object.
//! Invariant: a kind of a mesh API group is carried to the data plane, or refused by name; one that is only read is a
//! kind of Kubernetes that the mesh looks at.
//! Length: a table of all kinds, one row each.

use serde_json::{Map, Value, json};
use taut_source::{FileId, Node, Span, Subject, Text, TypeMeta};

use crate::gateway_api;
use crate::message::FieldInfo;
use crate::meta::Meta;
use crate::read::{Read, Reader};
use crate::*;

/// The spec of a resource, by kind.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is named after its kind, and documented there")]
pub enum Spec {
    Namespace(Box<Namespace>),
    Node(Box<ClusterNode>),
    Service(Box<Service>),
    ServiceAccount(Box<ServiceAccount>),
    Workload(Box<Workload>),
    Secret(Box<Secret>),
    ConfigMap(Box<ConfigMap>),
    EndpointSlice(Box<EndpointSlice>),
    WebhookConfiguration(Box<WebhookConfiguration>),
    CustomResourceDefinition(Box<CustomResourceDefinition>),
    Ingress(Box<Ingress>),
    IngressClass(Box<IngressClass>),
    WorkloadEntry(Box<WorkloadEntry>),
    WorkloadGroup(Box<WorkloadGroup>),
    ServiceEntry(Box<ServiceEntry>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    Gateway(Box<Gateway>),
    Sidecar(Box<Sidecar>),
    ProxyConfig(Box<ProxyConfig>),
    EnvoyFilter(Box<EnvoyFilter>),
    PeerAuthentication(Box<PeerAuthentication>),
    RequestAuthentication(Box<RequestAuthentication>),
    AuthorizationPolicy(Box<AuthorizationPolicy>),
    Telemetry(Box<Telemetry>),
    WasmPlugin(Box<WasmPlugin>),
    TrafficExtension(Box<TrafficExtension>),
    GatewayClass(Box<gateway_api::GatewayClass>),
    KubernetesGateway(Box<gateway_api::Gateway>),
    ListenerSet(Box<gateway_api::ListenerSet>),
    HttpRoute(Box<gateway_api::HttpRoute>),
    GrpcRoute(Box<gateway_api::GrpcRoute>),
    TlsRoute(Box<gateway_api::TlsRoute>),
    TcpRoute(Box<gateway_api::TcpRoute>),
    UdpRoute(Box<gateway_api::TcpRoute>),
    ReferenceGrant(Box<gateway_api::ReferenceGrant>),
    BackendTlsPolicy(Box<gateway_api::BackendTlsPolicy>),
    BackendTrafficPolicy(Box<gateway_api::BackendTrafficPolicy>),
    InferencePool(Box<gateway_api::InferencePool>),
}

/// One resource as it was written, in types.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The file it stands in.
    pub file: FileId,
    /// Its `kind` and the rest of its name. `namespace` is none for cluster-scoped kinds, or where none was given at all.
    pub subject: Subject,
    /// The whole document, or the item of a list.
    pub span: Span,
    /// Its metadata.
    pub meta: Meta,
    /// What it says.
    pub spec: Spec,
    /// What a cluster reported of it, where the file carries that.
    pub reported: Reported,
}

/// Where a kind's fields stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Under `spec`, as in custom resources; every field is known. A missing spec is an empty one.
    Spec,
    /// The same, and the spec must be there.
    RequiredSpec,
    /// Under `spec`; other fields are Kubernetes' own.
    CoreSpec,
    /// At the top, as in a Secret; other fields are Kubernetes' own.
    CoreTop,
}

/// What becomes of the resources of a kind.
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// They reach the data plane, field by field.
    Carried,
    /// The mesh looks at them: names, labels, certificates.
    Read,
    /// They are validated and then reported, with what to write instead.
    Refused(&'static str),
}

/// One kind that Taut reads.
#[derive(Debug)]
pub struct Kind {
    /// `VirtualService`.
    pub name: &'static str,
    /// `networking.istio.io`; empty for the core group.
    pub group: &'static str,
    /// The served versions, newest first. All have one schema.
    pub versions: &'static [&'static str],
    /// The types of its objects: one for each version.
    pub(crate) types: &'static [TypeMeta],
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Where its fields stand.
    pub api: Api,
    /// What becomes of its resources.
    pub support: Support,
    /// The fields of its spec.
    pub fields: fn() -> &'static [FieldInfo],
    pub(crate) read: fn(Node<'_>, &mut Reader<'_>) -> Option<Spec>,
    spec_schema: fn() -> Value,
}

macro_rules! kinds {
    ($(
        $name:literal in $group:tt [$($version:literal),*] $scope:ident $api:ident
        $support:ident $(( $($argument:expr),* ))? => $Variant:ident($Type:ty);
    )*) => {
        /// Every kind that Taut reads.
        pub static KINDS: &[Kind] = &[$(
            Kind {
                name: $name,
                group: $group,
                versions: &[$($version),*],
                types: &[$(TypeMeta {
                    api_version: Text::new_static(kinds!(@api $group $version)),
                    kind: Text::new_static($name),
                }),*],
                namespaced: kinds!(@$scope),
                api: Api::$api,
                support: kinds!(@$support $(( $($argument),* ))?),
                fields: <$Type as Read>::fields,
                read: |node, cx| <$Type as Read>::read(node, cx).map(|it| Spec::$Variant(Box::new(it))),
                spec_schema: <$Type as Read>::schema,
            },
        )*];
    };
    (@api "" $version:literal) => { $version };
    (@api $group:tt $version:literal) => { concat!($group, "/", $version) };
    (@namespaced) => { true };
    (@cluster) => { false };
    (@carried) => { Support::Carried };
    (@read) => { Support::Read };
    (@refused($why:expr)) => { Support::Refused($why) };
}

// Rows are looked through from the top: what repositories are full of stands first.
#[rustfmt::skip]
kinds! {
    "Service" in "" ["v1"] namespaced CoreSpec carried => Service(Service);
    "Deployment" in "apps" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "VirtualService" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec carried => VirtualService(VirtualService);
    "DestinationRule" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec carried => DestinationRule(DestinationRule);
    "AuthorizationPolicy" in "security.istio.io" ["v1", "v1beta1"] namespaced Spec carried => AuthorizationPolicy(AuthorizationPolicy);
    "PeerAuthentication" in "security.istio.io" ["v1", "v1beta1"] namespaced Spec carried => PeerAuthentication(PeerAuthentication);
    "ServiceAccount" in "" ["v1"] namespaced CoreTop carried => ServiceAccount(ServiceAccount);
    "Namespace" in "" ["v1"] cluster CoreSpec carried => Namespace(Namespace);
    "Gateway" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec carried => Gateway(Gateway);
    "ServiceEntry" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced RequiredSpec carried => ServiceEntry(ServiceEntry);
    "WorkloadEntry" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced RequiredSpec carried => WorkloadEntry(WorkloadEntry);
    "Secret" in "" ["v1"] namespaced CoreTop carried => Secret(Secret);
    "Pod" in "" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "EndpointSlice" in "discovery.k8s.io" ["v1"] namespaced CoreTop carried => EndpointSlice(EndpointSlice);

    "WorkloadGroup" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced RequiredSpec
        refused("declare each workload with a WorkloadEntry") => WorkloadGroup(WorkloadGroup);
    "Sidecar" in "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec carried => Sidecar(Sidecar);
    "ProxyConfig" in "networking.istio.io" ["v1beta1"] namespaced Spec
        refused("set the proxy's options on its command line") => ProxyConfig(ProxyConfig);
    "EnvoyFilter" in "networking.istio.io" ["v1alpha3"] namespaced Spec
        refused("Taut's data plane is not Envoy: say it in VirtualService, DestinationRule or AuthorizationPolicy") => EnvoyFilter(EnvoyFilter);
    "RequestAuthentication" in "security.istio.io" ["v1", "v1beta1"] namespaced Spec carried => RequestAuthentication(RequestAuthentication);
    "Telemetry" in "telemetry.istio.io" ["v1", "v1alpha1"] namespaced Spec carried => Telemetry(Telemetry);
    "WasmPlugin" in "extensions.istio.io" ["v1alpha1"] namespaced RequiredSpec
        refused("run it as a service of its own, and route to it") => WasmPlugin(WasmPlugin);
    "TrafficExtension" in "extensions.istio.io" ["v1alpha1"] namespaced RequiredSpec
        refused("run it as a service of its own, and route to it") => TrafficExtension(TrafficExtension);

    "GatewayClass" in "gateway.networking.k8s.io" ["v1", "v1beta1"] cluster RequiredSpec carried => GatewayClass(gateway_api::GatewayClass);
    "Gateway" in "gateway.networking.k8s.io" ["v1", "v1beta1"] namespaced RequiredSpec carried => KubernetesGateway(gateway_api::Gateway);
    "ListenerSet" in "gateway.networking.k8s.io" ["v1"] namespaced RequiredSpec carried => ListenerSet(gateway_api::ListenerSet);
    "HTTPRoute" in "gateway.networking.k8s.io" ["v1", "v1beta1"] namespaced RequiredSpec carried => HttpRoute(gateway_api::HttpRoute);
    "GRPCRoute" in "gateway.networking.k8s.io" ["v1"] namespaced RequiredSpec carried => GrpcRoute(gateway_api::GrpcRoute);
    "TLSRoute" in "gateway.networking.k8s.io" ["v1", "v1alpha3", "v1alpha2"] namespaced RequiredSpec carried => TlsRoute(gateway_api::TlsRoute);
    "TCPRoute" in "gateway.networking.k8s.io" ["v1", "v1alpha2"] namespaced RequiredSpec carried => TcpRoute(gateway_api::TcpRoute);
    "UDPRoute" in "gateway.networking.k8s.io" ["v1", "v1alpha2"] namespaced RequiredSpec
        refused("the mesh does not carry UDP: expose it with a Service") => UdpRoute(gateway_api::TcpRoute);
    "ReferenceGrant" in "gateway.networking.k8s.io" ["v1", "v1beta1"] namespaced RequiredSpec carried => ReferenceGrant(gateway_api::ReferenceGrant);
    "BackendTLSPolicy" in "gateway.networking.k8s.io" ["v1", "v1alpha3"] namespaced RequiredSpec carried => BackendTlsPolicy(gateway_api::BackendTlsPolicy);
    "XBackendTrafficPolicy" in "gateway.networking.x-k8s.io" ["v1alpha1"] namespaced RequiredSpec carried => BackendTrafficPolicy(gateway_api::BackendTrafficPolicy);
    "InferencePool" in "inference.networking.k8s.io" ["v1"] namespaced RequiredSpec carried => InferencePool(gateway_api::InferencePool);
    "Ingress" in "networking.k8s.io" ["v1"] namespaced Spec carried => Ingress(Ingress);
    "IngressClass" in "networking.k8s.io" ["v1"] cluster CoreSpec carried => IngressClass(IngressClass);

    "ConfigMap" in "" ["v1"] namespaced CoreTop read => ConfigMap(ConfigMap);
    "Node" in "" ["v1"] cluster CoreTop read => Node(ClusterNode);
    "ReplicaSet" in "apps" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "StatefulSet" in "apps" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "DaemonSet" in "apps" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "Job" in "batch" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "CronJob" in "batch" ["v1"] namespaced CoreTop carried => Workload(Workload);
    "MutatingWebhookConfiguration" in "admissionregistration.k8s.io" ["v1"] cluster CoreTop read => WebhookConfiguration(WebhookConfiguration);
    "ValidatingWebhookConfiguration" in "admissionregistration.k8s.io" ["v1"] cluster CoreTop read => WebhookConfiguration(WebhookConfiguration);
    "CustomResourceDefinition" in "apiextensions.k8s.io" ["v1"] cluster CoreTop read => CustomResourceDefinition(CustomResourceDefinition);
}

impl Kind {
    /// `networking.istio.io/v1`, for each version, newest first.
    pub fn api_versions(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.types.iter().map(|served| served.api_version.as_str())
    }

    /// The name of its file of JSON Schema.
    #[must_use]
    pub fn schema_file(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { self.group };
        format!("{group}_{}.json", self.name.to_ascii_lowercase())
    }

    /// The JSON Schema of a whole object of this kind.
    #[must_use]
    pub fn schema(&self) -> Value {
        let spec = (self.spec_schema)();
        let versions: Vec<&str> = self.api_versions().collect();
        let mut properties = Map::new();
        properties.insert("apiVersion".into(), json!({"type": "string", "enum": versions}));
        properties.insert("kind".into(), json!({"const": self.name}));
        properties.insert("metadata".into(), Meta::schema());
        let mut required = vec!["apiVersion", "kind", "metadata"];
        match (self.api, spec) {
            (Api::CoreTop, Value::Object(mut spec)) => {
                if let Some(Value::Object(own)) = spec.remove("properties") {
                    properties.extend(own);
                }
            }
            (_, spec) => {
                let needed = spec.get("required").is_some() || self.api == Api::RequiredSpec;
                required.extend(needed.then_some("spec"));
                properties.insert("spec".into(), spec);
                properties.insert("status".into(), json!({}));
            }
        }
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.name,
            "type": "object",
            "properties": properties,
            "required": required,
        });
        if matches!(self.api, Api::Spec | Api::RequiredSpec) {
            schema["additionalProperties"] = false.into();
        }
        schema
    }
}
