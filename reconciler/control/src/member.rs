//! One member, as the reconciler knows it.

use std::time::{Duration, SystemTime};

use taut_delivery::publisher::Session;
use taut_delivery::{Boots, ConnectionId, MemberKind, Running, publisher};
use taut_snapshot::{Digest, Endpoint};

use crate::observed::Presence;
use crate::status::{DriftKind, MemberState};

/// What is kept of a member over a restart of the reconciler: who would otherwise be forgotten, though alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub kind: MemberKind,
    /// Its SPIFFE id.
    pub peer: String,
    /// What was activated on it last, and confirmed.
    pub activated: Option<Running>,
    /// Whether nobody moves without it.
    pub counted: bool,
    /// Where it answers.
    pub endpoint: Option<Endpoint>,
}

/// A member in the lifetime of this reconciler.
#[derive(Debug)]
pub(crate) struct Member {
    pub known: Known,
    /// What the ledger has; none before it was written.
    pub written: Option<Known>,
    pub session: Session,
    pub connection: Option<ConnectionId>,
    /// Whether it was told, since its last report, that nobody sends it anything new.
    pub deregistered: bool,
    /// Endpoints may be sent to it from then on.
    pub endpoints_from: Duration,
    pub state: MemberState,
    pub since: SystemTime,
}

/// A difference between what was activated on a member and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub kind: DriftKind,
    pub expected: String,
    pub found: String,
    pub why: String,
}

impl Member {
    /// Whether it is waited for.
    pub(crate) fn presence(&self) -> Presence {
        match self.session.presence() {
            publisher::Presence::Live if self.connection.is_some() => Presence::Live,
            publisher::Presence::Live => Presence::Awaited(self.session.lease_end()),
            publisher::Presence::Fenced(since) => Presence::Silent(since),
            publisher::Presence::Left(since) => Presence::Left(since),
        }
    }

    /// What it said that it runs.
    pub(crate) fn running(&self) -> Option<Running> {
        self.session.report()?.running
    }

    /// Whether it has said that it cannot run this.
    pub(crate) fn refuses(&self, wanted: Running) -> bool {
        let refusal = self.session.report().and_then(|report| report.refused.as_ref());
        refusal.is_some_and(|it| (it.snapshot, it.generation) == (wanted.snapshot, wanted.generation))
    }

    /// How it differs from what was activated on it. `contents` is the digest that its disk should have.
    pub(crate) fn difference(&self, contents: Option<Digest>) -> Option<Difference> {
        let report = self.session.report().filter(|_| self.presence() == Presence::Live)?;
        let activated = self.known.activated?;
        let expected = words(Some(activated));
        if report.running != Some(activated) {
            let (found, why) = (words(report.running), report.note.clone());
            return Some(Difference { kind: DriftKind::Running, expected, found, why });
        }
        let disk = |found: String, why: &str| {
            Some(Difference { kind: DriftKind::Disk, expected: expected.clone(), found, why: why.to_owned() })
        };
        match &report.boots {
            Boots::Damaged(why) => disk("nothing that could be booted".to_owned(), why),
            Boots::Nothing => disk("nothing".to_owned(), "what was kept is gone"),
            Boots::From { running, .. } if *running != activated => {
                disk(words(Some(*running)), "its disk was changed behind its back")
            }
            Boots::From { contents: found, .. } if contents.is_some_and(|contents| contents != *found) => {
                disk(format!("contents {}", found.short()), "its disk was changed behind its back")
            }
            Boots::From { .. } => None,
        }
    }
}

/// What somebody runs, in words.
pub(crate) fn words(running: Option<Running>) -> String {
    match running {
        Some(Running { snapshot, generation }) => format!("generation {generation}, snapshot {}", snapshot.short()),
        None => "nothing".to_owned(),
    }
}
