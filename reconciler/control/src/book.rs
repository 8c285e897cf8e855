//! What became of each commit, as the ledger's records tell it.
//!
//! Owns: answers to "is my commit live?". Invariant: it is a fold over records, so that it is the same after a restart.

use std::collections::BTreeMap;
use std::time::SystemTime;

use taut_snapshot::Digest;

use crate::desired::{Commit, Desired, Head};
use crate::record::{Record, What};

/// How many commits are remembered. Older ones are in the ledger; nobody waits for them.
const COMMITS_MAX: usize = 1000;

/// How many generations are remembered.
const FATES_MAX: usize = 2 * COMMITS_MAX;

/// What became of commits and generations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    commits: Vec<Entry>,
    fates: BTreeMap<u64, Fate>,
    /// The newest generation that every live member was seen to run.
    pub converged: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    commit: Commit,
    snapshot: Option<Digest>,
    became: Became,
    at: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Became {
    Broken(String),
    Waiting,
    Generation(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    UnderWay,
    Active,
    Refused(String),
    Superseded(String),
}

/// How it stands with something that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is active. Whether every member runs it is another question.
    Active,
    /// It is not yet, for this reason.
    Pending(String),
    /// It will not be, for this reason.
    Refused(String),
}

impl Book {
    /// Takes note of a record.
    pub(crate) fn note(&mut self, record: &Record) {
        let generation = record.generation.unwrap_or(0);
        match record.what {
            What::Broken => {
                let lines = if record.lines.is_empty() { &record.why } else { &record.lines.join("; ") };
                self.enter(record, Became::Broken(format!("it does not compile: {lines}")));
            }
            What::Waiting => self.enter(record, Became::Waiting),
            What::Unchanged | What::Staging => {
                // Whatever waited is older, and part of this one.
                for entry in self.commits.iter_mut().filter(|entry| entry.became == Became::Waiting) {
                    entry.became = Became::Generation(generation);
                }
                self.enter(record, Became::Generation(generation));
                self.fates.entry(generation).or_insert(Fate::UnderWay);
            }
            What::Rollback => {
                self.fates.entry(generation).or_insert(Fate::UnderWay);
            }
            What::Renumbered => self.renumber(generation),
            What::Activated => {
                self.fates.insert(generation, Fate::Active);
            }
            What::Superseded => {
                // What a member has refused was refused, whatever came after.
                let fate = self.fates.entry(generation).or_insert(Fate::UnderWay);
                if *fate == Fate::UnderWay {
                    *fate = Fate::Superseded(record.why.clone());
                }
            }
            What::Refused if self.fates.get(&generation) != Some(&Fate::Active) => {
                let member = record.member.as_deref().unwrap_or("a member");
                let places =
                    if record.lines.is_empty() { String::new() } else { format!(" ({})", record.lines.join(", ")) };
                self.fates.insert(generation, Fate::Refused(format!("{member} refuses it: {}{places}", record.why)));
            }
            What::Converged => self.converged = self.converged.max(generation),
            _ => (),
        }
        if FATES_MAX < self.fates.len() {
            self.fates.pop_first();
        }
    }

    /// The candidate has another number now.
    fn renumber(&mut self, generation: u64) {
        self.fates.retain(|old, fate| {
            let under_way = *fate == Fate::UnderWay;
            if under_way {
                let named = self.commits.iter_mut().filter(|entry| entry.became == Became::Generation(*old));
                named.for_each(|entry| entry.became = Became::Generation(generation));
            }
            !under_way
        });
        self.fates.insert(generation, Fate::UnderWay);
    }

    fn enter(&mut self, record: &Record, became: Became) {
        let Some(commit) = record.commit.clone() else { return };
        self.commits.retain(|entry| entry.commit.rev != commit.rev);
        self.commits.push(Entry { commit, snapshot: record.snapshot, became, at: record.at });
        if COMMITS_MAX < self.commits.len() {
            self.commits.remove(0);
        }
    }

    /// The commits that wait behind the hold, oldest first.
    pub(crate) fn waiting(&self) -> Vec<Commit> {
        let waiting = self.commits.iter().filter(|entry| entry.became == Became::Waiting);
        waiting.map(|entry| entry.commit.clone()).collect()
    }

