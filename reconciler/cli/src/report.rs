//! Problems as people and programs read them.

pub(crate) mod explain;
mod finding;
pub(crate) mod github;
pub(crate) mod gitlab;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod sarif;
mod text;

use taut_source::{Problem, Severity};

/// How many there are of each severity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) infos: usize,
}

impl Tally {
    pub(crate) fn of(problems: &[Problem]) -> Tally {
        let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
        Tally { errors: count(Severity::Error), warnings: count(Severity::Warning), infos: count(Severity::Info) }
    }
}
