//! The kinds that Taut reads, and how a document becomes a resource of one of them.
//!
//! Owns: the envelope (`apiVersion`, `kind`, `metadata`), the versions that are served, `List`.
//! Invariant: a document of a mesh API group is read, or reported by name; one of another group is left alone and counted.

use serde_json::{Value, json};
use taut_source::{Data, FileId, Node, Problem, Span, Subject, Text};

use crate::message::FieldInfo;
use crate::meta::Meta;
use crate::read::{Read, Reader, closest};
use crate::rules;
use crate::{
    AuthorizationPolicy, DestinationRule, EndpointSlice, Gateway, Namespace, PeerAuthentication, Secret, Service,
    ServiceAccount, ServiceEntry, VirtualService, Workload, WorkloadEntry,
};

/// The spec of a resource, by kind.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is named after its kind, and documented there")]
pub enum Spec {
    Namespace(Namespace),
    Service(Box<Service>),
    ServiceAccount(ServiceAccount),
    Workload(Box<Workload>),
    Secret(Box<Secret>),
    EndpointSlice(Box<EndpointSlice>),
    WorkloadEntry(Box<WorkloadEntry>),
    ServiceEntry(Box<ServiceEntry>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    Gateway(Box<Gateway>),
    PeerAuthentication(Box<PeerAuthentication>),
    AuthorizationPolicy(Box<AuthorizationPolicy>),
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
}

/// Where a kind's fields stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Under `spec`, as in custom resources; every field is known.
    Spec,
    /// Under `spec`; other fields are Kubernetes' own.
    CoreSpec,
    /// At the top, as in a Secret; other fields are Kubernetes' own.
    CoreTop,
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
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Where its fields stand.
    pub api: Api,
    /// The fields of its spec.
    pub fields: fn() -> &'static [FieldInfo],
    read: fn(Node<'_>, &mut Reader<'_>) -> Option<Spec>,
    schema: fn() -> Value,
}

/// What became of one object of a document.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was read. What of it could not be is in the problems.
    Read(Box<Resource>),
    /// It was not usable at all; why is in the problems.
    Broken,
    /// It is none of the mesh's business.
    Foreign,
}

macro_rules! kinds {
    ($( $name:literal $group:literal [$($version:literal),*] $scope:ident $api:ident $Type:ident => $wrap:expr; )*) => {
        /// Every kind that Taut reads.
        pub static KINDS: &[Kind] = &[$(
            Kind {
                name: $name,
                group: $group,
                versions: &[$($version),*],
                namespaced: kinds!(@$scope),
                api: Api::$api,
                fields: <$Type as Read>::fields,
                read: |node, cx| <$Type as CheckedRead>::checked(node, cx).map($wrap),
                schema: <$Type as Read>::schema,
            },
        )*];
    };
    (@namespaced) => { true };
    (@cluster) => { false };
}

kinds! {
    "Namespace" "" ["v1"] cluster CoreSpec Namespace => Spec::Namespace;
    "Service" "" ["v1"] namespaced CoreSpec Service => |it| Spec::Service(Box::new(it));
    "ServiceAccount" "" ["v1"] namespaced CoreTop ServiceAccount => Spec::ServiceAccount;
    "Secret" "" ["v1"] namespaced CoreTop Secret => |it| Spec::Secret(Box::new(it));
    "Pod" "" ["v1"] namespaced CoreTop Workload => |it| Spec::Workload(Box::new(it));
    "Deployment" "apps" ["v1"] namespaced CoreTop Workload => |it| Spec::Workload(Box::new(it));
    "EndpointSlice" "discovery.k8s.io" ["v1"] namespaced CoreTop EndpointSlice => |it| Spec::EndpointSlice(Box::new(it));
    "WorkloadEntry" "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec WorkloadEntry => |it| Spec::WorkloadEntry(Box::new(it));
    "ServiceEntry" "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec ServiceEntry => |it| Spec::ServiceEntry(Box::new(it));
    "VirtualService" "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec VirtualService => |it| Spec::VirtualService(Box::new(it));
    "DestinationRule" "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec DestinationRule => |it| Spec::DestinationRule(Box::new(it));
    "Gateway" "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] namespaced Spec Gateway => |it| Spec::Gateway(Box::new(it));
    "PeerAuthentication" "security.istio.io" ["v1", "v1beta1"] namespaced Spec PeerAuthentication => |it| Spec::PeerAuthentication(Box::new(it));
    "AuthorizationPolicy" "security.istio.io" ["v1", "v1beta1"] namespaced Spec AuthorizationPolicy => |it| Spec::AuthorizationPolicy(Box::new(it));
}

