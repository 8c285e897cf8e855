//! The state machine of the reconciler: inputs in, effects out.
//!
//! Owns: members and their sessions, where the fleet is to go, and the order in which things are written and said.
//! May not: open files or sockets, read a clock. Inputs are only taken note of; [`Control::look`] then looks at
//! everything, plans, and does whatever the plan says: an input is a reason to look, never a reason to act.
//! Invariant: whatever a member is told to run was written before, in the order of the effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use taut_delivery::publisher::{Change, Output, Session};
use taut_delivery::{ConnectionId, Join, MemberKind, Part, Report, ToMember, check_limits, publisher};
use taut_snapshot::Digest;
use taut_snapshot::format::Encode;

use crate::book::{Book, Standing};
use crate::command::{Command, Order, Target};
use crate::desired::{Delivery, Desired, Head, Hold, Rejection, Release};
use crate::endpoints::{Hearing, Places, Registered, Sources, concern, places};
use crate::member::{Difference, Known, Member, words};
use crate::observed::{Observed, Presence, Seen};
use crate::offer::Offer;
use crate::plan::{Plan, Step, plan};
use crate::record::{GIT, Record, TAUT, What};
use crate::snapshots::{Loaded, Snapshots};
use crate::status::{Done, Drift, DriftKind, MemberState, MemberStatus, Outcome, Status, Waited};

mod answers;
mod joins;
mod looks;
mod offers;
mod orders;
mod places;

pub(crate) use answers::Answer;
use answers::Waiter;

/// How often to look at everything though nothing has happened: it mends whatever was missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many activations are remembered to go back to. Their snapshots are kept.
pub(crate) const HEADS_KEPT: usize = 100;

/// The most members. Each costs a few kilobytes, and a place in every plan.
const MEMBERS_MAX: usize = 100_000;

/// How far a member's number may be ahead of ours. A lost ledger is some thousands behind; a liar would take all numbers.
const AHEAD_MAX: u64 = 1_000_000;

/// When a member that is silent is taken off the list. Until then an operator may wonder where it has gone.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// How many plans may follow from each other in one look: new numbers, a refusal, a barrier, and what comes of them.
const PLANS_MAX: usize = 8;

/// What the operator has set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub lease: Duration,
    pub heal_after: Duration,
    pub endpoint_grace: Duration,
    pub authority: String,
}

/// The time: since the start for what must not jump, and of the clock for what people read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub at: Duration,
    pub clock: SystemTime,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    Offered(Box<Offer>),
    Joined {
        connection: ConnectionId,
        peer: String,
        join: Box<Join>,
    },
    Reported {
        connection: ConnectionId,
        report: Box<Report>,
    },
    Left {
        connection: ConnectionId,
    },
    Closed {
        connection: ConnectionId,
    },
    Asked {
        reply: u64,
        command: Command,
    },
    Loaded {
        then: Then,
        loaded: Result<Arc<Loaded>, String>,
    },
    /// Nobody waits for this answer any more.
    HungUp {
        reply: u64,
    },
}

/// What a release is loaded for.
#[derive(Debug)]
pub(crate) enum Then {
    /// To have it at hand: a member runs it, or is to run it.
    Use(Digest),
    Rollback {
        reply: u64,
        order: Order,
        origin: u64,
    },
    Resume {
        reply: u64,
        order: Order,
    },
}

/// Something to be done, in this order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Keep the contents of a release.
    Keep(Arc<Loaded>),
    /// Write into the ledger.
    Write(Write),
    /// Remove the contents of all other releases.
    Prune(BTreeSet<Digest>),
    /// Read the contents of a release.
    Load {
        release: Box<Release>,
        then: Then,
    },
    Send {
        connection: ConnectionId,
        message: ToMember,
    },
    Close {
        connection: ConnectionId,
    },
    Reply {
        to: u64,
        answer: Answer,
    },
    /// Read the last records and reply with them.
    History {
        to: u64,
        limit: usize,
    },
}

/// Something for the ledger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    Record(Box<Record>),
    Desired(Box<Desired>),
    Head(Box<Head>),
    Known(String, Option<Box<Known>>),
}

/// What the ledger had when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub desired: Desired,
    pub members: BTreeMap<String, Known>,
    pub heads: Vec<Head>,
    /// The last of them, oldest first.
    pub records: Vec<Record>,
}

