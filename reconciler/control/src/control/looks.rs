//! What is known of the fleet: who is there, who counts, what differs.

use super::*;

impl Control {
    /// Lets time pass for everybody.
    pub(super) fn tick(&mut self, now: Now) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in &names {
            self.session(now, name, publisher::Input::Tick);
        }
        let count = |is: &dyn Fn(Presence) -> bool| self.members.values().filter(|it| is(it.presence())).count();
        let heard = count(&|presence| presence == Presence::Live);
        let silent = count(&|presence| matches!(presence, Presence::Silent(_) | Presence::Awaited(_)));
        self.hearing.note(now.at, heard, silent);
        let over = |member: &Member| match member.presence() {
            Presence::Live | Presence::Awaited(_) => false,
            Presence::Silent(since) => self.hearing.is_over(now.at, since, FORGET_AFTER),
            Presence::Left(since) => since + FORGET_AFTER <= now.at,
        };
        let gone: Vec<String> = names.into_iter().filter(|name| self.members.get(name).is_some_and(over)).collect();
        gone.iter().for_each(|name| self.forget(name));
    }

    /// Whom nobody moves without: who runs what is active, or is on its way there from what was active before. Who has
    /// no part in it, or cannot run it, holds nobody up.
    pub(super) fn count(&mut self) {
        let active = self.desired.active.as_ref().map(Head::running);
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            let barred = active.is_some_and(|active| self.bar(&name, active.snapshot).is_some());
            let Some(member) = self.members.get_mut(&name) else { continue };
            let refuses = active.is_some_and(|active| member.refuses(active));
            let there = member.presence() == Presence::Live && (active.is_none() || member.running() == active);
            let stays = member.presence().is_waited_for() && member.known.counted;
            member.known.counted = (there || stays) && !barred && !refuses;
        }
    }

    /// Why a member can have no part in a snapshot, if that is known.
    fn bar(&mut self, name: &str, snapshot: Digest) -> Option<String> {
        self.snapshots.get(snapshot)?;
        self.no_part(name, snapshot)
    }

    fn no_part(&mut self, name: &str, snapshot: Digest) -> Option<String> {
        let known = &self.members.get(name)?.known;
        let (kind, peer) = (known.kind.clone(), known.peer.clone());
        self.part(snapshot, &kind, &peer).err()
    }

    /// Compares what was activated on each member with what it says.
    pub(super) fn compare(&mut self, now: Now) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            let Some(member) = self.members.get(&name).filter(|it| it.presence() == Presence::Live) else { continue };
            let (kind, activated) = (member.known.kind.clone(), member.known.activated);
            let part = activated.and_then(|it| self.snapshots.part(it.snapshot, &kind).ok());
            let difference = self.members.get(&name).and_then(|it| it.difference(part.map(|part| part.contents)));
            let Some(difference) = difference else {
                if let Some(healed) = self.drifts.remove(&name) {
                    let what = format!("it had {}", healed.drift.found);
                    self.record(Record::new(now.clock, TAUT, What::Healed).by(&name).because(what));
                }
                continue;
            };
            let Difference { kind, expected, found, why } = difference;
            let heal_at = now.at + self.settings.heal_after;
            let known = self.drifts.get(&name).map(|it| (it.drift.since, it.heal_at));
            let (since, heal_at) = known.unwrap_or((now.clock, heal_at));
            if known.is_none() {
                let what = format!("expected {expected}, found {found}: {why}");
                self.record(Record::new(now.clock, TAUT, What::Drift).by(&name).because(what.trim_end_matches(": ")));
            }
            let drift = Drift { member: Some(name.clone()), kind, expected, found, since, why };
            self.drifts.insert(name, Drifting { drift, heal_at });
        }
    }

    /// The fleet, as the plan sees it.
    pub(super) fn observe(&mut self) -> Observed {
        let names: Vec<String> = self.members.keys().cloned().collect();
        let active = self.desired.active.as_ref().map(|head| head.release.snapshot);
        let candidate = self.desired.candidate.as_ref().map(|head| head.release.snapshot);
        let mut members = BTreeMap::new();
        for name in names {
            let no_part_in_active = active.and_then(|snapshot| self.no_part(&name, snapshot));
            let no_part_in_candidate = candidate.and_then(|snapshot| self.no_part(&name, snapshot));
            let Some(member) = self.members.get(&name) else { continue };
            let drift = self.drifts.get(&name).map(|it| (it.drift.in_words(), it.heal_at));
            let seen = Seen {
                presence: member.presence(),
                counted: member.known.counted,
                running: member.running(),
                staged: member.session.staged(),
                refused: member.session.report().and_then(|report| report.refused.clone()),
                drift,
                no_part_in_active,
                no_part_in_candidate,
            };
            members.insert(name, seen);
        }
        Observed { members }
    }

    /// How it stands with everybody now, and whether that is where everybody was to come to.
    pub(super) fn settle(&mut self, now: Now) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            let (state, _) = self.standing(now, &name);
            if let Some(member) = self.members.get_mut(&name).filter(|member| member.state != state) {
                (member.state, member.since) = (state, now.clock);
            }
        }
        if let Some(head) = self.desired.active.clone().filter(|head| self.book.converged < head.generation)
            && self.is_converged()
        {
            self.record(Record::new(now.clock, TAUT, What::Converged).about(&head));
        }
    }

    /// How it stands with a member, and why.
    pub(super) fn standing(&mut self, now: Now, name: &str) -> (MemberState, String) {
        let active = self.desired.active.as_ref().map(Head::running);
        let barred = active.and_then(|active| self.bar(name, active.snapshot));
        let Some(member) = self.members.get(name) else { return (MemberState::Excluded, String::new()) };
        let ago = |since: Duration| now.at.saturating_sub(since).as_secs();
        match member.presence() {
            Presence::Left(since) => return (MemberState::Excluded, format!("it stopped {} s ago", ago(since))),
            Presence::Silent(since) => {
                let silent = format!("not heard of for {} s", (self.settings.lease.as_secs()) + ago(since));
                return (MemberState::Excluded, silent);
            }
            Presence::Awaited(_) => return (MemberState::Behind, "it has no connection, and may be back".to_owned()),
            Presence::Live => (),
        }
        if let Some(why) = barred {
            return (MemberState::Excluded, why);
        }
        let refused = member.session.report().and_then(|report| report.refused.clone());
        let rejected = self.desired.rejection.as_ref().map(|rejection| rejection.head.running());
        if let Some(refusal) = refused
            && let offered = Some(taut_delivery::Running { snapshot: refusal.snapshot, generation: refusal.generation })
            && (offered == active || offered == rejected)
        {
            return (MemberState::Refused, refusal.refused.why);
        }
        let drift = self.drifts.get(name).map(|it| it.drift.in_words());
        match (active, self.desired.candidate.as_ref()) {
            (Some(active), _) if member.running() != Some(active) => {
                (MemberState::Behind, drift.unwrap_or_else(|| format!("it runs {}", words(member.running()))))
            }
            (_, Some(head)) if member.known.counted => {
                (MemberState::Staging, format!("for generation {}", head.generation))
            }
            (None, _) => (MemberState::Behind, "nothing was ever activated".to_owned()),
            _ => (MemberState::Live, drift.unwrap_or_default()),
        }
    }

    /// Whether every live member that has a part in it runs what is active, and nothing else is under way.
    pub(super) fn is_converged(&self) -> bool {
        let there =
            |member: &Member| matches!(member.state, MemberState::Live | MemberState::Excluded | MemberState::Refused);
        let active = self.desired.active.as_ref().map(Head::running);
        let runs = |member: &Member| member.state == MemberState::Excluded || member.running() == active;
        let settled = self.members.values().all(|member| there(member) && runs(member));
        active.is_some() && self.desired.candidate.is_none() && settled
    }
}
