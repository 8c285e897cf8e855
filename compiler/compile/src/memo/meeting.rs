//! Whether an edit can have to do with what meets at gateways: a gateway's view is made of all routes that are bound to it
//! and of the services that these lead to, which in many meshes are most of them.
//!
//! No rule of sidecars, policy or workload says what a gateway listens to or which requests it sends where. So where
//! nothing else is edited, and nothing comes of it but what is no gateway's, the routes of gateways need not be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taut_resources::{Resource, Spec};
use taut_source::SourceSet;

use super::FileBefore;
use crate::lower::{Part, UnitName};

/// Whether nothing was edited but what is of no gateway.
pub(super) fn is_apart(
    changed: &[usize],
    [before, now]: [&SourceSet; 2],
    files: &[FileBefore],
    resources: &[Arc<Resource>],
    replaced: &BTreeMap<u32, &Arc<Resource>>,
) -> bool {
    let is_replaced = |number: usize| u32::try_from(number).is_ok_and(|number| replaced.contains_key(&number));
    let no_gateways =
        replaced.iter().all(|(number, new)| is_no_gateways(&resources[*number as usize]) && is_no_gateways(new));
    // What is as it was may be a gateway's: its lines must be what they were.
    let stays = |at: &usize| {
        let FileBefore { from, len, .. } = files[*at];
        let kept = (from..from + len).filter(|number| !is_replaced(*number));
        let end = kept.map(|number| resources[number].span.end as usize).max().unwrap_or(0);
        let lines = |sources: &SourceSet| -> Option<Vec<usize>> {
            let bytes = &sources.files()[*at].bytes;
            let until = bytes.get(..end)?;
            Some(until.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place).collect())
        };
        lines(before).is_some_and(|before| lines(now).is_some_and(|now| before == now))
    };
    no_gateways && changed.iter().all(stays)
}

/// Whether a resource says nothing of what gateways listen to, or send where.
fn is_no_gateways(resource: &Resource) -> bool {
    match &resource.spec {
        Spec::VirtualService(spec) => {
            // One without hosts is a delegate, which goes on with the rules of whoever names it.
            !spec.hosts.is_empty()
                && spec.gateways.iter().all(|gateway| gateway.as_str() == "mesh")
                && spec.http.iter().flat_map(|rule| &rule.matches).all(|it| it.gateways.is_empty())
        }
        Spec::AuthorizationPolicy(_) | Spec::Workload(_) => true,
        _ => false,
    }
}

/// Whether these units are no gateway's, and nothing that a gateway looks at.
pub(super) fn stays_apart<'n>(
    mut differing: impl Iterator<Item = &'n UnitName>,
    parts: [&Part; 2],
    mut replaced: impl Iterator<Item = &'n Resource>,
) -> bool {
    let workloads = parts.into_iter().flat_map(|part| &part.workloads);
    let gateways: BTreeSet<String> =
        workloads.filter(|(.., gateway)| *gateway).map(|(namespace, name, ..)| format!("{namespace}/{name}")).collect();
    // Gateways look at the workloads behind services, and hosts show whether these are others now.
    let with_workloads = replaced.any(|resource| matches!(resource.spec, Spec::Workload(_)));
    differing.all(|unit| match unit {
        UnitName::View(name) => !gateways.contains(name.as_str()),
        UnitName::Host(_) | UnitName::Imported(..) => !with_workloads,
    })
}
