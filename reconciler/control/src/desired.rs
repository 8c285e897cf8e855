//! Where the fleet is to go.
//!
//! Owns: which release is active, which is a candidate, what is held, and the numbers of activations.
//! May not: know a member. Invariant: numbers only grow, and every new candidate gets a new one.

use std::time::SystemTime;

use taut_delivery::{Refused, Running};
use taut_snapshot::Digest;

/// A commit of the user's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub rev: String,
    /// The first line of its message.
    pub summary: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub time: SystemTime,
}

impl Commit {
    /// The first twelve characters of the id, as git shows them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.rev.get(..12).unwrap_or(&self.rev)
    }
}

/// What came out of a commit. The contents are in the archive, by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The commit.
    pub commit: Commit,
    /// Its snapshot.
    pub snapshot: Digest,
    /// The endpoints that it declares.
    pub endpoints: Digest,
    /// Where the snapshot's objects came from.
    pub source_map: Digest,
}

/// A release that the fleet was, is, or is to be moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The release.
    pub release: Release,
    /// The number of the activation.
    pub generation: u64,
    /// The generation that first had this release: for a rollback an older one, else its own.
    pub origin: u64,
}

impl Head {
    /// What a member runs that follows it.
    #[must_use]
    pub fn running(&self) -> Running {
        Running { snapshot: self.release.snapshot, generation: self.generation }
    }
}

/// A state of the fleet that git does not change until it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: SystemTime,
}

/// A candidate that a member could not run, so that nobody runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The candidate.
    pub head: Head,
    /// The member.
    pub member: String,
    /// What it said.
    pub refused: Refused,
    /// `file:line Kind namespace/name` of what the object was made from.
    pub places: Vec<String>,
    /// When.
    pub at: SystemTime,
}

/// Where the fleet is to go. The ledger keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// What every member is to run now.
    pub active: Option<Head>,
    /// What was active before. A member that still runs it is on its way.
    pub previous: Option<Head>,
    /// What the fleet is to be moved to, when all who count can run it.
    pub candidate: Option<Head>,
    /// The newest release that git has, active or not.
    pub latest: Option<Release>,
    /// While there is one, git moves nothing.
    pub hold: Option<Hold>,
    /// Why the last candidate came to nothing; none if it did not.
    pub rejection: Option<Rejection>,
    /// The largest number that was ever given, or reported by a member.
    pub generation: u64,
}

/// What follows from a release that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It means what this generation means already, so nothing moves.
    Unchanged(u64),
    /// It is the new candidate.
    Candidate {
        /// Its number.
        generation: u64,
        /// The candidate whose place it takes.
        instead_of: Option<Head>,
    },
}

impl Desired {
    fn number(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Makes a release the one to go to. `origin` is the generation that first had it, for a rollback.
    pub fn deliver(&mut self, release: Release, origin: Option<u64>) -> Delivery {
        self.rejection = None;
        let same = |head: &&mut Head| head.release.snapshot == release.snapshot;
        if let Some(head) = self.candidate.as_mut().filter(same) {
            head.release = release;
            return Delivery::Unchanged(head.generation);
        }
        let instead_of = self.candidate.take();
        if let Some(head) = self.active.as_mut().filter(same) {
            // The snapshot is the same; the commit, the endpoints and the lines may not be.
            head.release = release;
            head.origin = origin.unwrap_or(head.generation);
            return Delivery::Unchanged(head.generation);
        }
        let generation = self.number();
        self.candidate = Some(Head { release, generation, origin: origin.unwrap_or(generation) });
        Delivery::Candidate { generation, instead_of }
    }

    /// The candidate becomes active. From here on it is carried out, whatever happens.
    pub fn pass(&mut self) -> Option<&Head> {
        let candidate = self.candidate.take()?;
        self.previous = self.active.replace(candidate);
        self.rejection = None;
        self.active.as_ref()
    }

    /// The candidate comes to nothing.
    pub fn reject(&mut self, rejection: Rejection) {
        self.candidate = None;
        self.rejection = Some(rejection);
    }

    /// Gives new numbers to what is active and to the candidate, above one that a member has reported: it was given by a
    /// reconciler whose ledger is lost, and members refuse what is older.
    pub fn renumber(&mut self, above: u64) {
        self.generation = self.generation.max(above);
        if let Some(mut head) = self.active.clone().filter(|head| head.generation <= above) {
            head.generation = self.number();
            self.previous = self.active.replace(head);
        }
        if let Some(mut head) = self.candidate.take() {
            let generation = self.number();
            if head.origin == head.generation {
                head.origin = generation;
            }
            self.candidate = Some(Head { generation, ..head });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample::release;

    fn generation(head: Option<&Head>) -> Option<u64> {
        head.map(|head| head.generation)
    }

    #[test]
    fn every_new_candidate_has_a_new_number() {
        let mut desired = Desired::default();
        assert_eq!(desired.deliver(release(1), None), Delivery::Candidate { generation: 1, instead_of: None });
        let first = desired.candidate.clone();
        let delivery = desired.deliver(release(2), None);
        assert_eq!(delivery, Delivery::Candidate { generation: 2, instead_of: first });
        assert_eq!(generation(desired.pass()), Some(2));
        assert_eq!(desired.deliver(release(3), None), Delivery::Candidate { generation: 3, instead_of: None });
        desired.pass();
        assert_eq!(generation(desired.previous.as_ref()), Some(2));
    }

    #[test]
    fn a_commit_that_means_the_same_moves_nothing() {
        let mut desired = Desired::default();
        desired.deliver(release(1), None);
        let commit = Commit { rev: "another".to_owned(), ..release(1).commit };
        let other = Release { commit, ..release(1) };
        assert_eq!(desired.deliver(other.clone(), None), Delivery::Unchanged(1), "while it is a candidate");
        desired.pass();
        assert_eq!(desired.deliver(release(1), None), Delivery::Unchanged(1), "and when it is active");
        desired.deliver(release(2), None);
        assert_eq!(desired.deliver(other.clone(), None), Delivery::Unchanged(1));
        assert_eq!(desired.candidate, None, "what it takes back is not delivered");
        assert_eq!(desired.active.map(|head| head.release), Some(other));
    }

    #[test]
    fn new_numbers_are_above_the_one_that_was_reported() {
        let mut desired = Desired::default();
        desired.deliver(release(1), None);
        desired.pass();
        desired.deliver(release(2), None);
        desired.renumber(17);
        assert_eq!(generation(desired.active.as_ref()), Some(18));
        assert_eq!(generation(desired.candidate.as_ref()), Some(19));
        assert_eq!(generation(desired.previous.as_ref()), Some(1), "a member that runs the old number is on its way");
        desired.renumber(18);
        assert_eq!(generation(desired.active.as_ref()), Some(20));
    }
}
