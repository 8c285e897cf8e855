//! Labels and selectors (semantics.md §1.8).

use taut_resources::{LabelOperator, LabelSelector, Labels};

use crate::Text;

/// A map for looking names up. What it is asked never depends on its order.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Labels of a workload: sorted by name, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Vec<(Text, Text)>);

impl LabelSet {
    /// No labels.
    #[must_use]
    pub fn new() -> LabelSet {
        LabelSet::default()
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Text> {
        // There are a few, and most names differ in their first letters.
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// Of two values of one name the later counts.
impl FromIterator<(Text, Text)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (Text, Text)>>(labels: I) -> LabelSet {
        let mut all: Vec<(Text, Text)> = labels.into_iter().collect();
        all.reverse();
        all.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable: the latest of a name comes first
        all.dedup_by(|(one, _), (other, _)| one == other);
        all.shrink_to_fit();
        LabelSet(all)
    }
}

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
