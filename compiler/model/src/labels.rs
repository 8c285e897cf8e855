//! Labels and selectors (semantics.md §1.8).

use std::collections::BTreeMap;

use taut_resources::Labels;

use crate::Text;

/// Labels of a workload, by name.
pub type LabelSet = BTreeMap<Text, Text>;

/// Whether every label of a selector is one of the workload's. An empty selector selects everything.
#[must_use]
pub fn selects(selector: &Labels, labels: &LabelSet) -> bool {
    selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

pub(crate) fn label_set(labels: &Labels) -> LabelSet {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
