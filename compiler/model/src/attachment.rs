//! Which workloads a policy is for: those that it selects, or those of a Gateway that it is attached to (semantics.md §1.8).
//!
//! Invariant: a policy that is attached to something is for nobody else, whatever its selector.

use taut_resources::{AuthorizationPolicy, Labels, RequestAuthentication, Selector, TargetRef, Telemetry};

use crate::Text;
use crate::labels::{LabelSet, selects};

/// The label of the pods that run a Gateway: its name.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// A kind that selects workloads, or is attached to something.
pub(crate) trait Attached {
    /// Its selector.
    fn selector(&self) -> Option<&Selector>;

    /// What it is attached to.
    fn targets(&self) -> impl Iterator<Item = &TargetRef>;

    /// The labels that it selects by; none if it is for all of a namespace, or attached.
    fn labels(&self) -> Option<&Labels> {
        self.selector().map(|selector| &selector.match_labels).filter(|labels| !labels.is_empty())
    }

    /// Whether it is for all of its namespace.
    fn is_wide(&self) -> bool {
        self.labels().is_none() && self.targets().next().is_none()
    }

    /// Whether it is attached to a Gateway of this name.
    fn names(&self, gateway: Option<&Text>) -> bool {
        gateway.is_some_and(|name| self.targets().any(|to| is_gateway(to) && to.name.value == *name))
    }

    /// Whether the workloads of this Gateway, of its own namespace or of another one, are what it is attached to; none if it
    /// is attached to nothing, so that its selector says whom it is for.
    fn attaches(&self, own: bool, gateway: Option<&Text>) -> Option<bool> {
        self.targets().next().map(|_| own && self.names(gateway))
    }

    /// Whether it is for a workload with these labels, of its own namespace or of another one.
    fn is_for(&self, own: bool, labels: &LabelSet) -> bool {
        let by_selector = || self.labels().is_none_or(|selector| selects(selector, labels));
        self.attaches(own, labels.get(GATEWAY_NAME)).unwrap_or_else(by_selector)
    }
}

/// Whether something is a Gateway: all others are waypoints', which Taut has none of.
pub(crate) fn is_gateway(to: &TargetRef) -> bool {
    to.kind.as_str() == "Gateway"
        && to.group.as_ref().is_some_and(|group| group.as_str() == "gateway.networking.k8s.io")
}

macro_rules! attached {
    ($($Type:ty),*) => {$(
        impl Attached for $Type {
            fn selector(&self) -> Option<&Selector> {
                self.selector.as_ref()
            }

            fn targets(&self) -> impl Iterator<Item = &TargetRef> {
                self.target_ref.as_deref().into_iter().chain(&self.target_refs)
            }
        }
    )*};
}

attached!(AuthorizationPolicy, RequestAuthentication, Telemetry);

#[cfg(test)]
mod tests {
    use taut_resources::{Outcome, Spec, read_resource};
    use taut_source::{FileId, SourceFile, YamlReader, read_documents};

    use super::*;

    fn is_for(spec: &str, own: bool, gateway: Option<&str>) -> bool {
        let text = format!(
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t}}\nspec: {{{spec}tracing: [{{}}]}}\n"
        );
        let file = SourceFile::new("mesh.yaml", text.as_bytes());
        let (documents, mut problems) = read_documents(&file, FileId(0), YamlReader::Fast);
        let mut outcomes = Vec::new();
        read_resource(documents[0].tree.root(), FileId(0), "edge", &mut problems, &mut outcomes);
        let Some(Outcome::Read(resource)) = outcomes.pop() else { panic!("{problems:?}") };
        let Spec::Telemetry(telemetry) = &resource.spec else { panic!("{resource:?}") };
        let of_gateway = gateway.map(|name| (GATEWAY_NAME.into(), name.into()));
        let labels: LabelSet = [("app".into(), "edge".into())].into_iter().chain(of_gateway).collect();
        telemetry.is_for(own, &labels)
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn what_is_attached_is_for_the_pods_of_its_gateways_alone() {
        const G: &str = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: other}, {group: gateway.networking.k8s.io, kind: Gateway, name: g}], ";
        const ONE: &str = "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: g}, ";
        const SERVICE: &str = "targetRef: {group: \"\", kind: Service, name: g}, ";
        let table = [
            ("", true, None, true), ("", true, Some("g"), true), ("", false, None, true),
            ("selector: {matchLabels: {app: edge}}, ", true, Some("g"), true),
            ("selector: {matchLabels: {app: none}}, ", true, Some("g"), false),
            (G, true, Some("g"), true), (G, true, Some("other"), true), (G, true, Some("third"), false), (G, true, None, false),
            (G, false, Some("g"), false), // of another namespace, though it is the root
            (ONE, true, Some("g"), true), (ONE, true, None, false),
            (SERVICE, true, Some("g"), false), (SERVICE, true, None, false), // waypoints'
        ];
        for (spec, own, gateway, want) in table {
            assert_eq!(is_for(spec, own, gateway), want, "{spec} {own} {gateway:?}");
        }
    }
}