/// A difference that is known.
#[derive(Debug)]
struct Drifting {
    drift: Drift,
    /// When it is to be put right. It moves on with every attempt.
    heal_at: Duration,
}

/// The state of the reconciler.
#[derive(Debug)]
pub(crate) struct Control {
    settings: Settings,
    desired: Desired,
    written: Desired,
    /// What was active, oldest first.
    heads: Vec<Head>,
    book: Book,
    snapshots: Snapshots,
    members: BTreeMap<String, Member>,
    connections: BTreeMap<ConnectionId, String>,
    /// Who was not let in last, and why: it tries again and again, and is written down once.
    turned_away: BTreeMap<String, String>,
    drifts: BTreeMap<String, Drifting>,
    hearing: Hearing,
    /// Whether somebody may have to be told of other endpoints.
    moved: bool,
    /// The members that answer somewhere, as others were last told.
    told: Vec<Registered>,
    waiters: Vec<Waiter>,
    /// Answers that go out when everything is written.
    replies: Vec<(u64, Answer)>,
    /// Before this, a member that runs something may know more of the fleet than we do: the ledger knew nobody.
    ignorant_until: Duration,
    plan: Plan,
    effects: Vec<Effect>,
}

impl Control {
    /// Goes on where the ledger ends. Every member that it knows has one lease to join again.
    pub(crate) fn new(now: Now, settings: Settings, remembered: Remembered) -> Control {
        let mut book = Book::default();
        remembered.records.iter().for_each(|record| book.note(record));
        let member = |known: Known| Member {
            written: Some(known.clone()),
            known,
            session: Session::new(now.at, settings.lease),
            connection: None,
            deregistered: false,
            endpoints_from: now.at,
            state: MemberState::Behind,
            since: now.clock,
        };
        let ignorant_until = if remembered.members.is_empty() { now.at + settings.lease } else { now.at };
        let members: BTreeMap<String, Member> =
            remembered.members.into_iter().map(|(name, known)| (name, member(known))).collect();
        Control {
            settings,
            written: remembered.desired.clone(),
            desired: remembered.desired,
            heads: remembered.heads,
            book,
            snapshots: Snapshots::default(),
            members,
            connections: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            drifts: BTreeMap::new(),
            hearing: Hearing::default(),
            moved: true,
            told: Vec::new(),
            waiters: Vec::new(),
            replies: Vec::new(),
            ignorant_until,
            plan: Plan::default(),
            effects: Vec::new(),
        }
    }

    /// When to look next, if nothing happens before.
    pub(crate) fn deadline(&self, now: Now) -> Duration {
        let sessions = self.members.values().filter_map(|member| member.session.deadline());
        let heals = self.drifts.values().map(|it| it.heal_at).filter(|at| now.at < *at);
        let waiters = self.waiters.iter().map(|waiter| waiter.until);
        sessions.chain(heals).chain(waiters).chain([now.at + LOOK_EVERY]).min().unwrap_or(now.at + LOOK_EVERY)
    }

    /// Takes note of something that happened.
    pub(crate) fn note(&mut self, now: Now, input: Input) {
        match input {
            Input::Offered(offer) => self.offered(now, *offer),
            Input::Joined { connection, peer, join } => self.join(now, connection, peer, *join),
            Input::Reported { connection, report } => self.hear(now, connection, *report),
            Input::Left { connection } => self.gone(now, connection, publisher::Input::Left),
            Input::Closed { connection } => {
                self.gone(now, connection, publisher::Input::Disconnected);
                self.connections.remove(&connection);
            }
            Input::Asked { reply, command } => self.asked(now, reply, command),
            Input::Loaded { then, loaded } => self.loaded(now, then, loaded),
            Input::HungUp { reply } => self.waiters.retain(|waiter| waiter.reply != reply),
        }
    }

