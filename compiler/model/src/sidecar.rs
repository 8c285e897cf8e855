//! Which Sidecar a workload has, and what it lets the workload know (semantics.md §7).

use taut_resources::{EgressListener, Sidecar};

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of, Routing};
use crate::{Service, Text, covers, overlap, selects};

/// The Sidecar of a workload: one with a selector before one without, its own namespace's before the root namespace's;
/// of equals the oldest. They are never merged.
#[must_use]
pub fn sidecar_of<'r>(mesh: &Mesh<'r>, namespace: &str, labels: &LabelSet) -> Option<Of<'r, Sidecar>> {
    let own = mesh.sidecars_for(namespace, labels);
    let selecting = own
        .iter()
        .find(|it| it.spec.workload_selector.as_ref().is_some_and(|selector| selects(&selector.labels, labels)));
    let general = |list: &[Of<'r, Sidecar>]| list.iter().find(|it| it.spec.workload_selector.is_none()).copied();
    let root = mesh.settings.root_namespace.as_str();
    selecting.copied().or_else(|| general(&own)).or_else(|| general(&mesh.sidecars_for(root, labels)))
}

/// What one egress listener lets a workload know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imports {
    namespace: Text,
    admitted: Vec<(Text, Text)>,
    excluded: Vec<(Text, Text)>,
}

impl Imports {
    /// The hosts of a listener, for a workload of a namespace.
    #[must_use]
    pub fn of(listener: &EgressListener, namespace: &Text) -> Imports {
        let mut imports = Imports { namespace: namespace.clone(), admitted: Vec::new(), excluded: Vec::new() };
        for host in &listener.hosts {
            let Some((place, name)) = host.split_once('/') else { continue };
            let name: Text = name.to_ascii_lowercase().into();
            match place.strip_prefix('~') {
                Some("") => {}
                Some(place) => imports.excluded.push((place.into(), name)),
                None => imports.admitted.push((place.into(), name)),
            }
        }
        imports
    }

    fn is_in(&self, place: &str, namespace: &str) -> bool {
        match place {
            "*" => true,
            "." => self.namespace == namespace,
            place => place == namespace,
        }
    }

    /// Whether a service is known.
    #[must_use]
    pub fn admits(&self, service: &Service<'_>) -> bool {
        let within = |list: &[(Text, Text)]| {
            list.iter().any(|(place, name)| self.is_in(place, &service.namespace) && covers(name, &service.host))
        };
        within(&self.admitted) && !within(&self.excluded)
    }

    /// Whether a virtual service counts: some host of it has a name in common with what is known.
    #[must_use]
    pub fn admits_rules(&self, routing: &Routing<'_>) -> bool {
        let namespace = routing.of.namespace();
        let within = |list: &[(Text, Text)], fits: fn(&str, &str) -> bool| {
            let mut hosts = routing.hosts.iter();
            hosts.any(|host| list.iter().any(|(place, name)| self.is_in(place, namespace) && fits(name, host)))
        };
        within(&self.admitted, overlap) && !within(&self.excluded, covers)
    }
}
