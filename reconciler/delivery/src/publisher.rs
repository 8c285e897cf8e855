//! The publisher's end of the protocol, for one member.
//!
//! Owns: what the member last reported, what is on its way to it, when to say it again, and whether the member still
//! counts. May not: open sockets, read a clock, or decide what the member should run: that comes in as [`Input`].
//! Invariant: what is known of a member is what it reported; that something was sent proves nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use taut_snapshot::{Digest, Endpoint};

use crate::limits::{ENDPOINTS_MESSAGE_COUNT, OBJECTS_MESSAGE_BYTES, OBJECTS_MESSAGE_COUNT};
use crate::message::{EndpointsPart, Join, Refusal, Report, Running, ToMember};
use crate::part::Part;

/// When something is said again that had no effect. A round trip takes milliseconds; a member that prepares a large
/// snapshot for longer is reminded by one small message.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// How many heartbeats fit into a lease: so many may be lost or late before a member is taken for dead.
const HEARTBEATS: u32 = 5;

/// What happens on this member's behalf.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It joins, on a new connection.
    Joined(Box<Join>),
    /// It reports.
    Reported(Box<Report>),
    /// It stops on purpose.
    Left,
    /// Its connection is gone. It may be back in a moment.
    Disconnected,
    /// It should make this part ready, as this generation.
    Stage(Arc<Part>, u64),
    /// It should run this.
    Activate(Running),
    /// It should forget what it has staged, of this generation or older.
    Retire(u64),
    /// These endpoints concern it. Sorted by id.
    Endpoints(Vec<Endpoint>),
    /// Time has passed.
    Tick,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Say this to the member.
    Send(ToMember),
    /// Something that is worth writing down.
    Changed(Change),
}

/// A turn in a member's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has everything that it needs to run this snapshot.
    Staged(Digest),
    /// It cannot run this snapshot.
    Refused(Refusal),
    /// It runs this.
    Activated(Running),
    /// It was silent for longer than its lease, and is not waited for any more.
    Fenced,
    /// It is heard of again.
    Returned,
}

/// Whether a member counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was heard of within its lease, or has had no chance yet to be: it is waited for.
    Live,
    /// It was silent for longer than its lease, since then.
    Fenced(Duration),
    /// It stopped on purpose, at that time.
    Left(Duration),
}

/// One member, over all its connections.
#[derive(Debug)]
pub struct Session {
    lease: Duration,
    presence: Presence,
    connected: bool,
    heard: Duration,
    /// None before it has joined in the lifetime of this process.
    report: Option<Report>,
    /// What it is believed to hold. If it lacks some of it, it says so.
    held: BTreeSet<Digest>,
    offer: Option<Offer>,
    /// The largest generation that was offered on this connection: the member takes a smaller one for late, unless it
    /// is told to forget that one first.
    offered: u64,
    activation: Option<Activation>,
    endpoints: Endpoints,
}

#[derive(Debug)]
struct Offer {
    part: Arc<Part>,
    generation: u64,
    /// The endpoints of its new clusters: without them it is not ready to be activated.
    endpoints: u64,
    sent: Duration,
    /// Whether the member has staged it.
    settled: bool,
}

#[derive(Debug)]
struct Activation {
    wanted: Running,
    sent: Duration,
}

#[derive(Debug, Default)]
struct Endpoints {
    version: u64,
    set: Vec<Endpoint>,
    sent: Option<Duration>,
}

impl Session {
    /// A member that is expected to join: from now on it has one lease to do so.
    #[must_use]
    pub fn new(now: Duration, lease: Duration) -> Session {
        Session {
            lease,
            presence: Presence::Live,
            connected: false,
            heard: now,
            report: None,
            held: BTreeSet::new(),
            offer: None,
            offered: 0,
            activation: None,
            endpoints: Endpoints::default(),
        }
    }

    /// Whether it counts.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// When its lease ends, if nothing more is heard of it.
    #[must_use]
    pub fn lease_end(&self) -> Duration {
        self.heard + self.lease
    }

    /// What it said last.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// What it could activate at once: it has said so, and it has the endpoints that go with it.
    #[must_use]
    pub fn staged(&self) -> Option<Digest> {
        let report = self.report.as_ref()?;
        let staged = report.staged?;
        match &self.offer {
            Some(offer) if offer.part.snapshot == staged && report.endpoints < offer.endpoints => None,
            _ => Some(staged),
        }
    }

    /// Whether it sends nothing new to an endpoint: it uses a set of endpoints in which that one is leaving, or is not.
    #[must_use]
    pub fn avoids(&self, endpoint: &str) -> bool {
        let set = &self.endpoints.set;
        let place = set.binary_search_by(|it| it.id.as_str().cmp(endpoint)).ok();
        let leaving = place.and_then(|at| set.get(at)).is_none_or(|it| it.draining);
        self.endpoints.version != 0 && self.has_endpoints() && leaving
    }

