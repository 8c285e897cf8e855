//! What is known of the fleet: what each member has reported, and nothing that was only sent to it.

use std::collections::BTreeMap;
use std::time::Duration;

use taut_delivery::{Refusal, Running};
use taut_snapshot::Digest;

/// All members, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The members.
    pub members: BTreeMap<String, Seen>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is waited for.
    pub presence: Presence,
    /// Whether nobody moves without it: it runs what is active, or is on its way from what was active before.
    pub counted: bool,
    /// What it runs.
    pub running: Option<Running>,
    /// What it could activate at once.
    pub staged: Option<Digest>,
    /// What it cannot run.
    pub refused: Option<Refusal>,
    /// If it differs from what was activated on it: how, and when that is to be put right.
    pub drift: Option<(String, Duration)>,
    /// Why it has no part in what is active, if it has none.
    pub no_part_in_active: Option<String>,
    /// Why it has no part in the candidate, if it has none.
    pub no_part_in_candidate: Option<String>,
}

/// Whether a member is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Live,
    /// It was there before this reconciler started, or its connection broke, and its lease is not over: until then.
    Awaited(Duration),
    /// It was silent for too long, since then.
    Silent(Duration),
    /// It has stopped on purpose, at that time.
    Left(Duration),
}

impl Presence {
    /// Whether nobody moves without it, if it counts.
    #[must_use]
    pub fn is_waited_for(self) -> bool {
        matches!(self, Presence::Live | Presence::Awaited(_))
    }
}
