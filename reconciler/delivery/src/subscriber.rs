//! A member's end of the protocol.
//!
//! Owns: what the member runs, what it has staged, what it refused, and when it says so. May not: open sockets, touch
//! files, read a clock: all of that comes in as [`Input`] and goes out as [`Output`].
//! Invariant: nothing is activated that is not staged, and no generation is older than the one before it.

use std::time::Duration;

use bytes::Bytes;
use taut_snapshot::{Digest, Endpoint, EndpointSet, Objects};

use crate::limits::{ENDPOINTS_PARTS_MAX, GENERATION_MAX, LACKING_MAX, PART_BYTES_MAX, PART_OBJECTS_MAX};
use crate::message::{
    Boots, CertificateReport, EndpointsPart, FromMember, Join, MemberKind, Refusal, Refused, Report, Running, ToMember,
};

/// The first wait before connecting again. It doubles with every failure.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// The longest wait before connecting again: a reconciler that comes back has its fleet within this time.
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How often to report until a publisher says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long leaving may take: the publisher finds out by itself that a member has gone.
const LEAVE_MOST: Duration = Duration::from_secs(1);

/// What happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// There is a connection.
    Connected,
    /// There is none any more, or there was none to be had. `jitter` is a random number of thousandths, which keeps a
    /// fleet from coming back all at once.
    Disconnected {
        /// 0 to 1000.
        jitter: u32,
    },
    /// The publisher says something.
    Received(ToMember),
    /// The worker has finished something.
    Done(Done),
    /// Where this member answers has changed.
    Endpoint(Option<Endpoint>),
    /// Time has passed.
    Tick,
    /// The process is to end.
    Shutdown,
}

/// Something that the worker has finished, and how it found the disk afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What it was.
    pub work: Finished,
    /// How things are on disk.
    pub inspection: Inspection,
}

/// Work that is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// A snapshot was to be made ready.
    Stage(Running, Staged),
    /// A snapshot was to be activated. If it was not, why.
    Activate(Running, Result<(), String>),
    /// The endpoints are in use.
    Endpoints,
    /// Nothing but a look was asked for.
    Inspect,
}

/// How it went to make a snapshot ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Staged {
    /// It is persisted and prepared.
    Ready,
    /// These objects are lacking.
    Lacks(Vec<Digest>),
    /// It cannot be run here.
    Refused(Refused),
}

/// What the worker finds when it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What would boot.
    pub boots: Boots,
    /// The objects on disk.
    pub holds: Vec<Digest>,
    /// The certificate that others are shown.
    pub certificate: Option<CertificateReport>,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a connection.
    Connect,
    /// Say something to the publisher.
    Send(FromMember),
    /// Make a snapshot ready, with the objects that were received for it and those on disk.
    Stage(Running, Objects),
    /// Activate the snapshot that was made ready last.
    Activate(Running),
    /// Drop the snapshot that was made ready last.
    Discard,
    /// Use these endpoints.
    Endpoints(EndpointSet),
    /// Look at the disk and the certificate.
    Inspect,
    /// Say nothing more on this connection.
    Close,
    /// All is done: end.
    Stop,
}

/// Who has been told by a member that it is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody: there is no connection.
    Nobody,
    /// The publisher, which tells others.
    Publisher,
    /// Everybody who may send it requests, and has taken note.
    All,
}

/// What a member knows of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// The version of its program.
    pub version: String,
    /// What it runs: at the start, what it booted from disk.
    pub running: Option<Running>,
    /// How it found its disk.
    pub inspection: Inspection,
    /// Where it answers.
    pub endpoint: Option<Endpoint>,
    /// What its operator should know; empty if there is nothing.
    pub note: String,
}

