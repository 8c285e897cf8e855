//! A member in virtual time: the real state machine, with a disk and a worker that are values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use taut_snapshot::{Digest, Endpoint, EndpointSet, Objects, Snapshot};

use super::World;
use crate::message::{Boots, FromMember, MemberKind, Refused, Running, ToMember};
use crate::part::{Assembled, assemble, contents};
use crate::subscriber::{Done, Facts, Finished, Input, Inspection, Output, Session, Staged};

/// How long a job may take: to prepare a snapshot, to write to the disk.
const JOB_MOST: Duration = Duration::from_millis(300);

/// Something that happens in a world of members. Whoever runs the world adds the events of the other side.
#[derive(Clone, Debug)]
pub enum Event {
    /// The member's time has come. `life` counts its restarts: an event of an earlier life finds nobody.
    Tick {
        /// Which life.
        life: u64,
    },
    /// Its worker has finished.
    Done {
        /// Which life.
        life: u64,
        /// With what.
        done: Box<Done>,
    },
    /// A message reaches it.
    Receive {
        /// On which connection.
        connection: u64,
        /// What it says.
        message: ToMember,
    },
    /// Its connection ends.
    Cut,
    /// It dies, and what is in memory with it.
    Crash,
    /// It starts again.
    Boot,
}

/// What a member wants of the world.
#[derive(Clone, Debug)]
pub enum Want {
    /// A connection. Whoever runs the world calls [`SimulatedMember::connected`] if there is one to be had.
    Connect,
    /// To say this.
    Say(FromMember),
}

/// A member, its disk, and what it will not run.
#[derive(Debug)]
pub struct SimulatedMember {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Where it answers.
    pub endpoint: Option<Endpoint>,
    /// Snapshots that it cannot run.
    pub refuses: BTreeSet<Digest>,
    /// What decides its requests; none while it is down, or has never run anything.
    pub runs: Option<Running>,
    /// Everything that it ever ran, in order.
    pub history: Vec<Running>,
    /// The endpoints that it knows.
    pub endpoints: EndpointSet,
    /// What would boot. A test may meddle with it.
    pub disk: Option<Running>,
    /// The number of the connection, if there is one.
    pub connection: Option<u64>,
    parts: BTreeMap<Digest, Snapshot>,
    life: u64,
    session: Option<Session>,
    /// When the worker will be free.
    busy_until: Duration,
    ticking: Option<Duration>,
}

