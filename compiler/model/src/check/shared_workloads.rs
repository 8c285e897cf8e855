//! Objects that are for the same workloads.

use std::collections::BTreeMap;

use taut_resources::Labels;
use taut_source::{Problem, Problems, Related, Rule};

use super::{RELATED_MAX, about, full_name, listed, name_of, place_of, related};
use crate::mesh::{Mesh, Of};

/// Objects by the workload that they are for: its namespace, kind and name. Kind and name are empty for all workloads of
/// a namespace.
pub(super) type ByWorkload<'a, 'r, S> = BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Of<'r, S>>>;

/// The objects that select workloads, by each workload that they select.
pub(super) fn by_workload<'a, 'r, S>(
    mesh: &'a Mesh<'r>,
    all: impl IntoIterator<Item = (&'a Of<'r, S>, Option<&'a Labels>)>,
) -> ByWorkload<'a, 'r, S> {
    let mut selecting = ByWorkload::new();
    for (it, labels) in all {
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { continue };
        for pod in mesh.pods.selected(Some(it.namespace()), labels) {
            let name = (pod.namespace(), pod.resource.subject.kind().as_str(), pod.name().as_str());
            selecting.entry(name).or_default().push(it);
        }
    }
    selecting
}

/// The objects of some, by namespace.
pub(super) fn by_namespace<'a, 'r, S>(all: impl IntoIterator<Item = &'a Of<'r, S>>) -> ByWorkload<'a, 'r, S> {
    let mut groups = ByWorkload::new();
    for it in all {
        groups.entry((it.namespace(), "", "")).or_default().push(it);
    }
    groups
}

/// The others of a group: their names in words, and where they stand.
pub(super) fn others<S>(group: &[&Of<'_, S>], it: &Of<'_, S>, what: &str) -> (String, Vec<Related>) {
    let others = || group.iter().filter(|other| !std::ptr::eq(other.resource, it.resource));
    let names = listed(others().map(|other| full_name(other.resource)));
    (names, others().take(RELATED_MAX).map(|other| related(place_of(other.resource), what)).collect())
}

/// Says of each of several objects that select one workload which others do.
pub(super) fn report_overlapping<S>(selecting: &ByWorkload<'_, '_, S>, rule: &'static Rule, problems: &mut Problems) {
    for ((namespace, kind, name), group) in selecting.iter().filter(|(_, group)| 1 < group.len()) {
        for it in group {
            let (names, related) = others(group, it, "this one selects it too");
            let message = format!("the {kind} `{namespace}/{name}` is selected by {names} as well");
            problems.push(Problem {
                label: "this selector".into(),
                related,
                ..about(it, rule, name_of(it.resource), message, "let one of them select the workload".into())
            });
        }
    }
}

/// Says of each of several objects for all workloads of a namespace which others there are.
pub(super) fn report_several_defaults<S>(
    defaults: &ByWorkload<'_, '_, S>,
    rule: &'static Rule,
    problems: &mut Problems,
) {
    for ((namespace, ..), group) in defaults.iter().filter(|(_, group)| 1 < group.len()) {
        for it in group {
            let (names, related) = others(group, it, "for all workloads too");
            let message = format!(
                "`{namespace}` has other {} objects for all its workloads: {names}",
                it.resource.subject.kind()
            );
            let help = "write one for the namespace, or add selectors".into();
            problems.push(Problem {
                label: "this one".into(),
                related,
                ..about(it, rule, name_of(it.resource), message, help)
            });
        }
    }
}
