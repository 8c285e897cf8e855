//! Members come, report and go.

use super::*;

impl Control {
    pub(super) fn join(&mut self, now: Now, connection: ConnectionId, peer: String, join: Join) {
        let name = join.name.clone();
        if let Err(why) = self.admit(&peer, &join) {
            self.turn_away(now, connection, &name, &peer, why);
            return;
        }
        self.turned_away.remove(&name);
        let (lease, endpoint) = (self.settings.lease, join.report.endpoint.clone());
        let stranger = |member: &Member| member.known.peer != peer || member.known.kind != join.kind;
        if self.members.get(&name).is_some_and(stranger) {
            // Somebody else had the name, and does not need it any more.
            self.forget(&name);
        }
        let known = Known { kind: join.kind.clone(), peer, activated: None, counted: false, endpoint: None };
        let member = self.members.entry(name.clone()).or_insert_with(|| Member {
            known,
            written: None,
            session: Session::new(now.at, lease),
            connection: None,
            deregistered: false,
            endpoints_from: now.at,
            state: MemberState::Behind,
            since: now.clock,
        });
        if join.report.running.is_some() {
            member.endpoints_from = self.ignorant_until;
        }
        member.known.endpoint = endpoint;
        member.deregistered = false;
        if let Some(old) = member.connection.replace(connection) {
            self.connections.remove(&old);
            self.effects.push(Effect::Close { connection: old });
        }
        self.connections.insert(connection, name.clone());
        self.moved = true;
        self.session(now, &name, publisher::Input::Joined(Box::new(join)));
        self.believe(&name);
    }

