//! `exportTo`: which namespaces may use something (semantics.md §1.7).

use std::collections::BTreeSet;

use taut_resources::At;

use crate::Text;

/// The namespaces that see a service, a virtual service or a destination rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All of them.
    Public,
    /// These alone; none if empty.
    Only(BTreeSet<Text>),
}

impl Visibility {
    /// Reads `exportTo`; missing means everybody, `.` the object's own namespace, `~` nobody.
    #[must_use]
    pub fn of<'t>(export_to: impl IntoIterator<Item = &'t str>, namespace: &Text) -> Visibility {
        let mut only = BTreeSet::new();
        let mut said = false;
        for entry in export_to {
            said = true;
            match entry {
                "*" => return Visibility::Public,
                "." => {
                    only.insert(namespace.clone());
                }
                "~" => {}
                other => {
                    only.insert(other.into());
                }
            }
        }
        if said { Visibility::Only(only) } else { Visibility::Public }
    }

    /// The same; a missing one means what the mesh says.
    pub(crate) fn of_list(export_to: &[At<Text>], namespace: &Text, otherwise: &[Text]) -> Visibility {
        if export_to.is_empty() {
            return Visibility::of(otherwise.iter().map(Text::as_str), namespace);
        }
        Visibility::of(export_to.iter().map(|entry| entry.as_str()), namespace)
    }

    /// Whether proxies of a namespace see it.
    #[must_use]
    pub fn admits(&self, namespace: &str) -> bool {
        match self {
            Visibility::Public => true,
            Visibility::Only(namespaces) => namespaces.contains(namespace),
        }
    }

    /// Whether nobody outside one namespace sees it.
    #[must_use]
    pub fn private_to(&self, namespace: &str) -> bool {
        matches!(self, Visibility::Only(namespaces) if namespaces.len() == 1 && namespaces.contains(namespace))
    }

    /// Whether some namespace sees both. What nobody sees meets nothing.
    #[must_use]
    pub fn meets(&self, other: &Visibility) -> bool {
        match (self, other) {
            (Visibility::Public, Visibility::Only(only)) | (Visibility::Only(only), Visibility::Public) => {
                !only.is_empty()
            }
            (Visibility::Public, Visibility::Public) => true,
            (Visibility::Only(a), Visibility::Only(b)) => !a.is_disjoint(b),
        }
    }

    /// The namespaces that are named.
    pub fn named(&self) -> impl Iterator<Item = &Text> {
        match self {
            Visibility::Public => None,
            Visibility::Only(namespaces) => Some(namespaces),
        }
        .into_iter()
        .flatten()
    }
}