/// Mesh kinds that are known and not carried, with what to do instead.
const REFUSED_KINDS: &[(&str, &str, &str)] = &[
    (
        "networking.istio.io",
        "EnvoyFilter",
        "Taut's data plane is not Envoy: say it in VirtualService, DestinationRule or Telemetry",
    ),
    ("extensions.istio.io", "WasmPlugin", "run it as a service of its own, called from an AuthorizationPolicy"),
    ("extensions.istio.io", "TrafficExtension", "run it as a service of its own, called from an AuthorizationPolicy"),
];

/// Groups whose kinds all have a meaning in the mesh: an unknown kind of theirs is reported, not skipped.
const MESH_GROUPS: &[&str] = &[
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
];

/// A kind's reader followed by the rules of that kind alone.
pub(crate) trait CheckedRead: Read {
    /// Reports what the API server or the webhook would refuse (stage `type`).
    fn check(&self, _: &mut Reader<'_>) {}

    fn checked(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        let value = Self::read(node, cx)?;
        value.check(cx);
        Some(value)
    }
}

impl Kind {
    /// The JSON Schema of a whole object of this kind.
    #[must_use]
    pub fn schema(&self) -> Value {
        let versions: Vec<String> = self.versions.iter().map(|version| api_version(self.group, version)).collect();
        let mut schema = match self.api {
            Api::CoreTop => (self.schema)(),
            Api::Spec | Api::CoreSpec => json!({"type": "object", "properties": {"spec": (self.schema)()}}),
        };
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("apiVersion".into(), json!({"type": "string", "enum": versions}));
            properties.insert("kind".into(), json!({"const": self.name}));
            properties.insert("metadata".into(), Meta::schema());
            properties.insert("status".into(), json!({}));
        }
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = self.name.into();
        schema["required"] = json!(["apiVersion", "kind", "metadata"]);
        if self.api == Api::Spec {
            schema["additionalProperties"] = false.into();
        }
        schema
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Reads the objects of one document: one, or the items of a `List`.
///
/// `default_namespace` is for objects that name none; if it is empty they have none.
pub fn read_resource(
    node: Node<'_>,
    file: FileId,
    default_namespace: &str,
    problems: &mut Vec<Problem>,
    outcomes: &mut Vec<Outcome>,
) {
    let text = |key: &str| node.get(key).and_then(|value| value.text());
    let (api, kind) = (text("apiVersion").unwrap_or_default(), text("kind").unwrap_or_default());
    if kind.ends_with("List") && matches!(node.get("items").map(Node::data), Some(Data::List)) {
        for item in node.get("items").into_iter().flat_map(Node::items) {
            read_resource(item, file, default_namespace, problems, outcomes);
        }
        return;
    }
    outcomes.push(read_object(node, api, kind, file, default_namespace, problems));
}

fn read_object(
    node: Node<'_>,
    api: &str,
    kind: &str,
    file: FileId,
    default_namespace: &str,
    problems: &mut Vec<Problem>,
) -> Outcome {
    let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
    let known = KINDS.iter().find(|known| known.group == group && known.name == kind);
    let subject =
        |namespace: Option<Text>, name: Text| Subject { api_version: api.into(), kind: kind.into(), namespace, name };
    let name_of = |node: Node<'_>, key: &str| {
        Text::new(node.get("metadata").and_then(|meta| meta.get(key)?.text()).unwrap_or_default())
    };
    let namespace = match name_of(node, "namespace") {
        given if !given.is_empty() => Some(given),
        _ => Some(Text::new(default_namespace)).filter(|name| !name.is_empty()),
    };
    let mut cx = Reader { file, subject: Some(subject(namespace.clone(), name_of(node, "name"))), problems };
    let Some(known) = known else { return unknown_kind(node, group, kind, &mut cx) };
    let namespace = namespace.filter(|_| known.namespaced);
    cx.subject = Some(subject(namespace.clone(), name_of(node, "name")));
    if !known.versions.contains(&version) {
        let served: Vec<String> = known.versions.iter().map(|version| api_version(group, version)).collect();
        let span = node.get("apiVersion").map_or(node.span(), Node::span);
        let message = format!("`{kind}` has no version `{version}`");
        cx.report(&rules::UNKNOWN_VERSION, span, message, format!("write one of: {}", served.join(", ")));
    }
    let meta_node = node.get("metadata").filter(|meta| !meta.is_null());
    let Some(meta) = meta_node.and_then(|meta| Meta::read(meta, &mut cx)) else {
        if meta_node.is_none() {
            cx.report(
                &rules::NOT_A_RESOURCE,
                node.span(),
                format!("this {kind} has no metadata"),
                "add `metadata: {name: ...}`".into(),
            );
        }
        return Outcome::Broken;
    };
    if known.api == Api::Spec {
        for (key, _) in node.pairs() {
            let allowed = ["apiVersion", "kind", "metadata", "spec", "status"];
            if key.text().is_none_or(|key| !allowed.contains(&key)) {
                cx.unknown_field(key, &allowed);
            }
        }
    }
    let spec = match (known.api, node.get("spec").filter(|spec| !spec.is_null())) {
        (Api::CoreTop, _) => (known.read)(node, &mut cx),
        (_, Some(spec)) => (known.read)(spec, &mut cx),
        // A spec that is left out is an empty one, as the API server has it.
        (_, None) => {
            let empty = empty_map(node);
            (known.read)(empty.root(), &mut cx)
        }
    };
    match spec {
        Some(spec) => {
            let subject = subject(namespace, meta.name.as_ref().map(|name| name.value.clone()).unwrap_or_default());
            Outcome::Read(Box::new(Resource { file, subject, span: node.span(), meta, spec }))
        }
        None => Outcome::Broken,
    }
}

fn empty_map(at: Node<'_>) -> taut_source::Tree {
    let mut builder = taut_source::TreeBuilder::new("".into());
    builder.add(Data::Map, at.span());
    builder.finish()
}

fn unknown_kind(node: Node<'_>, group: &str, kind: &str, cx: &mut Reader<'_>) -> Outcome {
    let span = node.get("kind").map_or(node.span(), Node::span);
    if let Some((.., instead)) = REFUSED_KINDS.iter().find(|(of, name, _)| *of == group && *name == kind) {
        cx.report(
            &rules::UNSUPPORTED_KIND,
            span,
            format!("`{kind}` is not carried to the data plane"),
            (*instead).into(),
        );
        return Outcome::Broken;
    }
    if !MESH_GROUPS.contains(&group) {
        return Outcome::Foreign;
    }
    let names: Vec<&str> = KINDS.iter().filter(|known| known.group == group).map(|known| known.name).collect();
    let help = match closest(kind, &names) {
        Some(like) => format!("did you mean `{like}`?"),
        None => "take it out of the repository, or keep it outside the folder that Taut reads".into(),
    };
    cx.report(&rules::UNSUPPORTED_KIND, span, format!("`{kind}` of `{group}` is not carried to the data plane"), help);
    Outcome::Broken
}