impl SimulatedMember {
    /// A member that is down and has never run anything.
    #[must_use]
    pub fn new(name: &str, kind: MemberKind, endpoint: Option<Endpoint>) -> SimulatedMember {
        SimulatedMember {
            name: name.to_owned(),
            kind,
            endpoint,
            refuses: BTreeSet::new(),
            runs: None,
            history: Vec::new(),
            endpoints: EndpointSet { endpoints: Vec::new() },
            disk: None,
            connection: None,
            parts: BTreeMap::new(),
            life: 0,
            session: None,
            busy_until: Duration::ZERO,
            ticking: None,
        }
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// Whether its disk has what it needs to run this snapshot.
    #[must_use]
    pub fn has(&self, snapshot: Digest) -> bool {
        self.parts.contains_key(&snapshot)
    }

    /// Lets something happen to it. What it wants is to be seen to by whoever runs the world; its own events go into the
    /// world by themselves, wrapped by `wrap`.
    pub fn happen<E: Clone + std::fmt::Debug>(
        &mut self,
        world: &mut World<E>,
        event: Event,
        wrap: &impl Fn(Event) -> E,
    ) -> Vec<Want> {
        let input = match event {
            Event::Tick { life } if life == self.life => {
                self.ticking = None;
                Input::Tick
            }
            Event::Done { life, done } if life == self.life => self.finish(*done),
            Event::Receive { connection, message } if self.connection == Some(connection) => Input::Received(message),
            Event::Cut if self.connection.take().is_some() => Input::Disconnected { jitter: world.draw(1001) as u32 },
            Event::Crash => {
                (self.session, self.runs, self.connection, self.ticking) = (None, None, None, None);
                self.life += 1;
                return Vec::new();
            }
            Event::Boot if self.session.is_none() => {
                self.boot(world.now);
                Input::Tick
            }
            _ => return Vec::new(),
        };
        self.input(world, input, wrap)
    }

    /// There is a connection, or there is none to be had.
    pub fn connected<E: Clone + std::fmt::Debug>(
        &mut self,
        world: &mut World<E>,
        connection: Option<u64>,
        wrap: &impl Fn(Event) -> E,
    ) -> Vec<Want> {
        self.connection = connection;
        let input = match connection {
            Some(_) => Input::Connected,
            None => Input::Disconnected { jitter: world.draw(1001) as u32 },
        };
        self.input(world, input, wrap)
    }

    fn boot(&mut self, now: Duration) {
        self.busy_until = now;
        if let Some(running) = self.disk.filter(|running| self.parts.contains_key(&running.snapshot)) {
            self.run(running);
        }
        self.session = Some(Session::new(Facts {
            name: self.name.clone(),
            kind: self.kind.clone(),
            version: "simulated".to_owned(),
            running: self.runs,
            inspection: self.inspect(),
            endpoint: self.endpoint.clone(),
            note: String::new(),
        }));
    }

    fn run(&mut self, running: Running) {
        self.runs = Some(running);
        self.history.push(running);
    }

    fn input<E: Clone + std::fmt::Debug>(
        &mut self,
        world: &mut World<E>,
        input: Input,
        wrap: &impl Fn(Event) -> E,
    ) -> Vec<Want> {
        let Some(session) = &mut self.session else { return Vec::new() };
        let outputs = session.handle(world.now, input);
        let deadline = session.deadline();
        let mut wants = Vec::new();
        for output in outputs {
            match output {
                Output::Connect => wants.push(Want::Connect),
                Output::Send(message) => wants.push(Want::Say(message)),
                Output::Stage(offered, received) => {
                    let staged = self.stage(offered.snapshot, &received);
                    self.work(world, Finished::Stage(offered, staged), wrap);
                }
                Output::Activate(wanted) => self.work(world, Finished::Activate(wanted, Ok(())), wrap),
                Output::Endpoints(set) => {
                    self.endpoints = set;
                    self.work(world, Finished::Endpoints, wrap);
                }
                Output::Inspect => self.work(world, Finished::Inspect, wrap),
                Output::Discard | Output::Close | Output::Stop => (),
            }
        }
        if let Some(at) = deadline
            && self.ticking.is_none_or(|ticking| at < ticking)
        {
            self.ticking = Some(at);
            world.after(at.saturating_sub(world.now), wrap(Event::Tick { life: self.life }));
        }
        wants
    }

    /// Jobs take time, one after the other; a crash before the end undoes them.
    fn work<E: Clone + std::fmt::Debug>(&mut self, world: &mut World<E>, work: Finished, wrap: &impl Fn(Event) -> E) {
        self.busy_until = self.busy_until.max(world.now) + world.draw_time(JOB_MOST);
        let done = Box::new(Done { work, inspection: self.inspect() });
        world.after(self.busy_until - world.now, wrap(Event::Done { life: self.life, done }));
    }

    fn finish(&mut self, mut done: Done) -> Input {
        if let Finished::Activate(wanted, _) = &done.work {
            // On disk first, as the real worker does.
            let before = self.disk.replace(*wanted);
            self.run(*wanted);
            let kept = [Some(*wanted), before.filter(|it| it.snapshot != wanted.snapshot)];
            self.parts.retain(|snapshot, _| kept.iter().flatten().any(|it| it.snapshot == *snapshot));
        }
        done.inspection = self.inspect();
        Input::Done(done)
    }

    fn stage(&mut self, snapshot: Digest, received: &Objects) -> Staged {
        let at_hand = |name| {
            let held = self.parts.values().find_map(|part| part.objects.bytes(name));
            received.bytes(name).or(held).cloned()
        };
        match assemble(snapshot, &self.kind, at_hand) {
            Ok(Assembled::Whole(_)) if self.refuses.contains(&snapshot) => {
                Staged::Refused(Refused { object: Some(snapshot), why: "it does not like it".to_owned() })
            }
            Ok(Assembled::Whole(part)) => {
                self.parts.insert(snapshot, part);
                Staged::Ready
            }
            Ok(Assembled::Lacks(names)) => Staged::Lacks(names),
            Err(refused) => Staged::Refused(refused),
        }
    }

    fn inspect(&self) -> Inspection {
        let boots = self.disk.and_then(|running| {
            let part = self.parts.get(&running.snapshot)?;
            let contents = contents(part.id, part.objects.iter().map(|(name, _)| name));
            Some(Boots::From { running, contents })
        });
        let holds: BTreeSet<Digest> =
            self.parts.values().flat_map(|part| part.objects.iter().map(|(name, _)| name)).collect();
        Inspection { boots: boots.unwrap_or(Boots::Nothing), holds: holds.into_iter().collect(), certificate: None }
    }
}
