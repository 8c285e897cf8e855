//! What is written into the ledger: who, what, when, why.

use std::time::SystemTime;

use taut_snapshot::Digest;

use crate::desired::{Commit, Head};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the records, from 1. The ledger gives it.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// Who ordered it: a person, `git`, or `taut` itself.
    pub who: String,
    /// What.
    pub what: What,
    /// The commit that it is about.
    pub commit: Option<Commit>,
    /// The snapshot that it is about.
    pub snapshot: Option<Digest>,
    /// The generation that it is about.
    pub generation: Option<u64>,
    /// The member that it is about.
    pub member: Option<String>,
    /// Why; empty if that goes without saying.
    pub why: String,
    /// The problems of a broken commit, or where a refused object came from.
    pub lines: Vec<String>,
}

macro_rules! what {
    ($($(#[doc = $doc:literal])* $What:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum What {
            $($(#[doc = $doc])* $What,)*
        }

        impl What {
            /// The word for it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(What::$What => $word,)*
                }
            }

            /// What a word stands for.
            #[must_use]
            pub fn of(word: &str) -> Option<What> {
                match word {
                    $($word => Some(What::$What),)*
                    _ => None,
                }
            }
        }
    };
}

// Words are forever: old ledgers are read by new programs.
what! {
    /// A commit does not compile. Nothing moves.
    Broken = "broken",
    /// A commit waits behind the hold.
    Waiting = "waiting",
    /// A commit means what is active, or a candidate, already.
    Unchanged = "unchanged",
    /// A commit's snapshot is the new candidate.
    Staging = "staging",
    /// All who count have staged it: it is active.
    Activated = "activated",
    /// Every live member runs it.
    Converged = "converged",
    /// A member cannot run it.
    Refused = "refused",
    /// Something newer took its place before it was active.
    Superseded = "superseded",
    /// An older release is to be active again.
    Rollback = "rollback",
    /// Git moves nothing until this is released.
    Hold = "hold",
    /// Git moves the fleet again.
    Resume = "resume",
    /// A member had a number that was not ours: we go on above it.
    Renumbered = "renumbered",
    /// A member was silent for longer than its lease, and is not waited for.
    Fenced = "fenced",
    /// A member is back.
    Returned = "returned",
    /// Somebody was not let in.
    Rejected = "rejected",
    /// A member differs from what was activated on it.
    Drift = "drift",
    /// It does not any more.
    Healed = "healed",
}

/// Who orders what nobody orders.
pub(crate) const TAUT: &str = "taut";

/// Who orders what a commit says.
pub(crate) const GIT: &str = "git";

impl Record {
    /// A record about nothing in particular yet.
    pub(crate) fn new(at: SystemTime, who: &str, what: What) -> Record {
        Record {
            number: 0,
            at,
            who: who.to_owned(),
            what,
            commit: None,
            snapshot: None,
            generation: None,
            member: None,
            why: String::new(),
            lines: Vec::new(),
        }
    }

    /// About a head.
    pub(crate) fn about(self, head: &Head) -> Record {
        Record {
            commit: Some(head.release.commit.clone()),
            snapshot: Some(head.release.snapshot),
            generation: Some(head.generation),
            ..self
        }
    }

    /// About a member.
    pub(crate) fn by(self, member: &str) -> Record {
        Record { member: Some(member.to_owned()), ..self }
    }

    /// For a reason.
    pub(crate) fn because(self, why: impl Into<String>) -> Record {
        Record { why: why.into(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_for_what_it_was_written_for() {
        for what in [What::Broken, What::Activated, What::Drift, What::Healed] {
            assert_eq!(What::of(what.word()), Some(what));
        }
        assert_eq!(What::of("nonsense"), None);
    }
}
