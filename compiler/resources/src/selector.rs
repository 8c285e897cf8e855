//! Which workloads something is about: by labels, or by the gateway or service in front of them (semantics.md §1.8).

use taut_source::{Node, Text};

use crate::grammar::{API_GROUP, API_KIND, SELECTOR_KEY, SELECTOR_VALUE};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;

message! {
    /// Which workloads something is about.
    pub struct Selector {
        /// Every one of these labels must be equal; none means every workload.
        match_labels: Labels = "matchLabels", items(..=4096), chars(..=63), keys(SELECTOR_KEY), is(SELECTOR_VALUE);
    }
    where check(Selector::doubt);
}

message! {
    /// Which workloads something is about, as the networking kinds write it.
    pub struct WorkloadSelector {
        /// Every one of these labels must be equal; none means every workload.
        labels: Labels = "labels", items(..=256), chars(..=63), keys(SELECTOR_KEY), is(SELECTOR_VALUE);
    }
    where check(WorkloadSelector::doubt);
}

message! {
    /// A gateway or service that a policy is attached to, in the policy's own namespace.
    pub struct TargetRef {
        /// The group of its kind; empty for the core one.
        group: Option<At<Text>> = "group", chars(..=253), is(API_GROUP);
        /// Gateway, GatewayClass, Service or ServiceEntry.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Must be empty: a policy cannot reach into another namespace.
        namespace: Option<At<Text>> = "namespace", chars(..=0);
    }
    where check(TargetRef::check);
}

message! {
    /// Which objects are selected, as Kubernetes writes it.
    pub struct LabelSelector {
        /// Every one of these labels must be equal.
        match_labels: Labels = "matchLabels";
        /// All of these hold.
        match_expressions: List<LabelExpression> = "matchExpressions";
    }
}

keyword! {
    /// How a label is compared with values.
    pub enum LabelOperator {
        /// It is one of them.
        In = "In";
        /// It is none of them.
        NotIn = "NotIn";
        /// It is there.
        Exists = "Exists";
        /// It is not there.
        DoesNotExist = "DoesNotExist";
    }
}

message! {
    /// One condition on a label.
    pub struct LabelExpression {
        /// The label.
        key: At<Text> = "key";
        /// How it is compared.
        operator: At<LabelOperator> = "operator";
        /// What it is compared with.
        values: List<At<Text>> = "values";
    }
}

/// What a policy can be attached to, by group and kind.
const TARGETS: &[(&str, &str)] = &[
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
];

fn doubt(empty: bool, node: Node<'_>, cx: &mut Reader<'_>) {
    if empty {
        let message = format!("`{}` has no labels, which selects every workload", node.path());
        cx.report(&rules::DOUBTFUL, node.span(), message, "add labels, or leave the selector out".into());
    }
}

impl Selector {
    fn doubt(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        doubt(self.match_labels.is_empty(), node, cx);
    }
}

impl WorkloadSelector {
    fn doubt(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        doubt(self.labels.is_empty(), node, cx);
    }
}

impl TargetRef {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        let group = self.group.as_ref().map_or("", |group| group.value.as_str());
        if !TARGETS.contains(&(group, self.kind.value.as_str())) {
            let message = format!("`{}` is nothing that a policy can be attached to", node.path());
            let help = "write a Service, a ServiceEntry (group networking.istio.io), or a Gateway or GatewayClass (group \
                        gateway.networking.k8s.io)";
            cx.report(&rules::BAD_VALUE, self.kind.span, message, help.into());
        } else if self.kind.as_str() != "Gateway" && !cx.refused {
            let message = format!("a policy for a {} is for waypoints, which Taut does not run", self.kind.value);
            let help = "select the workloads by labels, with `selector:`";
            cx.report(&rules::UNSUPPORTED_VALUE, self.kind.span, message, help.into());
        }
    }
}
