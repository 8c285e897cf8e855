//! Which resources an edit can have to do with.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use taut_model::{Reach, Role, Settings, Tie, Ties};
use taut_resources::{Resource, Spec};
use taut_source::Text;

use crate::lower::UnitName;

/// How many ties away the units are that an edit may change, with everything they look at in the part.
const NEAR: u8 = 4;

/// How many ties away the part ends. A gateway's workload looks at the Service before it, the Gateways that this one runs,
/// their routes, and what these continue with or send to; a host, by other names too, at the rules of traffic for it and at
/// the workloads behind it.
const FAR: u8 = NEAR + 8;

/// The most resources of a part, where a quarter of all is less: beyond these everything is compiled. A part is compiled
/// twice, and what is more than that takes as long as all of it.
const PART_MAX: usize = 4096;

/// Who is tied to which names.
pub(super) struct Index {
    ties: Ties,
    asking: HashMap<u64, Vec<u32>>,
    having: HashMap<u64, Vec<u32>>,
    /// Those that everybody has to do with.
    everywhere: Vec<u32>,
    /// Those that everybody may look at, and at nothing behind them.
    known: Vec<u32>,
    /// The hosts that everybody may send to, as the mesh's settings say.
    led_to: Vec<u64>,
    /// The most resources of a part.
    most: usize,
    /// For each namespace that has any, one resource that is or runs as a service account, and one that is a service.
    some: HashMap<u64, u32>,
}

/// A part of the mesh.
pub(super) struct Around {
    /// The numbers of its resources, in order.
    pub(super) resources: Vec<u32>,
    /// Its units, and whether everything that they look at is in it.
    units: HashMap<UnitKey, bool>,
}

#[derive(PartialEq, Eq, Hash)]
enum UnitKey {
    Host(u64),
    View(Text),
}

impl Index {
    /// None if some resource is tied in ways that are not known, or too many are tied to everything.
    pub(super) fn of(resources: &[Arc<Resource>], settings: &Settings) -> Option<Index> {
        let ties = Ties::default();
        let mut index = Index {
            led_to: ties.led_to_by(settings),
            ties,
            asking: HashMap::new(),
            having: HashMap::new(),
            everywhere: Vec::new(),
            known: Vec::new(),
            most: PART_MAX.max(resources.len() / 4),
            some: HashMap::new(),
        };
        for (number, resource) in (0..).zip(resources) {
            index.add(number, resource, settings)?;
            if matches!(resource.spec, Spec::ServiceAccount(_) | Spec::Workload(_)) {
                index.some.entry(index.ties.accounts(namespace_of(resource))).or_insert(number);
            }
            if matches!(resource.spec, Spec::Service(_) | Spec::InferencePool(_)) {
                index.some.entry(index.ties.services(namespace_of(resource))).or_insert(number);
            }
        }
        (index.everywhere.len() + index.known.len() <= index.most).then_some(index)
    }

    fn add(&mut self, number: u32, resource: &Resource, settings: &Settings) -> Option<()> {
        let ties = match self.ties.of(resource, settings) {
            Reach::Tied(ties) => ties,
            Reach::Everywhere(ties) => {
                self.everywhere.push(number);
                ties
            }
            Reach::Known(ties) => {
                self.known.push(number);
                ties
            }
            Reach::Unknown => return None,
        };
        for tie in ties {
            let of = match tie.role {
                Role::Asks | Role::Meets => &mut self.asking,
                Role::Has => &mut self.having,
                Role::Names => continue,
            };
            of.entry(tie.key).or_default().push(number);
        }
        Some(())
    }

    /// Puts a resource in the place of another. Both are tied by names.
    pub(super) fn replace(&mut self, number: u32, old: &Resource, new: &Resource, settings: &Settings) {
        for tie in self.named(old, settings).unwrap_or_default() {
            let of = match tie.role {
                Role::Asks | Role::Meets => &mut self.asking,
                Role::Has => &mut self.having,
                Role::Names => continue,
            };
            if let Some(numbers) = of.get_mut(&tie.key) {
                numbers.retain(|known| *known != number);
            }
        }
        let added = self.add(number, new, settings);
        debug_assert!(added.is_some(), "it was looked at before");
    }