    /// Whether a commit is known not to compile.
    pub(crate) fn is_broken(&self, rev: &str) -> bool {
        let entry = self.commits.iter().find(|entry| entry.commit.rev == rev);
        entry.is_some_and(|entry| matches!(entry.became, Became::Broken(_)))
    }

    /// The newest commit, if it does not compile: since when that is known, and why.
    pub(crate) fn newest_broken(&self) -> Option<(&Commit, SystemTime, String)> {
        let entry = self.commits.last()?;
        match &entry.became {
            Became::Broken(why) => Some((&entry.commit, entry.at, why.clone())),
            Became::Waiting | Became::Generation(_) => None,
        }
    }

    /// How it stands with a generation; none if there is no such generation yet.
    pub(crate) fn generation(&self, generation: u64, desired: &Desired) -> Option<Standing> {
        if desired.active.as_ref().is_some_and(|head| generation <= head.generation) {
            return Some(match self.fates.get(&generation) {
                Some(Fate::Refused(why) | Fate::Superseded(why)) => Standing::Refused(why.clone()),
                _ => Standing::Active,
            });
        }
        Some(match self.fates.get(&generation)? {
            Fate::Refused(why) | Fate::Superseded(why) => Standing::Refused(why.clone()),
            Fate::UnderWay | Fate::Active => Standing::Pending("not every member that counts has staged it".to_owned()),
        })
    }

    /// How it stands with the newest commit whose id begins so; none if there is no such commit.
    pub(crate) fn commit(&self, rev: &str, desired: &Desired) -> Option<Standing> {
        let entry = self.commits.iter().rev().find(|entry| entry.commit.rev.starts_with(rev))?;
        Some(self.standing(entry, desired))
    }

    /// How it stands with the newest snapshot whose id begins so; none if there is no such snapshot.
    pub(crate) fn snapshot(&self, id: &str, desired: &Desired) -> Option<Standing> {
        if desired.active.as_ref().is_some_and(|head| head.release.snapshot.to_string().starts_with(id)) {
            return Some(Standing::Active);
        }
        let named = |entry: &&Entry| entry.snapshot.is_some_and(|snapshot| snapshot.to_string().starts_with(id));
        Some(self.standing(self.commits.iter().rev().find(named)?, desired))
    }

