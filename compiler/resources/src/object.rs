//! How an object of a document becomes a resource.
//!
//! Owns: the envelope (`apiVersion`, `kind`, `metadata`, `spec`), `List`, and what is said of kinds as a whole.
//! Invariant: an object of a mesh API group is read, or reported by name; one of another group that is not in the table
//! of kinds is left alone and counted.

use std::sync::Arc;

use taut_source::{Data, FileId, Node, Problem, Subject, Text, TypeMeta};

use crate::kind::{Api, KINDS, Kind, Resource, Spec, Support};
use crate::meta::{Meta, empty_map};
use crate::read::{Authority, PROBLEMS_MAX, Read, Reader, closest};
use crate::reported::Reported;
use crate::rules;

/// What became of one object of a document.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was read. What of it could not be is in the problems.
    Read(Arc<Resource>),
    /// It was not usable at all; why is in the problems.
    Broken,
    /// It is none of the mesh's business.
    Foreign,
}

/// Groups whose kinds all have a meaning in the mesh: an unknown kind of theirs is reported, not skipped.
const MESH_GROUPS: &[&str] = &[
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
    "gateway.networking.x-k8s.io",
    "inference.networking.k8s.io",
];

/// Lists in lists are rare; deeper than this is a mistake, or an attempt to keep us busy.
const LISTS_MAX: usize = 8;

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
    read_within(node, file, default_namespace, LISTS_MAX, problems, outcomes);
}