    fn key(&self, unit: &UnitName) -> UnitKey {
        match unit {
            UnitName::Host(host) | UnitName::Imported(_, host) => UnitKey::Host(self.ties.host(host)),
            UnitName::View(name) => UnitKey::View(name.clone()),
        }
    }

    /// The ties of a resource; none if it is tied by more than names.
    pub(super) fn named(&self, resource: &Resource, settings: &Settings) -> Option<Vec<Tie>> {
        match self.ties.of(resource, settings) {
            Reach::Tied(ties) => Some(ties),
            _ => None,
        }
    }

    /// Whether everybody may send to a host that one of these ties is for.
    pub(super) fn leads_to_any(&self, ties: &[Tie]) -> bool {
        ties.iter().any(|tie| self.led_to.contains(&tie.key))
    }

    /// Whether everybody may send to the host of a unit.
    pub(super) fn leads_to(&self, unit: &UnitName) -> bool {
        matches!(self.key(unit), UnitKey::Host(key) if self.led_to.contains(&key))
    }

    /// The part around these resources, some of which become others. What meets at gateways belongs together only if it
    /// is said to.
    pub(super) fn around<'r>(
        &self,
        edited: impl Iterator<Item = u32>,
        resource: impl Fn(u32) -> [Option<&'r Resource>; 2],
        settings: &Settings,
        meeting: bool,
    ) -> Option<Around> {
        let mut seen: HashSet<u32> = HashSet::new();
        let mut leaves: BTreeSet<u32> = BTreeSet::new();
        let mut units = HashMap::new();
        let mut level: Vec<u32> = edited.filter(|number| seen.insert(*number)).collect();
        for distance in 0..=FAR {
            if distance == NEAR + 1 {
                let led_to = self.led_to.iter().flat_map(|key| [self.asking.get(key), self.having.get(key)]);
                let everywhere = self.everywhere.iter().chain(led_to.flatten().flatten());
                level.extend(everywhere.filter(|number| seen.insert(**number)));
            }
            let mut next = Vec::new();
            for number in std::mem::take(&mut level) {
                for resource in resource(number).into_iter().flatten() {
                    let (Reach::Tied(ties) | Reach::Everywhere(ties) | Reach::Known(ties)) =
                        self.ties.of(resource, settings)
                    else {
                        return None;
                    };
                    let namespace = namespace_of(resource);
                    leaves.extend(self.some.get(&self.ties.accounts(namespace)));
                    if matches!(resource.spec, Spec::Workload(_)) {
                        let name = format!("{namespace}/{}", resource.subject.name).into();
                        units.entry(UnitKey::View(name)).or_insert(distance <= NEAR);
                    }
                    for tie in ties {
                        if tie.role == Role::Asks {
                            // Of all names only those of hosts are ever looked up.
                            units.entry(UnitKey::Host(tie.key)).or_insert(distance <= NEAR);
                        }
                        if tie.role == Role::Meets && !meeting {
                            continue;
                        }
                        let asking = self.asking.get(&tie.key).filter(|_| tie.role != Role::Names);
                        let having = self.having.get(&tie.key).filter(|_| tie.role != Role::Has);
                        if tie.role == Role::Names {
                            leaves.extend(having.into_iter().flatten());
                            leaves.extend(self.some.get(&tie.key));
                            continue;
                        }
                        let found = asking.into_iter().chain(having).flatten();
                        next.extend(found.filter(|number| seen.insert(**number)));
                    }
                }
                if self.most < seen.len() {
                    return None;
                }
            }
            level = next;
        }
        // What is further away is only there for the ties that end at it.
        let mut resources: Vec<u32> = seen.into_iter().collect();
        resources.extend(leaves);
        resources.extend(&self.known);
        resources.sort_unstable();
        resources.dedup();
        Some(Around { resources, units })
    }
}

fn namespace_of(resource: &Resource) -> &str {
    resource.subject.namespace.as_deref().unwrap_or_default()
}

impl Around {
    /// Whether a unit is one of the part's, rather than of what is only there to be looked at.
    pub(super) fn has(&self, unit: &UnitName, index: &Index) -> bool {
        self.units.contains_key(&index.key(unit))
    }

    /// Whether everything that a unit looks at is in the part.
    pub(super) fn is_near(&self, unit: &UnitName, index: &Index) -> bool {
        self.units.get(&index.key(unit)).is_some_and(|near| *near)
    }
}
