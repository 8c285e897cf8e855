//! Who is told of which endpoints.

use super::*;

/// A pair of snapshots that members of one kind are between: what they run, and what they are to run.
type Between = (Option<Digest>, Option<Digest>, MemberKind);

impl Control {
    /// Tells everybody of the endpoints that concern it, if they may be others than before.
    pub(super) fn publish(&mut self, now: Now) {
        let registered = self.registered(now);
        if registered != self.told {
            self.told = registered;
            self.moved = true;
        }
        if !std::mem::take(&mut self.moved) {
            return;
        }
        let mut groups: BTreeMap<Between, Vec<String>> = BTreeMap::new();
        for (name, member) in &self.members {
            if member.presence() != Presence::Live {
                continue;
            }
            if now.at < member.endpoints_from {
                self.moved = true; // its turn comes
                continue;
            }
            let (runs, next) = self.between(member);
            // What it runs is not known here: it knows better than we do what that needs.
            if runs.is_none_or(|runs| self.snapshots.get(runs).is_some()) {
                groups.entry((runs, next, member.known.kind.clone())).or_default().push(name.clone());
            }
        }
        let mut worlds = BTreeMap::new();
        for ((runs, next, kind), names) in groups {
            for snapshot in [runs, next].into_iter().flatten() {
                worlds.entry(snapshot).or_insert_with(|| self.world(snapshot));
            }
            let runs = runs.and_then(|it| Some((worlds.get(&it)?, self.snapshots.part(it, &kind).ok()?)));
            let next = next.and_then(|it| Some((worlds.get(&it)?, self.snapshots.part(it, &kind).ok()?)));
            let sources = |side: &Option<(&Places, Arc<Part>)>| side.as_ref().map(|(_, part)| Arc::clone(part));
            let (runs_part, next_part) = (sources(&runs), sources(&next));
            let runs_sources = runs_part.as_ref().map(|part| Sources::new(&part.sources));
            let next_sources = next_part.as_ref().map(|part| Sources::new(&part.sources));
            let runs = runs.map(|(places, _)| places).zip(runs_sources.as_ref());
            let next = next.map(|(places, _)| places).zip(next_sources.as_ref());
            let endpoints = concern(runs, next);
            for name in names {
                self.session(now, &name, publisher::Input::Endpoints(endpoints.clone()));
            }
        }
    }

    /// Tells members that are leaving when everybody has taken note: nobody sends them anything new then.
    pub(super) fn deregister(&mut self) {
        let leaves = |member: &Member| {
            let draining = member.known.endpoint.as_ref().is_some_and(|endpoint| endpoint.draining);
            draining && !member.deregistered && member.presence() == Presence::Live
        };
        let known = |name: &String| {
            let others =
                self.members.iter().filter(|(other, it)| *other != name && it.known.kind != MemberKind::Authority);
            others.map(|(_, other)| other).all(|other| match other.presence() {
                Presence::Live => other.session.avoids(name),
                // It may be serving all the same, with what it was told last.
                Presence::Awaited(_) => false,
                Presence::Silent(_) | Presence::Left(_) => true,
            })
        };
        let leaving = self.members.iter().filter(|(_, member)| leaves(member)).map(|(name, _)| name);
        let free: Vec<String> = leaving.filter(|name| known(name)).cloned().collect();
        for name in free {
            let Some(member) = self.members.get_mut(&name) else { continue };
            member.deregistered = true;
            let send = |connection| Effect::Send { connection, message: ToMember::Deregistered };
            self.effects.extend(member.connection.map(send));
        }
    }

    /// What a member runs, and what it is to run if that is something else.
    fn between(&self, member: &Member) -> (Option<Digest>, Option<Digest>) {
        let running = member.running();
        let active = self.desired.active.as_ref().map(Head::running);
        let candidate = self.desired.candidate.as_ref().map(Head::running).filter(|_| member.known.counted);
        let next = if active.is_some() && running != active { active } else { candidate };
        (running.map(|it| it.snapshot), next.map(|it| it.snapshot))
    }

    /// Every member that answers somewhere, and has not been silent or gone for too long.
    fn registered(&self, now: Now) -> Vec<Registered> {
        let grace = self.settings.endpoint_grace;
        let place = |(name, member): (&String, &Member)| {
            let left = match member.presence() {
                Presence::Live | Presence::Awaited(_) => false,
                Presence::Silent(since) if !self.hearing.is_over(now.at, since, grace) => false,
                Presence::Left(since) if now.at < since + grace => true,
                Presence::Silent(_) | Presence::Left(_) => return None,
            };
            let Known { kind, peer, endpoint, .. } = member.known.clone();
            Some(Registered { name: name.clone(), kind, peer, endpoint: endpoint?, left })
        };
        self.members.iter().filter_map(place).collect()
    }

    /// All endpoints, as a snapshot sees them.
    fn world(&mut self, snapshot: Digest) -> Places {
        let Some(declared) = self.snapshots.get(snapshot).map(Arc::clone) else { return Places::new() };
        let registered = std::mem::take(&mut self.told);
        let mut members = Vec::new();
        for member in &registered {
            if let Ok(part) = self.part(snapshot, &member.kind, &member.peer) {
                members.push((member, part));
            }
        }
        let places = places(&declared.endpoints, &members);
        self.told = registered;
        places
    }
}