    /// Whether somebody may join.
    fn admit(&mut self, peer: &str, join: &Join) -> Result<(), String> {
        self.check_number(join.report.running.map_or(0, |running| running.generation))?;
        let known = self.members.get(&join.name);
        if known.is_none() && MEMBERS_MAX <= self.members.len() {
            return Err(format!("the fleet has {MEMBERS_MAX} members already"));
        }
        let itself = known.is_some_and(|it| it.known.peer == peer && it.known.kind == join.kind);
        if let Some(other) = known.filter(|it| !itself && it.presence().is_waited_for()) {
            let (kind, peer) = (other.known.kind.clone(), other.known.peer.clone());
            if self.has_a_part(&kind, &peer).is_ok() {
                return Err(format!("the name `{}` belongs to `{peer}` ({kind}): take another", join.name));
            }
        }
        match self.has_a_part(&join.kind, peer) {
            Ok(()) => Ok(()),
            // Its snapshot cannot be read just now, and it was let in before.
            Err(_) if itself && !self.can_judge() => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// A lost ledger is somewhat behind; anything else is no number of ours.
    fn check_number(&self, generation: u64) -> Result<(), String> {
        match self.desired.generation.checked_add(AHEAD_MAX) {
            Some(most) if most < generation => {
                Err(format!("generation {generation} cannot have been given here: remove what this member has on disk"))
            }
            _ => Ok(()),
        }
    }

    fn heads_in_play(&self) -> impl Iterator<Item = Digest> {
        let heads = [self.desired.active.as_ref(), self.desired.candidate.as_ref()];
        heads.map(|head| head.map(|head| head.release.snapshot)).into_iter().flatten()
    }

    fn can_judge(&self) -> bool {
        self.heads_in_play().any(|snapshot| self.snapshots.get(snapshot).is_some())
    }

    /// Whether what is active, or the candidate, has a part for such a member. While there is neither, any proxy of the
    /// mesh may wait for one: nothing is sent to it before it has a part.
    fn has_a_part(&mut self, kind: &MemberKind, peer: &str) -> Result<(), String> {
        let heads: Vec<Digest> = self.heads_in_play().collect();
        if heads.is_empty() && *kind == MemberKind::Authority && peer != self.settings.authority {
            let authority = &self.settings.authority;
            return Err(format!("`{peer}` is not the certificate authority of this mesh, which is `{authority}`"));
        }
        let mut refused = Ok(());
        for snapshot in heads {
            match self.part(snapshot, kind, peer) {
                Ok(_) => return Ok(()),
                Err(why) => refused = Err(why),
            }
        }
        refused
    }

    fn turn_away(&mut self, now: Now, connection: ConnectionId, name: &str, peer: &str, why: String) {
        if self.turned_away.get(name) != Some(&why) {
            if MEMBERS_MAX <= self.turned_away.len() {
                self.turned_away.clear();
            }
            self.turned_away.insert(name.to_owned(), why.clone());
            let record = Record { member: Some(name.to_owned()), ..Record::new(now.clock, peer, What::Rejected) };
            self.record(record.because(&why));
        }
        self.effects.push(Effect::Send { connection, message: ToMember::Rejected { why } });
        self.effects.push(Effect::Close { connection });
    }

    pub(super) fn hear(&mut self, now: Now, connection: ConnectionId, report: Report) {
        let Some(name) = self.connections.get(&connection).cloned() else { return };
        if let Err(why) = self.check_number(report.running.map_or(0, |running| running.generation)) {
            let peer = self.members.get(&name).map_or(String::new(), |member| member.known.peer.clone());
            self.turn_away(now, connection, &name, &peer, why);
            self.gone(now, connection, publisher::Input::Disconnected);
            self.connections.remove(&connection);
            return;
        }
        let Some(member) = self.members.get_mut(&name).filter(|it| it.connection == Some(connection)) else { return };
        let before = member.running();
        member.deregistered = false;
        self.session(now, &name, publisher::Input::Reported(Box::new(report)));
        self.believe(&name);
        if let Some(member) = self.members.get(&name) {
            self.moved |= member.running() != before;
        }
    }

    /// What a member's newest report says about what was sent before, though the answer to that was lost.
    fn believe(&mut self, name: &str) {
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(report) = member.session.report() else { return };
        if member.known.endpoint != report.endpoint {
            member.known.endpoint = report.endpoint.clone();
            self.moved = true;
        }
        let Some(running) = report.running else {
            // It has begun anew, with nothing: that is no drift, it is new here.
            member.known.activated = None;
            return;
        };
        let newer = member.known.activated.is_none_or(|it| it.generation < running.generation);
        if newer && self.heads.iter().any(|head| head.running() == running) {
            member.known.activated = Some(running);
        }
    }

    pub(super) fn gone(&mut self, now: Now, connection: ConnectionId, how: publisher::Input) {
        let Some(name) = self.connections.get(&connection).cloned() else { return };
        let Some(member) = self.members.get_mut(&name).filter(|it| it.connection == Some(connection)) else { return };
        member.connection = None;
        self.moved = true;
        self.session(now, &name, how);
    }

    /// Lets a member's session know something, and sees to what comes of it.
    pub(super) fn session(&mut self, now: Now, name: &str, input: publisher::Input) {
        let Some(member) = self.members.get_mut(name) else { return };
        for output in member.session.handle(now.at, input) {
            match output {
                Output::Send(message) => {
                    let send = |connection| Effect::Send { connection, message };
                    self.effects.extend(member.connection.map(send));
                }
                Output::Changed(Change::Activated(running)) => {
                    member.known.activated = Some(running);
                    if let Some(drifting) = self.drifts.get_mut(name) {
                        drifting.heal_at = now.at + self.settings.heal_after;
                    }
                }
                Output::Changed(change @ (Change::Fenced | Change::Returned)) => {
                    let (what, why) = if change == Change::Fenced {
                        member.known.counted = false;
                        (What::Fenced, format!("not heard of for {} s", self.settings.lease.as_secs()))
                    } else {
                        (What::Returned, String::new())
                    };
                    self.moved = true;
                    let record = Record::new(now.clock, TAUT, what).by(name).because(why);
                    self.book.note(&record);
                    self.effects.push(Effect::Write(Write::Record(Box::new(record))));
                }
                // Both are in its report, which is what the plan looks at.
                Output::Changed(Change::Staged(_) | Change::Refused(_)) => (),
            }
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        let Some(member) = self.members.remove(name) else { return };
        if let Some(connection) = member.connection {
            self.connections.remove(&connection);
            self.effects.push(Effect::Close { connection });
        }
        if member.written.is_some() {
            self.effects.push(Effect::Write(Write::Known(name.to_owned(), None)));
        }
        self.drifts.remove(name);
        self.moved = true;
    }
}
