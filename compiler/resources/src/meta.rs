//! What every resource has: a name, labels, annotations.

use taut_source::{Node, Text};

use crate::grammar::{LABEL_KEY, LABEL_VALUE, NAMESPACE, SUBDOMAIN};
use crate::message::message;
use crate::read::{At, Labels, List, Reader, TextAt};
use crate::rules;

message! {
    /// `metadata`, as far as the mesh reads it.
    pub struct Meta open {
        /// The name; unique per kind and namespace.
        name: Option<TextAt> = "name", chars(1..=253), is(SUBDOMAIN);
        /// What a name is generated from when the object is created.
        generate_name: Option<TextAt> = "generateName";
        /// The namespace; the run's default where it is missing.
        namespace: Option<TextAt> = "namespace", if_set(NAMESPACE);
        /// Labels, which selectors compare.
        labels: Labels = "labels", keys(LABEL_KEY), is(LABEL_VALUE);
        /// Annotations.
        annotations: Labels = "annotations", keys(LABEL_KEY);
        /// When a cluster created it. Git knows no such time, so it decides nothing unless a file carries it.
        creation_timestamp: Option<Box<At<Text>>> = "creationTimestamp";
        /// The objects that made this one, such as the ReplicaSet of a Pod.
        owner_references: List<OwnerReference> = "ownerReferences";
    }
}

message! {
    /// An object that made another one.
    pub struct OwnerReference open {
        /// Its kind.
        kind: Option<At<Text>> = "kind";
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Whether it manages what it made.
        controller: Option<At<bool>> = "controller";
    }
}

/// Annotations that the control plane writes for itself.
const INTERNAL: &[&str] = &[
    "internal.istio.io/parents",
    "internal.istio.io/service-account-name",
    "internal.istio.io/route-semantics",
    "internal.istio.io/gateway-semantics",
];

const DRY_RUN: &str = "istio.io/dry-run";

impl Meta {
    /// Reports annotations that Istio's webhook refuses on any resource (semantics.md §1.3). `dry_run` says whether
    /// the resource is one that can be tried out.
    pub(crate) fn check_annotations(&self, dry_run: bool, cx: &mut Reader<'_>) {
        for (name, value) in &self.annotations.0 {
            if INTERNAL.contains(&name.value.as_str()) {
                let message = format!("`{}` is for the control plane to write", name.value);
                cx.report(&rules::ANNOTATION, name.span, message, "take it away".into());
            } else if name.value == DRY_RUN && !dry_run {
                let message = format!("`{DRY_RUN}` is for AuthorizationPolicies with the action ALLOW or DENY");
                cx.report(&rules::ANNOTATION, name.span, message, "take it away".into());
            } else if name.value == DRY_RUN && !is_go_boolean(&value.value) {
                let message = format!("`{DRY_RUN}` is `{}`, not a boolean", value.value);
                cx.report(&rules::ANNOTATION, value.span, message, "write \"true\" or \"false\"".into());
            }
        }
    }
}

/// What Go's `strconv.ParseBool` takes.
fn is_go_boolean(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False")
}

/// An empty map at a place: what a spec is that was left out.
pub(crate) fn empty_map(at: Node<'_>) -> taut_source::Tree {
    let mut builder = taut_source::TreeBuilder::new("".into());
    builder.add(taut_source::Data::Map, at.span());
    builder.finish()
}