    /// Looks at everything, and does what the plan says.
    pub(crate) fn look(&mut self, now: Now) -> Vec<Effect> {
        self.tick(now);
        if self.load() {
            // Nothing is planned about what is not at hand yet: it is in a moment.
            return std::mem::take(&mut self.effects);
        }
        for _ in 0..PLANS_MAX {
            self.count();
            self.compare(now);
            let observed = self.observe();
            self.plan = plan(&self.desired, &observed, now.at);
            self.write();
            // Places go out before the snapshots whose clusters need them.
            self.publish(now);
            let steps = self.plan.steps.clone();
            let again = steps.iter().any(Step::changes_the_goal);
            steps.into_iter().for_each(|step| self.take(now, step));
            if !again {
                break;
            }
        }
        self.deregister();
        self.settle(now);
        self.write();
        self.answer(now);
        let replies = std::mem::take(&mut self.replies);
        self.effects.extend(replies.into_iter().map(|(to, answer)| Effect::Reply { to, answer }));
        std::mem::take(&mut self.effects)
    }

    fn record(&mut self, record: Record) {
        self.book.note(&record);
        self.effects.push(Effect::Write(Write::Record(Box::new(record))));
    }

    /// Whatever is different from what the ledger has goes into it.
    fn write(&mut self) {
        if self.desired != self.written {
            self.written = self.desired.clone();
            self.moved = true;
            self.effects.push(Effect::Write(Write::Desired(Box::new(self.desired.clone()))));
        }
        for (name, member) in &mut self.members {
            // Whoever has left on purpose is not waited for after a restart.
            let left = matches!(member.session.presence(), publisher::Presence::Left(_));
            let known = (!left).then_some(&member.known);
            if member.written.as_ref() != known {
                member.written = known.cloned();
                let known = known.cloned().map(Box::new);
                self.effects.push(Effect::Write(Write::Known(name.clone(), known)));
            }
        }
    }

    fn take(&mut self, now: Now, step: Step) {
        match step {
            Step::Renumber { above, member } => self.renumber(now, above, &member),
            Step::Reject { member, refused, .. } => {
                let Some(head) = self.desired.candidate.clone() else { return };
                let places = self.origins(&head, refused.object);
                let record = Record::new(now.clock, TAUT, What::Refused).about(&head).by(&member);
                self.record(Record { lines: places.clone(), ..record.because(&refused.why) });
                self.desired.reject(Rejection { head, member, refused, places, at: now.clock });
            }
            Step::Pass { .. } => self.pass(now),
            Step::Stage { member, wanted } => {
                let Some(it) = self.members.get(&member) else { return };
                let (kind, peer) = (it.known.kind.clone(), it.known.peer.clone());
                if let Ok(part) = self.part(wanted.snapshot, &kind, &peer) {
                    self.session(now, &member, publisher::Input::Stage(part, wanted.generation));
                }
            }
            Step::Activate { member, wanted } => self.session(now, &member, publisher::Input::Activate(wanted)),
            Step::Retire { member, generation } => self.session(now, &member, publisher::Input::Retire(generation)),
        }
    }

    fn pass(&mut self, now: Now) {
        let Some(head) = self.desired.pass().cloned() else { return };
        let why = match head.origin {
            origin if origin == head.generation => String::new(),
            origin => format!("what generation {origin} was"),
        };
        self.activated(now, &head, why);
    }

    fn activated(&mut self, now: Now, head: &Head, why: String) {
        self.record(Record::new(now.clock, TAUT, What::Activated).about(head).because(why));
        self.effects.push(Effect::Write(Write::Head(Box::new(head.clone()))));
        self.heads.push(head.clone());
        if HEADS_KEPT < self.heads.len() {
            self.heads.remove(0);
        }
        let wanted = [self.desired.latest.as_ref(), self.desired.candidate.as_ref().map(|head| &head.release)];
        let kept = self.heads.iter().map(|head| &head.release).chain(wanted.into_iter().flatten());
        let digests = kept.flat_map(|release| [release.snapshot, release.endpoints, release.source_map]);
        self.effects.push(Effect::Prune(digests.collect()));
    }

    fn renumber(&mut self, now: Now, above: u64, member: &str) {
        let before = self.desired.active.clone();
        let why = format!("{member} runs generation {above}, which this ledger does not know");
        self.desired.renumber(above);
        if let Some(head) = self.desired.active.clone().filter(|head| Some(head) != before.as_ref()) {
            self.activated(now, &head, why.clone());
        }
        if let Some(head) = &self.desired.candidate {
            let record = Record::new(now.clock, TAUT, What::Renumbered).about(head).because(why);
            self.record(record);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
