//! What operators are told: the shapes of contracts.md, "The running system", as values.

use std::time::SystemTime;

use taut_delivery::{CertificateReport, MemberKind, Running};
use taut_snapshot::{Digest, Endpoint};

use crate::desired::{Commit, Desired};

/// The fleet, as its members reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it is to go: the candidate if there is one, or else what is active.
    pub desired: Desired,
    /// The members, by name.
    pub members: Vec<MemberStatus>,
    /// Whether every live member runs what is active, and nothing else is under way.
    pub converged: bool,
    /// Commits that wait behind the hold, oldest first.
    pub waiting: Vec<Commit>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// How it stands with it.
    pub state: MemberState,
    /// What it runs, as it said itself; none if it has not said anything to this reconciler.
    pub running: Option<Running>,
    /// Its certificate, as it said itself.
    pub certificate: Option<CertificateReport>,
    /// Where it answers, as it said itself.
    pub endpoint: Option<Endpoint>,
    /// Since when it has been in this state.
    pub since: SystemTime,
    /// Why it is not live; empty if it is.
    pub why: String,
}

/// How it stands with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It runs what is active.
    Live,
    /// It runs what is active, and makes ready for the candidate.
    Staging,
    /// It does not run what is active yet.
    Behind,
    /// It is not waited for.
    Excluded,
    /// It cannot run what it was last offered.
    Refused,
}

impl MemberState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            MemberState::Live => "live",
            MemberState::Staging => "staging",
            MemberState::Behind => "behind",
            MemberState::Excluded => "excluded",
            MemberState::Refused => "refused",
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<MemberState> {
        use MemberState::{Behind, Excluded, Live, Refused, Staging};
        [Live, Staging, Behind, Excluded, Refused].into_iter().find(|state| state.word() == word)
    }
}

/// A difference between what git says, what was activated, and what members run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The member; none for a difference between git and the fleet.
    pub member: Option<String>,
    /// Of which kind it is.
    pub kind: DriftKind,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
    /// Since when it has been known.
    pub since: SystemTime,
    /// Why, as far as is known.
    pub why: String,
}

impl Drift {
    /// What differs, in a sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
        format!("expected {}, found {}{why}", self.expected, self.found)
    }
}

/// Between what and what the difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// Git has something else than what is active.
    Git,
    /// A member runs something else than what was activated on it.
    Running,
    /// A member would boot something else than what it runs.
    Disk,
    /// A member cannot be brought to what is active.
    Behind,
}

impl DriftKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            DriftKind::Git => "git",
            DriftKind::Running => "running",
            DriftKind::Disk => "disk",
            DriftKind::Behind => "behind",
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<DriftKind> {
        use DriftKind::{Behind, Disk, Git, Running};
        [Git, Running, Disk, Behind].into_iter().find(|kind| kind.word() == word)
    }
}

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// What.
    pub outcome: Outcome,
    /// What is so now, or what stands in the way.
    pub said: String,
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every live member runs it.
    Done,
    /// It will not come to that.
    Refused,
    /// The time was over first.
    Timeout,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Timeout => "timeout",
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Outcome> {
        [Outcome::Done, Outcome::Refused, Outcome::Timeout].into_iter().find(|outcome| outcome.word() == word)
    }
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The generation that it concerns, if it is one.
    pub generation: Option<u64>,
    /// The snapshot of that generation.
    pub snapshot: Option<Digest>,
    /// What was done, in a sentence.
    pub said: String,
}

#[cfg(test)]
pub(crate) mod sample {
    //! Small values for the tests of this crate.

    use std::time::{Duration, SystemTime};

    use taut_snapshot::Digest;

    use crate::desired::{Commit, Release};

    /// A release that is told from others by a number.
    pub(crate) fn release(number: u8) -> Release {
        let commit = Commit {
            rev: format!("{number:02x}").repeat(20),
            summary: format!("change {number}"),
            author: "Ada".to_owned(),
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(number)),
        };
        let digest = |kind: u8| Digest([number.wrapping_mul(16) + kind; 32]);
        Release { commit, snapshot: digest(0), endpoints: digest(1), source_map: digest(2) }
    }
}
