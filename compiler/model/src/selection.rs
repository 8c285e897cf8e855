//! Who selects whom by labels, found by one label rather than by trying everybody.
//!
//! Invariant: what is found is a superset, in ascending order; whoever asks still compares every label. So it is enough
//! to keep hashes of labels: two that are alike cost a comparison, nothing else.

use std::hash::BuildHasher as _;

use smallvec::SmallVec;
use taut_resources::Labels;

use crate::attachment::{Attached, GATEWAY_NAME};
use crate::labels::{HashMap, LabelSet};

/// The numbers of some objects, by a namespace and a label in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    of: HashMap<u64, Few>,
}

/// Numbers of a list. Most names and labels are those of one or two objects.
pub(crate) type Few = SmallVec<[usize; 2]>;

impl Numbers {
    fn add(&mut self, namespace: &str, label: Option<(&str, &str)>, number: usize) {
        let key = self.of.hasher().hash_one((namespace, label));
        self.of.entry(key).or_default().push(number);
    }

    fn at(&self, namespace: &str, label: Option<(&str, &str)>) -> &[usize] {
        self.of.get(&self.of.hasher().hash_one((namespace, label))).map_or(&[], Few::as_slice)
    }

    /// Adds an object that selects, by the first label that it asks for. Without any it selects the whole namespace.
    pub(crate) fn add_selecting(&mut self, namespace: &str, selector: Option<&Labels>, number: usize) {
        let first = selector.and_then(|selector| selector.iter().next());
        self.add(namespace, first.map(|(name, value)| (name.as_str(), value.as_str())), number);
    }

    /// Adds a policy, by its selector or by the Gateways that it is attached to.
    pub(crate) fn add_attached(&mut self, namespace: &str, policy: &impl Attached, number: usize) {
        if policy.targets().next().is_none() {
            return self.add_selecting(namespace, policy.labels(), number);
        }
        for to in policy.targets() {
            self.add(namespace, Some((GATEWAY_NAME, &to.name)), number);
        }
    }

    /// Adds an object that is selected, by each of its labels.
    pub(crate) fn add_selected(&mut self, namespace: &str, labels: &LabelSet, number: usize) {
        self.add(namespace, None, number);
        for (name, value) in labels.iter() {
            self.add(namespace, Some((name, value)), number);
        }
    }

    /// Objects of a namespace that may select one with these labels.
    pub(crate) fn selecting(&self, namespace: &str, labels: &LabelSet) -> Vec<usize> {
        let mut found = self.everywhere(namespace).to_vec();
        for (name, value) in labels.iter() {
            found.extend(self.at(namespace, Some((name, value))));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Objects that select everything in a namespace.
    pub(crate) fn everywhere(&self, namespace: &str) -> &[usize] {
        self.at(namespace, None)
    }

    /// Objects of a namespace that a selector may select: those with the rarest of its labels.
    pub(crate) fn selected(&self, namespace: &str, selector: &Labels) -> &[usize] {
        let labelled = selector.iter().map(|(name, value)| self.at(namespace, Some((name, value))));
        labelled.min_by_key(|numbers| numbers.len()).unwrap_or_else(|| self.everywhere(namespace))
    }
}
