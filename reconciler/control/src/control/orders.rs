//! What operators order.

use super::*;

/// The shortest beginning of an id that names something: shorter ones name too much.
const PREFIX_MIN: usize = 4;

impl Control {
    pub(super) fn asked(&mut self, now: Now, reply: u64, command: Command) {
        match command {
            Command::Status => {
                let status = self.status(now);
                self.reply(reply, Answer::Status(Box::new(status)));
            }
            Command::Drift => {
                let drifts = self.differences();
                self.reply(reply, Answer::Drift(drifts));
            }
            Command::Plan => {
                let observed = self.observe();
                let plan = plan(&self.desired, &observed, now.at);
                self.reply(reply, Answer::Plan(plan.to_string()));
            }
            Command::History { limit } => self.effects.push(Effect::History { to: reply, limit }),
            Command::Wait { target, timeout } => self.wait(now, reply, target, timeout),
            Command::Rollback { to, order } => match self.find(to.as_deref()) {
                Ok(head) => {
                    let origin = head.origin;
                    self.fetch(now, head.release, Then::Rollback { reply, order, origin });
                }
                Err(why) => self.reply(reply, Answer::Failed(why)),
            },
            Command::Hold { order } => self.hold(now, reply, order),
            Command::Resume { order } => match self.desired.latest.clone().filter(|_| self.is_behind_git()) {
                Some(latest) => self.fetch(now, latest, Then::Resume { reply, order }),
                None => self.release(now, reply, &order),
            },
        }
    }

    pub(super) fn reply(&mut self, to: u64, answer: Answer) {
        self.replies.push((to, answer));
    }

    fn done(&mut self, reply: u64, generation: Option<u64>, said: String) {
        let heads = [self.desired.active.as_ref(), self.desired.candidate.as_ref()];
        let head = heads.into_iter().flatten().find(|head| Some(head.generation) == generation);
        let snapshot = head.map(|head| head.release.snapshot);
        self.reply(reply, Answer::Done(Done { generation, snapshot, said }));
    }

    /// Goes on with the contents of a release, read from disk if they are not at hand.
    fn fetch(&mut self, now: Now, release: Release, then: Then) {
        match self.snapshots.get(release.snapshot).filter(|loaded| loaded.release == release).map(Arc::clone) {
            Some(loaded) => self.loaded(now, then, Ok(loaded)),
            None => self.effects.push(Effect::Load { release: Box::new(release), then }),
        }
    }

    /// What was active as an operator names it: by its generation, or the beginning of its commit or snapshot; without
    /// a name, what was active before.
    fn find(&self, to: Option<&str>) -> Result<Head, String> {
        let Some(to) = to else {
            let Some(active) = &self.desired.active else {
                return Err("nothing was ever active, so there is nothing to go back to".to_owned());
            };
            let before =
                self.heads.iter().rev().find(|head| {
                    head.generation < active.generation && head.release.snapshot != active.release.snapshot
                });
            return before.cloned().ok_or_else(|| "nothing else was active before this".to_owned());
        };
        if let Some(head) = self.heads.iter().find(|head| head.generation.to_string() == to) {
            return Ok(head.clone());
        }
        let unknown = || {
            let kept = self.heads.len();
            format!(
                "`{to}` is none of the last {kept} activations: name a generation, or at least {PREFIX_MIN} characters of \
                 a commit or a snapshot that `taut history` shows as activated"
            )
        };
        if to.len() < PREFIX_MIN {
            return Err(unknown());
        }
        let names =
            |head: &&Head| head.release.commit.rev.starts_with(to) || head.release.snapshot.to_string().starts_with(to);
        let mut found = self.heads.iter().rev().filter(names);
        let newest = found.next().ok_or_else(unknown)?;
        match found.find(|head| head.release.snapshot != newest.release.snapshot) {
            None => Ok(newest.clone()),
            Some(other) => {
                let (one, two) = (newest.generation, other.generation);
                Err(format!("`{to}` may be generation {two} or generation {one}: name one of them"))
            }
        }
    }