    fn standing(&self, entry: &Entry, desired: &Desired) -> Standing {
        let asked = match &entry.became {
            Became::Broken(why) => return Standing::Refused(why.clone()),
            Became::Waiting => {
                return Standing::Pending("it waits behind the hold; `taut resume` ends that".to_owned());
            }
            Became::Generation(generation) => *generation,
        };
        let active = desired.active.as_ref().map_or((0, 0), |head| (head.generation, head.origin));
        // What runs was built upon it, and is being taken back to it: whoever waits for it waits for that.
        let under_way = desired.candidate.as_ref().filter(|head| asked <= head.origin && head.origin < active.1);
        if let Some(Head { generation, .. }) = under_way {
            return Standing::Pending(format!("generation {generation}, a rollback, is on its way"));
        }
        let newer = |(generation, fate): (&u64, &Fate)| asked < *generation && *fate == Fate::UnderWay;
        match self.fates.get(&asked) {
            Some(Fate::Refused(why)) => Standing::Refused(why.clone()),
            // Itself, or something newer that was built upon it.
            _ if asked <= active.1 => Standing::Active,
            Some(Fate::Superseded(why)) if !self.fates.iter().any(newer) => Standing::Refused(why.clone()),
            Some(Fate::Active) => {
                let (generation, origin) = active;
                Standing::Refused(format!(
                    "generation {generation} is active, a rollback to what generation {origin} was"
                ))
            }
            _ => Standing::Pending("not every member that counts has staged it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Delivery;
    use crate::record::GIT;
    use crate::status::sample::release;

    /// A history, told by what was ordered. Numbers name releases.
    struct History {
        book: Book,
        desired: Desired,
    }

    impl History {
        fn new() -> History {
            History { book: Book::default(), desired: Desired::default() }
        }

        fn note(&mut self, what: What, number: u8, generation: u64) {
            let release = release(number);
            let record = Record::new(SystemTime::UNIX_EPOCH, GIT, what).because("so it was");
            let (commit, snapshot) = (Some(release.commit), Some(release.snapshot));
            self.book.note(&Record { commit, snapshot, generation: Some(generation), ..record });
        }

        fn deliver(&mut self, number: u8) {
            match self.desired.deliver(release(number), None) {
                Delivery::Unchanged(generation) => self.note(What::Unchanged, number, generation),
                Delivery::Candidate { generation, instead_of } => {
                    if let Some(head) = instead_of {
                        self.note(What::Superseded, number, head.generation);
                    }
                    self.note(What::Staging, number, generation);
                }
            }
        }

        fn pass(&mut self) {
            let generation = self.desired.pass().unwrap().generation;
            self.note(What::Activated, 0, generation);
        }

        fn rollback(&mut self, number: u8, origin: u64) {
            if let Delivery::Candidate { generation, .. } = self.desired.deliver(release(number), Some(origin)) {
                self.note(What::Rollback, number, generation);
            }
        }

        fn standing(&self, number: u8) -> Option<&'static str> {
            Some(match self.book.commit(&release(number).commit.rev, &self.desired)? {
                Standing::Active => "active",
                Standing::Pending(_) => "pending",
                Standing::Refused(_) => "refused",
            })
        }
    }

    #[test]
    fn a_commit_is_live_when_it_or_a_newer_one_is_active() {
        let mut history = History::new();
        history.deliver(1);
        assert_eq!(history.standing(1), Some("pending"));
        assert_eq!(history.standing(9), None, "not seen yet");
        history.deliver(2);
        assert_eq!((history.standing(1), history.standing(2)), (Some("pending"), Some("pending")));
        history.pass();
        assert_eq!((history.standing(1), history.standing(2)), (Some("active"), Some("active")));
    }

    #[test]
    fn a_commit_that_a_rollback_took_back_is_refused_with_the_reason() {
        let mut history = History::new();
        for number in 1..=3 {
            history.deliver(number);
            history.pass();
        }
        history.rollback(1, 1);
        assert_eq!(
            (history.standing(1), history.standing(3)),
            (Some("pending"), Some("active")),
            "no member runs the first before the rollback is active"
        );
        history.pass();
        assert_eq!(
            (history.standing(1), history.standing(2), history.standing(3)),
            (Some("active"), Some("refused"), Some("refused"))
        );
        let standing = history.book.commit(&release(3).commit.rev, &history.desired);
        let why = "generation 4 is active, a rollback to what generation 1 was".to_owned();
        assert_eq!(standing, Some(Standing::Refused(why)));
    }

    #[test]
    fn a_commit_behind_a_hold_is_pending_and_part_of_what_comes_after() {
        let mut history = History::new();
        history.deliver(1);
        history.pass();
        history.note(What::Waiting, 2, 0);
        history.note(What::Waiting, 3, 0);
        assert_eq!(history.standing(2), Some("pending"));
        assert_eq!(history.book.waiting().len(), 2);
        history.deliver(3);
        assert!(history.book.waiting().is_empty());
        history.pass();
        assert_eq!((history.standing(2), history.standing(3)), (Some("active"), Some("active")));
    }

    #[test]
    fn a_commit_that_a_member_refuses_is_refused_for_ever() {
        let mut history = History::new();
        history.deliver(1);
        history.pass();
        history.deliver(2);
        history.note(What::Refused, 2, 2);
        assert_eq!(history.standing(2), Some("refused"));
        history.deliver(3);
        history.pass();
        assert_eq!((history.standing(2), history.standing(3)), (Some("refused"), Some("active")));
    }

    #[test]
    fn a_commit_follows_its_generation_to_a_new_number() {
        let mut history = History::new();
        history.deliver(1);
        history.desired.renumber(17);
        history.note(What::Renumbered, 1, 18);
        assert_eq!(history.standing(1), Some("pending"));
        history.pass();
        assert_eq!(history.standing(1), Some("active"));
    }
}