/// One member's end of the protocol, over all its connections.
#[derive(Debug)]
pub struct Session {
    facts: Facts,
    /// Persisted and prepared; the worker has no more than one.
    staged: Option<Digest>,
    refused: Option<Refusal>,
    offer: Offer,
    lacking: Vec<Digest>,
    working: Option<Working>,
    inspecting: bool,
    endpoints: Endpoints,
    /// Whether nobody sends it anything new, since it is leaving.
    deregistered: bool,
    link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Working {
    Stage(Running),
    Activate(Running),
}

/// The newest offer of this connection.
#[derive(Debug, Default)]
struct Offer {
    generation: u64,
    /// None until the publisher has sent all that it thinks is needed.
    snapshot: Option<Digest>,
    received: Objects,
    /// Invariant: the sum of the lengths of `received`.
    bytes_sum: usize,
    too_large: bool,
}

/// Sets of endpoints on their way. Versions are those of this connection.
#[derive(Debug, Default)]
struct Endpoints {
    /// The newest set of which anything has come, and its parts.
    version: u64,
    parts: Vec<Option<Vec<Endpoint>>>,
    /// A whole set that waits for the worker.
    waiting: Option<EndpointSet>,
    /// Whether the worker has a set, and which; 0 if it is from another connection.
    applying: Option<u64>,
    /// The newest set that is in use.
    applied: u64,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Down { failures: u32, retry_at: Duration },
    Connecting { failures: u32 },
    Up { failures: u32, number: u64, heartbeat: Duration, report_at: Duration },
    Leaving { until: Duration },
}

impl Session {
    /// A member that has just started.
    #[must_use]
    pub fn new(facts: Facts) -> Session {
        Session {
            facts,
            staged: None,
            refused: None,
            offer: Offer::default(),
            lacking: Vec::new(),
            working: None,
            inspecting: false,
            endpoints: Endpoints::default(),
            deregistered: false,
            link: Link::Down { failures: 0, retry_at: Duration::ZERO },
        }
    }

    /// What it runs.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        self.facts.running
    }

    /// Who knows where it answers, and that it is leaving if it is.
    #[must_use]
    pub fn told(&self) -> Told {
        match self.link {
            _ if self.deregistered => Told::All,
            Link::Up { .. } => Told::Publisher,
            Link::Down { .. } | Link::Connecting { .. } | Link::Leaving { .. } => Told::Nobody,
        }
    }

