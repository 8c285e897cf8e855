//! Every rule that the compiler can report, by code.

use taut_source::Rule;

use crate::second_opinion::SECOND_OPINION;
use crate::{exceptions, wide};

/// All rules of all stages, sorted by code.
#[must_use]
pub fn all() -> Vec<&'static Rule> {
    let mut rules = taut_source::yaml_rules();
    rules.extend(taut_resources::rules());
    rules.push(&SECOND_OPINION);
    rules.extend(taut_model::check::checks().map(|check| check.rule));
    rules.extend(wide::RULES);
    rules.extend(exceptions::RULES);
    rules.sort_by_key(|rule| rule.code);
    rules
}