fn read_within(
    node: Node<'_>,
    file: FileId,
    default_namespace: &str,
    lists: usize,
    problems: &mut Vec<Problem>,
    outcomes: &mut Vec<Outcome>,
) {
    let text = |key: &str| node.get(key).and_then(|value| value.text()).unwrap_or_default();
    let (api, kind) = (text("apiVersion"), text("kind"));
    if kind.ends_with("List")
        && 0 < lists
        && let Some(items) = node.get("items").filter(|items| matches!(items.data(), Data::List))
    {
        for item in items.items() {
            if PROBLEMS_MAX < problems.len() {
                return;
            }
            read_within(item, file, default_namespace, lists - 1, problems, outcomes);
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
    let known = KINDS.iter().find(|known| known.name == kind && known.group == group);
    let written = |key: &str| {
        let value = node.get("metadata").and_then(|meta| meta.get(key)).and_then(|value| value.text());
        value.map(Text::new).unwrap_or_default()
    };
    let namespaced = known.is_none_or(|known| known.namespaced);
    let namespace = match written("namespace") {
        _ if !namespaced => None,
        given if !given.is_empty() => Some(given),
        _ => Some(Text::new(default_namespace)).filter(|name| !name.is_empty()),
    };
    let served = known.and_then(|known| known.types.iter().find(|served| served.api_version == api));
    let subject = match served {
        Some(served) => Subject::known(served, namespace, written("name")),
        None => {
            let of = TypeMeta { api_version: api.into(), kind: kind.into() };
            Subject::new(of, namespace, written("name"))
        }
    };
    let istio = group.ends_with("istio.io");
    let mut cx = Reader {
        file,
        subject: Some(subject),
        problems,
        authority: if istio { Authority::Istio } else { Authority::Kubernetes },
        refused: known.is_some_and(|known| !matches!(known.support, Support::Carried)),
        lenient: false,
    };
    let Some(known) = known else { return unknown_kind(node, group, kind, &mut cx) };
    if !known.versions.contains(&version) {
        let served: Vec<&str> = known.api_versions().collect();
        let span = node.get("apiVersion").map_or(node.span(), Node::span);
        let message = format!("`{kind}` has no version `{version}`");
        cx.report(&rules::UNKNOWN_VERSION, span, message, format!("write one of: {}", served.join(", ")));
    }
    let Some(meta) = read_meta(node, kind, &mut cx) else {
        refuse(known, node, &mut cx);
        return Outcome::Broken;
    };
    let spec = read_spec(node, known, &mut cx);
    if istio {
        let tried_out = matches!(&spec, Some(Spec::AuthorizationPolicy(policy)) if policy.can_be_tried_out());
        meta.check_annotations(tried_out, &mut cx);
    }
    let resource = spec.zip(cx.subject.clone()).map(|(spec, subject)| {
        let reported = Reported::of(node);
        Arc::new(Resource { file, subject, span: node.span(), meta, spec, reported })
    });
    refuse(known, node, &mut cx);
    resource.map_or(Outcome::Broken, Outcome::Read)
}

fn read_meta(node: Node<'_>, kind: &str, cx: &mut Reader<'_>) -> Option<Meta> {
    let Some(written) = node.get("metadata").filter(|meta| !meta.is_null()) else {
        let help = "add `metadata: {name: ...}`".into();
        cx.report(&rules::NOT_A_RESOURCE, node.span(), format!("this {kind} has no metadata"), help);
        return None;
    };
    let meta = Meta::read(written, cx)?;
    if meta.name.is_none() && meta.generate_name.is_none() && written.get("name").is_none_or(Node::is_null) {
        let help = "add `name:` here".into();
        cx.report(&rules::NOT_A_RESOURCE, written.span(), format!("this {kind} has no name"), help);
    }
    Some(meta)
}

fn read_spec(node: Node<'_>, known: &Kind, cx: &mut Reader<'_>) -> Option<Spec> {
    if known.api == Api::CoreTop {
        return (known.read)(node, cx);
    }
    if known.api != Api::CoreSpec {
        const FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
        for (key, _) in node.pairs() {
            if key.text().is_none_or(|key| !FIELDS.contains(&key)) {
                cx.unknown_field(key, FIELDS);
            }
        }
    }
    match node.get("spec").filter(|spec| !spec.is_null()) {
        Some(spec) => (known.read)(spec, cx),
        None if known.api == Api::RequiredSpec => {
            let _: Option<()> = cx.missing(node, "spec");
            // It is looked at all the same, for what its name and status say; what its spec lacks was said already.
            let before = cx.problems.len();
            let read = (known.read)(empty_map(node).root(), cx);
            cx.problems.truncate(before);
            read
        }
        // A spec that is left out is an empty one, as the API server has it.
        None => (known.read)(empty_map(node).root(), cx),
    }
}

/// Says that a resource of a kind does not reach the data plane, if that is so.
fn refuse(known: &Kind, node: Node<'_>, cx: &mut Reader<'_>) {
    let Support::Refused(instead) = known.support else { return };
    let span = node.get("kind").map_or(node.span(), Node::span);
    let message = format!("`{}` is not carried to the data plane", known.name);
    cx.report(&rules::UNSUPPORTED_KIND, span, message, instead.into());
}

fn unknown_kind(node: Node<'_>, group: &str, kind: &str, cx: &mut Reader<'_>) -> Outcome {
    let at = |key: &str| node.get(key).map_or(node.span(), Node::span);
    if !MESH_GROUPS.contains(&group) {
        // A kind that only the mesh has, without the group that says so.
        let named = KINDS.iter().filter(|known| known.name == kind && MESH_GROUPS.contains(&known.group));
        let groups: Vec<&str> = named.flat_map(Kind::api_versions).collect();
        if node.get("apiVersion").is_none_or(Node::is_null) && !groups.is_empty() {
            let message = format!("this {kind} has no apiVersion");
            cx.report(&rules::NOT_A_RESOURCE, node.span(), message, format!("add one of: {}", groups.join(", ")));
            return Outcome::Broken;
        }
        return Outcome::Foreign;
    }
    if kind.is_empty() {
        let help = "add `kind:`".into();
        cx.report(&rules::NOT_A_RESOURCE, node.span(), format!("this object of `{group}` has no kind"), help);
        return Outcome::Broken;
    }
    let names: Vec<&str> = KINDS.iter().filter(|known| known.group == group).map(|known| known.name).collect();
    match closest(kind, &names) {
        Some(like) => {
            let message = format!("`{group}` has no kind `{kind}`");
            cx.report(&rules::UNKNOWN_KIND, at("kind"), message, format!("did you mean `{like}`?"));
        }
        None => {
            let message = format!("`{kind}` of `{group}` is not carried to the data plane");
            let help = "take it out of the repository, or keep it outside the folder that Taut reads".into();
            cx.report(&rules::UNSUPPORTED_KIND, at("kind"), message, help);
        }
    }
    Outcome::Broken
}