    /// When it wants to be told the time next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.link {
            Link::Down { retry_at, .. } => Some(retry_at),
            Link::Connecting { .. } => None,
            Link::Up { report_at, .. } => Some(report_at),
            Link::Leaving { until } => Some(until),
        }
    }

    /// Takes note of what happened, and says what is to be done about it.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        match input {
            Input::Connected => self.join(now),
            Input::Disconnected { jitter } => self.disconnected(now, jitter),
            Input::Received(message) if matches!(self.link, Link::Up { .. }) => self.receive(now, message),
            Input::Received(_) => Vec::new(), // from a connection that is no more
            Input::Done(done) => self.done(now, done),
            Input::Endpoint(endpoint) => {
                self.facts.endpoint = endpoint;
                self.deregistered = false;
                match self.link {
                    // What others should know at once does not wait until it would connect anyway.
                    Link::Down { .. } => {
                        self.link = Link::Connecting { failures: 0 };
                        vec![Output::Connect]
                    }
                    _ => self.report(now),
                }
            }
            Input::Tick => self.tick(now),
            Input::Shutdown => match self.link {
                Link::Up { .. } => {
                    self.link = Link::Leaving { until: now + LEAVE_MOST };
                    vec![Output::Send(FromMember::Leave), Output::Close]
                }
                _ => vec![Output::Stop],
            },
        }
    }

    fn join(&mut self, now: Duration) -> Vec<Output> {
        let failures = if let Link::Connecting { failures } = self.link { failures } else { 0 };
        self.endpoints = Endpoints { applying: self.endpoints.applying.map(|_| 0), ..Endpoints::default() };
        let report_at = now + HEARTBEAT;
        self.link = Link::Up { failures, number: 1, heartbeat: HEARTBEAT, report_at };
        let join = Join {
            name: self.facts.name.clone(),
            kind: self.facts.kind.clone(),
            version: self.facts.version.clone(),
            holds: self.facts.inspection.holds.clone(),
            report: self.state(1),
        };
        vec![Output::Send(FromMember::Join(Box::new(join)))]
    }

    fn disconnected(&mut self, now: Duration, jitter: u32) -> Vec<Output> {
        let failures = match self.link {
            Link::Leaving { .. } => return vec![Output::Stop],
            Link::Down { .. } => return Vec::new(),
            Link::Connecting { failures } | Link::Up { failures, .. } => failures,
        };
        // Whoever comes next may offer again what was refused: the reason may be gone.
        self.refused = None;
        self.offer = Offer::default();
        self.lacking.clear();
        let longest = RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MOST);
        let wait = longest / 2 + longest * jitter.min(1000) / 2000;
        self.link = Link::Down { failures: failures + 1, retry_at: now + wait };
        Vec::new()
    }

    fn tick(&mut self, now: Duration) -> Vec<Output> {
        match self.link {
            Link::Down { failures, retry_at } if retry_at <= now => {
                self.link = Link::Connecting { failures };
                vec![Output::Connect]
            }
            Link::Up { report_at, .. } if report_at <= now => {
                let mut outputs = self.report(now);
                if !self.inspecting {
                    self.inspecting = true;
                    outputs.push(Output::Inspect);
                }
                outputs
            }
            Link::Leaving { until } if until <= now => vec![Output::Stop],
            _ => Vec::new(),
        }
    }

    fn receive(&mut self, now: Duration, message: ToMember) -> Vec<Output> {
        match message {
            ToMember::Welcome { heartbeat: every } => {
                if let Link::Up { failures, heartbeat, report_at, .. } = &mut self.link {
                    (*failures, *heartbeat) = (0, every);
                    *report_at = now + every;
                }
                Vec::new()
            }
            ToMember::Rejected { .. } => Vec::new(), // the connection ends next, and the wait before another is longer
            ToMember::Objects { generation, objects } => {
                if self.newest(generation) {
                    objects.into_iter().for_each(|bytes| self.offer.take(bytes));
                }
                Vec::new()
            }
            ToMember::Stage(offered) => self.stage(now, offered),
            ToMember::Activate(wanted) => self.activate(now, wanted),
            ToMember::Retire { generation } => self.retire(now, generation),
            ToMember::Endpoints(part) => self.gather(part),
            ToMember::Deregistered => {
                self.deregistered = self.facts.endpoint.as_ref().is_none_or(|endpoint| endpoint.draining);
                Vec::new()
            }
        }
    }

    /// Whether an offer is the newest one; a newer one takes the place of that before.
    fn newest(&mut self, generation: u64) -> bool {
        if self.offer.generation < generation && generation <= GENERATION_MAX {
            self.offer = Offer { generation, ..Offer::default() };
            self.lacking.clear();
        }
        self.offer.generation == generation
    }

    /// Whether it would be a step back.
    fn stale(&self, offered: Running) -> bool {
        self.facts.running.is_some_and(|running| {
            offered.generation < running.generation
                || (offered.generation == running.generation && offered.snapshot != running.snapshot)
        })
    }

    fn stage(&mut self, now: Duration, offered: Running) -> Vec<Output> {
        if self.stale(offered) {
            return self.report(now);
        }
        if !self.newest(offered.generation) {
            return Vec::new(); // late
        }
        let refused = |it: &Refusal| (it.snapshot, it.generation) == (offered.snapshot, offered.generation);
        if self.refused.as_ref().is_some_and(refused) {
            return self.report(now);
        }
        self.offer.snapshot = Some(offered.snapshot);
        if self.staged == self.offer.snapshot { self.report(now) } else { self.work(now) }
    }

    /// Begins with the newest offer, if the worker is free.
    fn work(&mut self, now: Duration) -> Vec<Output> {
        let free = self.working.is_none() && self.staged != self.offer.snapshot;
        let Some(snapshot) = self.offer.snapshot.filter(|_| free) else { return Vec::new() };
        let offered = Running { snapshot, generation: self.offer.generation };
        if self.offer.too_large {
            let why = "more was sent for it than a member takes".to_owned();
            return self.refuse(now, offered, Refused { object: None, why });
        }
        self.staged = None;
        self.working = Some(Working::Stage(offered));
        vec![Output::Stage(offered, self.offer.received.clone())]
    }

    fn refuse(&mut self, now: Duration, offered: Running, refused: Refused) -> Vec<Output> {
        let Running { snapshot, generation } = offered;
        self.refused = Some(Refusal { snapshot, generation, refused });
        self.offer.forget();
        self.report(now)
    }

    fn activate(&mut self, now: Duration, wanted: Running) -> Vec<Output> {
        let ready = self.staged == Some(wanted.snapshot) && self.working.is_none();
        if !ready || self.stale(wanted) || GENERATION_MAX < wanted.generation {
            return self.report(now);
        }
        self.working = Some(Working::Activate(wanted));
        vec![Output::Activate(wanted)]
    }

    fn retire(&mut self, now: Duration, generation: u64) -> Vec<Output> {
        if generation < self.offer.generation || matches!(self.working, Some(Working::Activate(_))) {
            return Vec::new();
        }
        // What was offered before that may be offered again: what runs, if the disk has lost it.
        self.offer = Offer::default();
        match self.staged.take() {
            Some(_) => [vec![Output::Discard], self.report(now)].concat(),
            None => Vec::new(),
        }
    }

    fn gather(&mut self, part: EndpointsPart) -> Vec<Output> {
        let EndpointsPart { version, part, parts, endpoints } = part;
        let known = &mut self.endpoints;
        if known.version < version && parts <= ENDPOINTS_PARTS_MAX {
            (known.version, known.parts) = (version, vec![None; parts as usize]);
        }
        let place = known.parts.get_mut(part as usize).filter(|_| version == known.version);
        let Some(place) = place else { return Vec::new() }; // late, or doubled
        *place = Some(endpoints);
        if !known.parts.iter().all(Option::is_some) {
            return Vec::new();
        }
        let mut endpoints: Vec<Endpoint> = std::mem::take(&mut known.parts).into_iter().flatten().flatten().collect();
        endpoints.sort();
        endpoints.dedup_by(|one, other| one.id == other.id);
        known.waiting = Some(EndpointSet { endpoints });
        self.apply()
    }

    /// Gives the worker the newest endpoints, if it has none in hand: of those that come meanwhile, only the last count.
    fn apply(&mut self) -> Vec<Output> {
        let known = &mut self.endpoints;
        let set = if known.applying.is_none() { known.waiting.take() } else { None };
        known.applying = known.applying.or(set.as_ref().map(|_| known.version));
        set.map(Output::Endpoints).into_iter().collect()
    }

    fn done(&mut self, now: Duration, done: Done) -> Vec<Output> {
        let changed = self.facts.inspection != done.inspection;
        self.facts.inspection = done.inspection;
        match done.work {
            Finished::Inspect => {
                self.inspecting = false;
                if changed { self.report(now) } else { Vec::new() }
            }
            Finished::Endpoints => {
                self.endpoints.applied = self.endpoints.applying.take().unwrap_or_default();
                [self.report(now), self.apply()].concat()
            }
            Finished::Stage(offered, staged) => {
                self.working = None;
                self.finish_stage(now, offered, staged)
            }
            Finished::Activate(wanted, outcome) => {
                self.working = None;
                match outcome {
                    Ok(()) => {
                        (self.facts.running, self.staged) = (Some(wanted), None);
                        self.facts.note.clear();
                        if self.offer.snapshot == Some(wanted.snapshot) {
                            self.offer.forget();
                        }
                    }
                    Err(why) => self.facts.note = format!("generation {} was not activated: {why}", wanted.generation),
                }
                [self.report(now), self.work(now)].concat()
            }
        }
    }

    fn finish_stage(&mut self, now: Duration, offered: Running, staged: Staged) -> Vec<Output> {
        let wanted = self.offer.snapshot == Some(offered.snapshot);
        match staged {
            Staged::Ready if wanted => {
                self.staged = Some(offered.snapshot);
                self.lacking.clear();
                self.offer.empty();
                self.report(now)
            }
            Staged::Lacks(names) if wanted => {
                self.lacking = names;
                self.lacking.truncate(LACKING_MAX);
                // The next attempt begins when the publisher has sent them and says so.
                self.offer.snapshot = None;
                self.report(now)
            }
            Staged::Refused(refused) if wanted => self.refuse(now, offered, refused),
            // Something newer was offered meanwhile.
            Staged::Ready => [vec![Output::Discard], self.work(now)].concat(),
            Staged::Lacks(_) | Staged::Refused(_) => self.work(now),
        }
    }

    fn report(&mut self, now: Duration) -> Vec<Output> {
        let Link::Up { number, heartbeat, report_at, .. } = &mut self.link else { return Vec::new() };
        *number += 1;
        *report_at = now + *heartbeat;
        let number = *number;
        vec![Output::Send(FromMember::Report(Box::new(self.state(number))))]
    }

    fn state(&self, number: u64) -> Report {
        Report {
            number,
            running: self.facts.running,
            staged: self.staged,
            lacking: self.lacking.clone(),
            refused: self.refused.clone(),
            boots: self.facts.inspection.boots.clone(),
            endpoints: self.endpoints.applied,
            endpoint: self.facts.endpoint.clone(),
            certificate: self.facts.inspection.certificate.clone(),
            note: self.facts.note.clone(),
        }
    }
}

impl Offer {
    fn take(&mut self, bytes: Bytes) {
        self.bytes_sum += bytes.len();
        self.received.insert_bytes(bytes);
        if PART_BYTES_MAX < self.bytes_sum || PART_OBJECTS_MAX < self.received.len() {
            self.empty();
            self.too_large = true;
        }
    }

    fn empty(&mut self) {
        (self.received, self.bytes_sum) = (Objects::default(), 0);
    }

    fn forget(&mut self) {
        self.empty();
        self.snapshot = None;
    }
}

#[cfg(test)]
mod tests;
