//! What operators are told.

use super::*;

/// The most who wait at once. Each costs a comparison in every look.
const WAITERS_MAX: usize = 1000;

/// The longest time that anybody waits.
const WAIT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(Box<Status>),
    Drift(Vec<Drift>),
    Plan(String),
    History(Vec<Record>),
    /// Not the last word: what stands in the way.
    Pending(String),
    Waited(Waited),
    Done(Done),
    /// The order was not carried out, for this reason.
    Failed(String),
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub reply: u64,
    pub until: Duration,
    target: Target,
    /// What was said last.
    said: String,
}

impl Control {
    pub(super) fn wait(&mut self, now: Now, reply: u64, target: Target, timeout: Duration) {
        if WAITERS_MAX <= self.waiters.len() {
            return self.reply(reply, Answer::Failed(format!("{WAITERS_MAX} others wait already: try again later")));
        }
        let until = now.at + timeout.min(WAIT_MOST);
        self.waiters.push(Waiter { reply, until, target, said: String::new() });
    }

    /// Answers those whose time has come.
    pub(super) fn answer(&mut self, now: Now) {
        for mut waiter in std::mem::take(&mut self.waiters) {
            let (outcome, said) = match self.outcome(&waiter.target) {
                Ok(said) => (Outcome::Done, said),
                Err((true, said)) => (Outcome::Refused, said),
                Err((false, said)) if waiter.until <= now.at => (Outcome::Timeout, said),
                Err((false, said)) => {
                    if waiter.said != said {
                        self.reply(waiter.reply, Answer::Pending(said.clone()));
                        waiter.said = said;
                    }
                    self.waiters.push(waiter);
                    continue;
                }
            };
            self.reply(waiter.reply, Answer::Waited(Waited { outcome, said }));
        }
    }

    /// What is so if it has come to pass; or else whether it never will, and what stands in the way.
    fn outcome(&self, target: &Target) -> Result<String, (bool, String)> {
        let standing = match target {
            Target::Current => self.current(),
            Target::Generation(generation) => self.book.generation(*generation, &self.desired),
            Target::Commit(rev) => self.book.commit(rev, &self.desired),
            Target::Snapshot(id) => self.book.snapshot(id, &self.desired),
        };
        match standing {
            None => return Err((false, "git has not offered it yet".to_owned())),
            Some(Standing::Refused(why)) => return Err((true, why)),
            Some(Standing::Pending(why)) => return Err((false, self.obstacles().unwrap_or(why))),
            Some(Standing::Active) => (),
        }
        let Some(head) = &self.desired.active else { return Err((false, "nothing is active yet".to_owned())) };
        let of = |state| self.members.iter().filter(move |(_, member)| member.state == state);
        if let Some((name, _)) = of(MemberState::Refused).find(|(_, member)| member.refuses(head.running())) {
            return Err((true, format!("{name} cannot run generation {}, though it had it staged", head.generation)));
        }
        let live = self.members.values().filter(|member| member.state != MemberState::Excluded);
        let all = live.clone().count();
        let there = live.filter(|member| member.running() == Some(head.running())).count();
        if there < all {
            let late = of(MemberState::Behind).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            return Err((
                false,
                format!("{there} of {all} members run generation {}; not {}", head.generation, late.join(", ")),
            ));
        }
        let Head { generation, release, .. } = head;
        let members = if all == 1 { "member runs" } else { "members run" };
        Ok(format!(
            "{all} live {members} generation {generation}: commit {}, snapshot {}",
            release.commit.short(),
            release.snapshot.short()
        ))
    }

    /// How it stands with whatever the fleet is to run now.
    fn current(&self) -> Option<Standing> {
        let Desired { active, candidate, rejection, .. } = &self.desired;
        Some(match (candidate, rejection, active) {
            (Some(_), _, _) => Standing::Pending("not every member that counts has staged it".to_owned()),
            (None, Some(rejection), _) => {
                let places = rejection.places.join(", ");
                let at = if places.is_empty() { String::new() } else { format!(" ({places})") };
                Standing::Refused(format!("{} refuses it: {}{at}", rejection.member, rejection.refused.why))
            }
            (None, None, Some(_)) => Standing::Active,
            (None, None, None) => return None,
        })
    }

    /// What the candidate waits for.
    fn obstacles(&self) -> Option<String> {
        let pass = self.plan.waits.iter().find(|wait| matches!(wait.step, Step::Pass { .. }))?;
        Some(format!("waiting for {}", pass.until.join(", ")))
    }

    pub(super) fn status(&mut self, now: Now) -> Status {
        let names: Vec<String> = self.members.keys().cloned().collect();
        let mut members = Vec::new();
        for name in names {
            // As it stands now: an input since the last look may have changed it.
            let (state, why) = self.standing(now, &name);
            let Some(member) = self.members.get(&name) else { continue };
            let report = member.session.report();
            let since = if member.state == state { member.since } else { now.clock };
            members.push(MemberStatus {
                kind: member.known.kind.clone(),
                state,
                running: member.running(),
                certificate: report.and_then(|report| report.certificate.clone()),
                endpoint: member.known.endpoint.clone(),
                since,
                why,
                name,
            });
        }
        Status {
            desired: self.desired.clone(),
            members,
            converged: self.is_converged(),
            waiting: if self.desired.hold.is_some() { self.book.waiting() } else { Vec::new() },
        }
    }

    /// Every difference between git, what was activated, and what members run.
    pub(super) fn differences(&self) -> Vec<Drift> {
        let mut drifts: Vec<Drift> = self.git_drift().into_iter().collect();
        drifts.extend(self.drifts.values().map(|it| it.drift.clone()));
        let Some(active) = self.desired.active.as_ref().map(Head::running) else { return drifts };
        for (name, member) in &self.members {
            let stuck = member.refuses(active);
            if stuck && member.presence() == Presence::Live && !self.drifts.contains_key(name) {
                let why = member.session.report().and_then(|report| report.refused.clone());
                drifts.push(Drift {
                    member: Some(name.clone()),
                    kind: DriftKind::Behind,
                    expected: words(Some(active)),
                    found: words(member.running()),
                    since: member.since,
                    why: why.map(|refusal| refusal.refused.why).unwrap_or_default(),
                });
            }
        }
        drifts
    }

    fn git_drift(&self) -> Option<Drift> {
        let Desired { active, candidate, latest, hold, rejection, .. } = &self.desired;
        let found = match active {
            Some(head) => format!("commit {}, snapshot {}", head.release.commit.short(), head.release.snapshot.short()),
            None => "nothing".to_owned(),
        };
        let drift = |expected, since, why| {
            Some(Drift { member: None, kind: DriftKind::Git, expected, found: found.clone(), since, why })
        };
        if let Some((commit, since, why)) = self.book.newest_broken() {
            return drift(format!("commit {}", commit.short()), since, why);
        }
        let latest = latest.as_ref()?;
        let same = |head: &&Head| head.release.snapshot == latest.snapshot;
        if active.as_ref().is_some_and(|head| same(&head)) || candidate.as_ref().is_some_and(|head| same(&head)) {
            return None; // it is there, or on its way
        }
        let expected = format!("commit {}, snapshot {}", latest.commit.short(), latest.snapshot.short());
        match (hold, rejection) {
            (Some(hold), _) => drift(expected, hold.since, format!("{} holds git: {}", hold.who, hold.why)),
            (None, Some(it)) => drift(expected, it.at, format!("{} refuses it: {}", it.member, it.refused.why)),
            (None, None) => None,
        }
    }
}
