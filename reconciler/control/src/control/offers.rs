//! What git offers, and the contents of releases.

use crate::offer::{Broken, Compiled};

use super::*;

/// The most lines that are kept of a broken commit: the first ones are the ones that are mended first.
const LINES_MAX: usize = 20;

impl Control {
    pub(super) fn offered(&mut self, now: Now, offer: Offer) {
        let Offer { commit, compiled } = offer;
        let compiled = compiled.and_then(|compiled| match check_limits(&compiled.snapshot) {
            Ok(()) => Ok(compiled),
            Err(why) => Err(Broken { count: 1, lines: vec![why] }),
        });
        let record = Record { commit: Some(commit.clone()), ..Record::new(now.clock, GIT, What::Broken) };
        let Compiled { snapshot, endpoints, source_map } = match compiled {
            Ok(compiled) => compiled,
            Err(Broken { count, mut lines }) => {
                if !self.book.is_broken(&commit.rev) {
                    lines.truncate(LINES_MAX);
                    let why = format!("{count} {}", if count == 1 { "problem" } else { "problems" });
                    self.record(Record { lines, ..record.because(why) });
                }
                return;
            }
        };
        let digest = |value: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            value(&mut bytes);
            Digest::of(&bytes)
        };
        let release = Release {
            commit,
            snapshot: snapshot.id,
            endpoints: digest(&|out| endpoints.encode(out)),
            source_map: digest(&|out| source_map.encode(out)),
        };
        let loaded = Arc::new(Loaded { release: release.clone(), snapshot, endpoints, source_map });
        self.snapshots.insert(release.snapshot, Some(Arc::clone(&loaded)));
        self.effects.push(Effect::Keep(loaded));
        self.moved = true;
        let again = self.desired.latest.as_ref() == Some(&release) && self.is_dealt_with(&release);
        self.desired.latest = Some(release.clone());
        if again {
            return; // a restart offers the newest commit again
        }
        if self.desired.hold.is_some() {
            let record = Record { what: What::Waiting, snapshot: Some(release.snapshot), ..record };
            self.record(record);
            return;
        }
        self.deliver(now, release, None);
    }

    /// Whether a release is where it belongs: active, on its way, behind a hold, or refused.
    fn is_dealt_with(&self, release: &Release) -> bool {
        let Desired { active, candidate, hold, rejection, .. } = &self.desired;
        let rejected = rejection.as_ref().map(|rejection| &rejection.head);
        let heads = [active.as_ref(), candidate.as_ref(), rejected];
        hold.is_some() || heads.into_iter().flatten().any(|head| head.release == *release)
    }

    /// Makes a release the one to go to, and writes down what follows. `order` says who wants it, if it is a rollback:
    /// the generation that first had it is given then.
    pub(super) fn deliver(&mut self, now: Now, release: Release, order: Option<(&Order, u64)>) -> u64 {
        let before = self.desired.candidate.clone();
        let commit = release.commit.clone();
        let delivery = self.desired.deliver(release, order.map(|(_, origin)| origin));
        self.moved = true;
        let generation = match &delivery {
            Delivery::Unchanged(generation) | Delivery::Candidate { generation, .. } => *generation,
        };
        if let Some(head) = before.filter(|head| head.generation != generation) {
            let why = format!("commit {} took its place before it was active", commit.short());
            self.record(Record::new(now.clock, TAUT, What::Superseded).about(&head).because(why));
        }
        let unchanged = matches!(delivery, Delivery::Unchanged(_));
        let active = self.desired.active.clone().filter(|head| head.generation == generation);
        if let Some(head) = &active {
            // Its endpoints and its lines may be others.
            self.heads.retain(|it| it.generation != generation);
            self.heads.push(head.clone());
            self.effects.push(Effect::Write(Write::Head(Box::new(head.clone()))));
        }
        if let Some(head) = active.or_else(|| self.desired.candidate.clone()) {
            let (who, what, why) = match order {
                Some((order, _)) => (order.who.as_str(), What::Rollback, order.why.as_str()),
                None if unchanged => (GIT, What::Unchanged, ""),
                None => (GIT, What::Staging, ""),
            };
            self.record(Record::new(now.clock, who, what).about(&head).because(why));
        }
        generation
    }

    /// Asks for what is in play and not at hand. Returns whether it has to be waited for.
    pub(super) fn load(&mut self) -> bool {
        let in_play = self.in_play();
        let mut waits = false;
        for snapshot in &in_play {
            if self.snapshots.knows(*snapshot) {
                continue;
            }
            let heads = [self.desired.candidate.as_ref(), self.desired.active.as_ref(), self.desired.previous.as_ref()];
            let mut heads = heads.into_iter().flatten().chain(self.heads.iter().rev());
            let Some(head) = heads.find(|head| head.release.snapshot == *snapshot) else {
                self.snapshots.insert(*snapshot, None);
                continue;
            };
            let (release, then) = (Box::new(head.release.clone()), Then::Use(*snapshot));
            self.effects.push(Effect::Load { release, then });
            waits = true;
        }
        if !waits {
            self.snapshots.retain(&in_play);
        }
        waits
    }

    fn in_play(&self) -> BTreeSet<Digest> {
        let Desired { active, previous, candidate, .. } = &self.desired;
        let heads = [active.as_ref(), previous.as_ref(), candidate.as_ref()].into_iter().flatten();
        let running = self.members.values().flat_map(|member| [member.running(), member.known.activated]);
        let running = running.flatten().map(|running| running.snapshot);
        heads.map(|head| head.release.snapshot).chain(running).collect()
    }

    pub(super) fn loaded(&mut self, now: Now, then: Then, loaded: Result<Arc<Loaded>, String>) {
        match then {
            Then::Use(snapshot) => match loaded {
                Ok(loaded) => self.snapshots.insert(snapshot, Some(loaded)),
                Err(why) => self.lost(now, snapshot, &why),
            },
            Then::Rollback { reply, order, origin } => self.roll_back(now, reply, &order, origin, loaded),
            Then::Resume { reply, order } => self.resume(now, reply, &order, loaded),
        }
    }

    /// The contents of a release cannot be read. What is active goes on, and is mended when git offers it again; a
    /// candidate that nobody can be given is none.
    fn lost(&mut self, now: Now, snapshot: Digest, why: &str) {
        self.snapshots.insert(snapshot, None);
        let Some(head) = self.desired.candidate.take_if(|head| head.release.snapshot == snapshot) else { return };
        self.record(Record::new(now.clock, TAUT, What::Superseded).about(&head).because(why));
    }

    /// A member's part of a snapshot, if it is at hand and the member may have it.
    pub(super) fn part(&mut self, snapshot: Digest, kind: &MemberKind, peer: &str) -> Result<Arc<Part>, String> {
        let part = self.snapshots.part(snapshot, kind)?;
        part.admits(peer, &self.settings.authority)?;
        Ok(part)
    }

    /// Where an object of a release came from.
    pub(super) fn origins(&self, head: &Head, object: Option<Digest>) -> Vec<String> {
        let loaded = self.snapshots.get(head.release.snapshot);
        loaded.zip(object).map(|(loaded, object)| loaded.places(object)).unwrap_or_default()
    }
}
