//! What holds for the whole mesh (semantics.md §15).

use crate::Text;

/// The settings of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first part of every identity.
    pub trust_domain: Text,
    /// Other names of it.
    pub trust_domain_aliases: Vec<Text>,
    /// The namespace whose policies are mesh-wide.
    pub root_namespace: Text,
    /// What follows `.svc.` in the name of a service.
    pub domain_suffix: Text,
}

impl Default for Settings {
    /// Istio's defaults.
    fn default() -> Self {
        Settings {
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            domain_suffix: "cluster.local".into(),
        }
    }
}