    /// When it wants to be told the time next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let lease = (self.presence == Presence::Live).then(|| self.lease_end());
        let sent = [
            self.offer.as_ref().filter(|offer| !offer.settled).map(|offer| offer.sent),
            self.activation.as_ref().map(|activation| activation.sent),
            self.endpoints.sent.filter(|_| !self.has_endpoints()),
        ];
        let resend = sent.into_iter().flatten().filter(|_| self.connected).map(|sent| sent + RESEND_AFTER);
        resend.chain(lease).min()
    }

    /// Takes note of what happened, and says what comes of it.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        match input {
            Input::Joined(join) => self.join(now, *join),
            Input::Reported(report) => self.hear(now, *report),
            Input::Left => {
                self.disconnect();
                self.presence = Presence::Left(now);
                Vec::new()
            }
            Input::Disconnected => {
                self.disconnect();
                Vec::new()
            }
            Input::Stage(part, generation) => self.stage(now, part, generation),
            Input::Activate(wanted) => self.activate(now, wanted),
            Input::Retire(generation) => self.retire(generation),
            Input::Endpoints(set) => self.publish(now, set),
            Input::Tick => self.tick(now),
        }
    }

    fn join(&mut self, now: Duration, join: Join) -> Vec<Output> {
        self.disconnect();
        self.connected = true;
        self.held = join.holds.into_iter().collect();
        self.report = None;
        let heartbeat = self.lease / HEARTBEATS;
        let mut outputs = vec![Output::Send(ToMember::Welcome { heartbeat })];
        outputs.extend(self.hear(now, join.report));
        if self.endpoints.version != 0 {
            outputs.extend(self.send_endpoints(now));
        }
        outputs
    }

    /// Nothing that was under way can be relied on: the next connection begins with what the member says then.
    fn disconnect(&mut self) {
        self.connected = false;
        self.offer = None;
        self.offered = 0;
        self.activation = None;
        self.endpoints.sent = None;
    }

    fn hear(&mut self, now: Duration, report: Report) -> Vec<Output> {
        let newest = self.report.as_ref().is_none_or(|last| last.number < report.number);
        if !self.connected || !newest {
            return Vec::new(); // late or doubled
        }
        self.heard = now;
        let mut outputs = Vec::new();
        if self.presence != Presence::Live {
            self.presence = Presence::Live;
            outputs.push(Output::Changed(Change::Returned));
        }
        if let Some(wanted) = self.activation.as_ref().map(|activation| activation.wanted)
            && report.running == Some(wanted)
            && report.staged.is_none()
        {
            (self.offer, self.activation) = (None, None);
            outputs.push(Output::Changed(Change::Activated(wanted)));
        }
        let lacking = report.lacking.clone();
        self.report = Some(report);
        outputs.extend(self.look(now, &lacking));
        outputs
    }

    /// What the newest report means for the offer that is under way.
    fn look(&mut self, now: Duration, lacking: &[Digest]) -> Vec<Output> {
        let staged = self.staged();
        let (Some(report), Some(offer)) = (&self.report, &mut self.offer) else { return Vec::new() };
        let snapshot = offer.part.snapshot;
        let refusal = report.refused.as_ref().filter(|it| (it.snapshot, it.generation) == (snapshot, offer.generation));
        if let Some(refusal) = refusal {
            let change = Change::Refused(refusal.clone());
            self.offer = None;
            return vec![Output::Changed(change)];
        }
        let before = std::mem::replace(&mut offer.settled, staged == Some(snapshot));
        if offer.settled {
            return if before { Vec::new() } else { vec![Output::Changed(Change::Staged(snapshot))] };
        }
        if lacking.is_empty() {
            return Vec::new();
        }
        self.held.retain(|name| !lacking.contains(name));
        self.send_offer(now)
    }

    fn stage(&mut self, now: Duration, part: Arc<Part>, generation: u64) -> Vec<Output> {
        let known = |offer: &Offer| (offer.part.snapshot, offer.generation) == (part.snapshot, generation);
        let refused = |it: &Refusal| (it.snapshot, it.generation) == (part.snapshot, generation);
        let Some(report) = self.report.as_ref().filter(|_| self.connected) else { return Vec::new() };
        if self.offer.as_ref().is_some_and(known) || report.refused.as_ref().is_some_and(refused) {
            return Vec::new();
        }
        let endpoints = self.endpoints.version;
        self.offered = self.offered.max(generation);
        self.offer = Some(Offer { part, generation, endpoints, sent: now, settled: false });
        if self.staged().is_some_and(|staged| self.offers(staged)) { self.look(now, &[]) } else { self.send_offer(now) }
    }

    fn offers(&self, snapshot: Digest) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.part.snapshot == snapshot)
    }

    /// The word to forget what was offered before with a larger generation, if it was: what is active is offered anew
    /// to a member that has lost it while something newer was under way.
    fn make_room(&self) -> Option<Output> {
        let generation = self.offered;
        let room = self.offer.as_ref().is_none_or(|offer| offer.generation == generation);
        (!room).then_some(Output::Send(ToMember::Retire { generation }))
    }

    /// The objects that the member lacks, as far as is known, and the word to make them ready.
    fn send_offer(&mut self, now: Duration) -> Vec<Output> {
        let mut outputs: Vec<Output> = self.make_room().into_iter().collect();
        let Some(offer) = &mut self.offer else { return Vec::new() };
        offer.sent = now;
        let Offer { part, generation, .. } = offer;
        let mut message: Vec<Bytes> = Vec::new();
        let mut bytes_sum = 0;
        let objects = |objects| Output::Send(ToMember::Objects { generation: *generation, objects });
        for (name, bytes) in &part.objects {
            if !self.held.insert(*name) {
                continue;
            }
            if OBJECTS_MESSAGE_BYTES < bytes_sum + bytes.len() || message.len() == OBJECTS_MESSAGE_COUNT {
                bytes_sum = 0;
                outputs.extend(Some(std::mem::take(&mut message)).filter(|it| !it.is_empty()).map(objects));
            }
            bytes_sum += bytes.len();
            message.push(bytes.clone());
        }
        outputs.extend(Some(message).filter(|it| !it.is_empty()).map(objects));
        outputs.push(Output::Send(ToMember::Stage(Running { snapshot: part.snapshot, generation: *generation })));
        outputs
    }

    fn activate(&mut self, now: Duration, wanted: Running) -> Vec<Output> {
        let under_way = self.activation.as_ref().is_some_and(|activation| activation.wanted == wanted);
        if !self.connected || under_way {
            return Vec::new();
        }
        self.activation = Some(Activation { wanted, sent: now });
        vec![Output::Send(ToMember::Activate(wanted))]
    }

    fn retire(&mut self, generation: u64) -> Vec<Output> {
        let staged = self.report.as_ref().is_some_and(|report| report.staged.is_some());
        let offered = self.offer.take_if(|offer| offer.generation <= generation).is_some();
        if self.connected && (staged || offered) {
            vec![Output::Send(ToMember::Retire { generation })]
        } else {
            Vec::new()
        }
    }

    fn has_endpoints(&self) -> bool {
        self.report.as_ref().is_some_and(|report| self.endpoints.version <= report.endpoints)
    }

    fn publish(&mut self, now: Duration, set: Vec<Endpoint>) -> Vec<Output> {
        if self.endpoints.version != 0 && self.endpoints.set == set {
            return Vec::new();
        }
        self.endpoints.version += 1;
        self.endpoints.set = set;
        self.send_endpoints(now)
    }

    fn send_endpoints(&mut self, now: Duration) -> Vec<Output> {
        if !self.connected {
            return Vec::new();
        }
        self.endpoints.sent = Some(now);
        let Endpoints { version, set, .. } = &self.endpoints;
        let parts = set.len().div_ceil(ENDPOINTS_MESSAGE_COUNT).max(1);
        let part = |part: usize| {
            let endpoints = set.iter().skip(part * ENDPOINTS_MESSAGE_COUNT).take(ENDPOINTS_MESSAGE_COUNT).cloned();
            let (part, parts) = (part as u32, parts as u32);
            EndpointsPart { version: *version, part, parts, endpoints: endpoints.collect() }
        };
        (0..parts).map(|number| Output::Send(ToMember::Endpoints(part(number)))).collect()
    }

    fn tick(&mut self, now: Duration) -> Vec<Output> {
        if self.presence == Presence::Live && self.lease_end() <= now {
            self.presence = Presence::Fenced(now);
            (self.offer, self.activation) = (None, None);
            return vec![Output::Changed(Change::Fenced)];
        }
        if !self.connected {
            return Vec::new();
        }
        let due = |sent: &mut Duration| {
            let due = *sent + RESEND_AFTER <= now;
            if due {
                *sent = now;
            }
            due
        };
        let mut outputs = Vec::new();
        if self.endpoints.sent.is_some_and(|sent| sent + RESEND_AFTER <= now) && !self.has_endpoints() {
            outputs.extend(self.send_endpoints(now));
        }
        if let Some(offer) = self.offer.as_mut().filter(|offer| !offer.settled)
            && due(&mut offer.sent)
        {
            let wanted = Running { snapshot: offer.part.snapshot, generation: offer.generation };
            outputs.extend(self.make_room());
            outputs.push(Output::Send(ToMember::Stage(wanted)));
        }
        if let Some(activation) = &mut self.activation
            && due(&mut activation.sent)
        {
            outputs.push(Output::Send(ToMember::Activate(activation.wanted)));
        }
        outputs
    }
}

#[cfg(test)]
mod tests;