    pub(super) fn roll_back(
        &mut self,
        now: Now,
        reply: u64,
        order: &Order,
        origin: u64,
        loaded: Result<Arc<Loaded>, String>,
    ) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(why) => return self.reply(reply, Answer::Failed(why)),
        };
        let release = loaded.release.clone();
        let commit = release.commit.clone();
        self.snapshots.insert(release.snapshot, Some(loaded));
        let why =
            if order.why.is_empty() { format!("rolled back to commit {}", commit.short()) } else { order.why.clone() };
        self.desired.hold = Some(Hold { who: order.who.clone(), why, since: now.clock });
        let under_way = self.desired.candidate.clone();
        let generation = self.deliver(now, release, Some((order, origin)));
        if let Some(head) = under_way.filter(|head| head.generation != generation) {
            self.keep_back(now, &head);
        }
        let active = self.desired.active.as_ref().is_some_and(|head| head.generation == generation);
        let what = if active {
            format!("commit {} is active already, as generation {generation}", commit.short())
        } else {
            format!("generation {generation} takes the fleet back to commit {} ({})", commit.short(), commit.summary)
        };
        self.done(reply, Some(generation), format!("{what}; git moves nothing until `taut resume`"));
    }

    fn hold(&mut self, now: Now, reply: u64, order: Order) {
        let generation = self.desired.active.as_ref().map(|head| head.generation);
        if let Some(hold) = &self.desired.hold {
            let said = format!("git is held already, by {}: {}", hold.who, hold.why);
            return self.done(reply, generation, said);
        }
        let record = Record::new(now.clock, &order.who, What::Hold).because(&order.why);
        self.record(Record { generation, ..record });
        self.desired.hold = Some(Hold { who: order.who, why: order.why, since: now.clock });
        // What is on its way has come from git: it waits as well.
        if let Some(head) = self.desired.candidate.take() {
            let why = "git was held before it was active";
            self.record(Record::new(now.clock, TAUT, What::Superseded).about(&head).because(why));
            self.keep_back(now, &head);
        }
        let said = match generation {
            Some(generation) => format!("the fleet stays at generation {generation} until `taut resume`"),
            None => "nothing is activated until `taut resume`".to_owned(),
        };
        self.done(reply, generation, said);
    }

    /// What came from git and was not active yet waits behind the hold.
    fn keep_back(&mut self, now: Now, head: &Head) {
        if self.desired.latest.as_ref() == Some(&head.release) {
            let record = Record::new(now.clock, GIT, What::Waiting).about(head);
            self.record(Record { generation: None, ..record });
        }
    }

    /// Whether following git means to move.
    fn is_behind_git(&self) -> bool {
        let heads = [self.desired.candidate.as_ref(), self.desired.active.as_ref()];
        let next = heads.into_iter().flatten().next().map(|head| &head.release);
        self.desired.latest.as_ref() != next
    }

    pub(super) fn resume(&mut self, now: Now, reply: u64, order: &Order, loaded: Result<Arc<Loaded>, String>) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(why) => return self.reply(reply, Answer::Failed(why)),
        };
        let release = loaded.release.clone();
        let commit = release.commit.clone();
        self.snapshots.insert(release.snapshot, Some(loaded));
        self.desired.hold = None;
        self.record(Record::new(now.clock, &order.who, What::Resume).because(&order.why));
        let generation = self.deliver(now, release, None);
        let said =
            format!("git is followed again: generation {generation} is commit {} ({})", commit.short(), commit.summary);
        self.done(reply, Some(generation), said);
    }

    /// Ends a hold that keeps nothing back.
    fn release(&mut self, now: Now, reply: u64, order: &Order) {
        let generation = self.desired.active.as_ref().map(|head| head.generation);
        if self.desired.hold.take().is_none() {
            return self.done(reply, generation, "git is followed, and has nothing new".to_owned());
        }
        let record = Record::new(now.clock, &order.who, What::Resume).because(&order.why);
        self.record(Record { generation, ..record });
        self.done(reply, generation, "git is followed again; it has nothing new".to_owned());
    }
}
