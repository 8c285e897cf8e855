//! Labels and selectors (semantics.md §1.8).

use std::collections::BTreeMap;

use taut_resources::{LabelOperator, LabelSelector, Labels};

use crate::Text;

/// A map for looking names up. What it is asked never depends on its order.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

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

/// Whether a selector as Kubernetes writes it admits an object, of which a label is asked for by name. A missing
/// selector admits everything.
pub(crate) fn selector_admits<'l>(selector: Option<&LabelSelector>, label: &dyn Fn(&str) -> Option<&'l str>) -> bool {
    let Some(selector) = selector else { return true };
    let equal = selector.match_labels.iter().all(|(name, value)| label(name) == Some(value.as_str()));
    equal
        && selector.match_expressions.iter().all(|expression| {
            let value = label(&expression.key);
            let listed = || value.is_some_and(|value| expression.values.iter().any(|it| it.as_str() == value));
            match expression.operator.value {
                LabelOperator::In => listed(),
                LabelOperator::NotIn => !listed(),
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        })
}
