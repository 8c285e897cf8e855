//! A network of MeshNetworks whose endpoints come from a cluster that is not known.

use std::collections::BTreeSet;

use taut_source::{Place, Problem, Problems, Rule, Severity, Stage, Subject, Text, TypeMeta};

use crate::check::Check;
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::mesh_wide::unknown_registry",
    istio: Some("IST0126"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "a network of MeshNetworks whose endpoints come from a cluster that is not known",
    why: "The network has no endpoints: traffic to it goes nowhere.",
    bad: r#"# networks.yaml, given with --mesh-networks
networks:
  network1:
    endpoints:
    - fromRegistry: cluster-7
    gateways:
    - address: 192.0.2.1
      port: 443"#,
    good: r#"# networks.yaml, given with --mesh-networks
networks:
  network1:
    endpoints:
    - fromCidr: 10.0.0.0/8
    gateways:
    - address: 192.0.2.1
      port: 443"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// What Istio calls the registries of its own cluster.
const OWN: &[&str] = &["Mock", "Kubernetes", "External"];

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let Some((file, networks)) = mesh.wide.networks else { return };
    let remote =
        mesh.inventory.secrets.iter().filter(|secret| {
            secret.resource.meta.labels.get("istio/multiCluster").is_some_and(|marked| marked == "true")
        });
    let clusters: BTreeSet<&str> = remote
        .flat_map(|secret| secret.spec.data.iter().chain(secret.spec.string_data.iter()))
        .map(|(name, _)| name.as_str())
        .collect();
    let of = TypeMeta { api_version: Text::default(), kind: "MeshNetworks".into() };
    let subject = Subject::new(of, Some(mesh.settings.root_namespace.clone()), "meshnetworks".into());
    for (name, network) in &networks.networks.0 {
        for registry in network.endpoints.iter().filter_map(|endpoints| endpoints.from_registry.as_ref()) {
            if registry.is_empty() || OWN.contains(&registry.as_str()) || clusters.contains(registry.as_str()) {
                continue;
            }
            let message = format!("`{}` of `{}` is no cluster that is known", registry.value, name.value);
            let help = "add the Secret with the label `istio/multiCluster: \"true\"` that leads to the cluster".into();
            let at = Place { file, span: registry.span };
            problems.push(Problem { subject: Some(subject.clone()), help, ..RULE.at(at, message) });
        }
    }
}
