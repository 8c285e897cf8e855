//! Workloads: what runs, with which labels and as whom (semantics.md §19).

use std::collections::BTreeSet;

use taut_resources::{Container, OwnerReference, Resource};

use crate::Text;
use crate::labels::{LabelSet, label_set};
use crate::pod::Pod;

/// A workload of a mesh, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(pub u32);

/// One class of workloads: all pods of a template (of a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob),
/// or a pod of its own.
#[derive(Clone, Debug)]
pub struct Workload<'r> {
    /// Where it is declared.
    pub resource: &'r Resource,
    /// Its namespace; empty if the object has none.
    pub namespace: Text,
    /// The name of the object with the template, or the pod's.
    pub name: Text,
    /// The labels of its pods.
    pub labels: LabelSet,
    /// Its service account, `default` if none is named.
    pub service_account: Text,
    /// The ports of its containers: number and name.
    pub ports: Vec<(u16, Option<Text>)>,
    /// Whether it is a gateway: it says so, or some Gateway selects it by labels.
    pub gateway: bool,
    /// Whether it is in the mesh: a workload with the node's network cannot be.
    pub meshed: bool,
}

impl<'r> Workload<'r> {
    pub(crate) fn of(resource: &'r Resource) -> Option<Workload<'r>> {
        let pod = Pod::of(resource)?;
        let templates = pod.annotations.get("inject.istio.io/templates");
        let mut ports = Vec::with_capacity(pod.containers.iter().map(|container| container.ports.len()).sum());
        ports.extend(pod.containers.iter().flat_map(ports_of));
        Some(Workload {
            resource,
            namespace: resource.subject.namespace.clone().unwrap_or_default(),
            name: resource.subject.name.clone(),
            labels: label_set(pod.labels),
            service_account: pod.service_account.map_or("default".into(), |account| account.value.clone()),
            ports,
            gateway: templates.is_some_and(|templates| templates.contains("gateway")),
            meshed: !pod.host_network,
        })
    }

    /// Whether another object of the sources makes its pods, as a Deployment does through its ReplicaSets: they are of
    /// that one's class. Pods stay what they are, since each has an address.
    pub(crate) fn is_made_by(&self, declared: &BTreeSet<(Text, Text, Text)>) -> bool {
        let made = |owner: &OwnerReference| {
            let (Some(kind), Some(name)) = (&owner.kind, &owner.name) else { return false };
            declared.contains(&(self.namespace.clone(), kind.value.clone(), name.value.clone()))
        };
        self.resource.subject.kind() != "Pod" && self.resource.meta.owner_references.iter().any(made)
    }

    /// Its kind and name, for [`Workload::is_made_by`].
    pub(crate) fn declared(&self) -> (Text, Text, Text) {
        (self.namespace.clone(), self.resource.subject.kind().clone(), self.name.clone())
    }

    /// Which of several of one name is kept: a Deployment before other templates, a template before a Pod.
    pub(crate) fn rank(&self) -> (bool, bool, &Text) {
        let kind = self.resource.subject.kind();
        (kind == "Pod", kind != "Deployment", kind)
    }

    /// The container port of a name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(_, known)| known.as_deref() == Some(name)).map(|(number, _)| *number)
    }
}

fn ports_of(container: &Container) -> impl Iterator<Item = (u16, Option<Text>)> {
    container.ports.iter().map(|port| (port.container_port.0, port.name.as_ref().map(|name| name.value.clone())))
}

#[cfg(test)]
mod tests {
    use taut_resources::read_resource;
    use taut_source::{FileId, SourceFile, YamlReader, read_documents};

    use crate::{MeshWide, Settings, convert, resolve};

    fn classes(yaml: &str) -> Vec<String> {
        let file = SourceFile::new("mesh.yaml", yaml.as_bytes());
        let (documents, mut problems) = read_documents(&file, FileId(0), YamlReader::Fast);
        let mut outcomes = Vec::new();
        for document in &documents {
            read_resource(document.tree.root(), FileId(0), "shop", &mut problems, &mut outcomes);
        }
        assert_eq!(problems, []);
        let read = |outcome| match outcome {
            taut_resources::Outcome::Read(resource) => Some(resource),
            _ => None,
        };
        let resources: Vec<_> = outcomes.into_iter().filter_map(read).collect();
        let (settings, wide) = (Settings::default(), MeshWide { config: None, networks: None, now_s: None });
        let converted = convert(&resources, &settings);
        let mesh = resolve(&resources, &converted, settings, wide);
        let class = |it: &crate::Workload<'_>| {
            format!("{} {} {:?} {:?}", it.name, it.service_account, it.labels.get("app"), it.ports)
        };
        mesh.workloads.iter().map(class).collect()
    }

    fn object(kind: &str, name: &str, more: &str) -> String {
        let (api, wrap) = match kind {
            "Job" => ("batch/v1", ""),
            "CronJob" => ("batch/v1", "jobTemplate: {spec: {"),
            _ => ("apps/v1", ""),
        };
        let end = if wrap.is_empty() { "" } else { "}}" };
        let pod = "{serviceAccountName: sa, containers: [{name: c, ports: [{containerPort: 80}]}]}";
        format!(
            "---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec: {{{wrap}template: {{metadata: {{labels: {{app: {name}}}}}, spec: {pod}}}{end}}}\n"
        )
    }

    #[test]
    fn every_kind_with_a_template_makes_a_class() {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"] {
            assert_eq!(classes(&object(kind, "a", "")), [r#"a sa Some("a") [(80, None)]"#], "{kind}");
        }
    }

    #[test]
    fn what_another_declared_object_makes_is_of_its_class() {
        let owned = ", ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: a, uid: x}]";
        let (deployment, set) = (object("Deployment", "a", ""), object("ReplicaSet", "a-5d", owned));
        assert_eq!(classes(&format!("{set}{deployment}")), classes(&deployment));
        assert_eq!(classes(&set).len(), 1, "whoever makes it is not declared");
        let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a-5d-x, ownerReferences: [{kind: ReplicaSet, name: a-5d}]}\nspec: {containers: []}\n";
        assert_eq!(classes(&format!("{deployment}{set}{pod}")).len(), 2, "a pod has an address of its own");
    }

    #[test]
    fn of_two_with_one_name_the_order_of_files_does_not_choose() {
        let (one, two) = (object("Deployment", "a", ""), object("StatefulSet", "a", "").replace("sa,", "other,"));
        assert_eq!(classes(&format!("{one}{two}")), classes(&format!("{two}{one}")));
    }
}
