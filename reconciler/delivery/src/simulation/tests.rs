//! A whole fleet over 200 seeds of a lossy network, with the smallest coordinator that keeps the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taut_snapshot::{Digest, Snapshot};

use super::{Event, Link, SimulatedMember, Want, World, mesh};
use crate::message::{FromMember, MemberKind, Report, Running, ToMember};
use crate::part::Part;
use crate::publisher::{Input, Output, Presence, Session};

const WORKLOADS: [&str; 4] = ["shop/cart", "shop/catalog", "shop/orders", "shop/payments"];
const LEASE: Duration = Duration::from_secs(10);
const SEEDS: u64 = 200;

/// The time in which the network and the members misbehave, and the time in which everything must have settled then.
const TROUBLE: Duration = Duration::from_secs(90);
const SETTLED: Duration = Duration::from_secs(150);

/// A livelock is a finding: a fleet of four needs about a tenth of this.
const STEPS_MAX: usize = 100_000;

#[derive(Clone)]
enum Happening {
    Member(usize, Event),
    /// The publisher hears a member.
    Hear(usize, u64, FromMember),
    /// The publisher notices that a connection is gone.
    Hangup(usize, u64),
    /// The coordinator looks around.
    Look,
    /// Git has another snapshot.
    Offer(usize),
    /// A link becomes better or worse.
    Weather(usize, Link),
}

/// Short enough to be read, and to be written down 200 times over.
impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Member(at, Event::Receive { message, .. }) => write!(f, "{} <- {message:?}", WORKLOADS[*at]),
            Happening::Member(at, Event::Done { done, .. }) => write!(f, "{} did {:?}", WORKLOADS[*at], done.work),
            Happening::Member(at, event) => write!(f, "{} {event:?}", WORKLOADS[*at]),
            Happening::Hear(at, connection, message) => {
                let (word, report) = match message {
                    FromMember::Join(join) => ("join", Some(&join.report)),
                    FromMember::Report(report) => ("report", Some(&**report)),
                    FromMember::Leave => ("leave", None),
                };
                write!(f, "{} on {connection} -> {word}", WORKLOADS[*at])?;
                report.map_or(Ok(()), |report| {
                    let Report { number, running, staged, lacking, refused, .. } = report;
                    write!(
                        f,
                        " {number}: runs {running:?}, staged {staged:?}, refused {refused:?}, lacks {}",
                        lacking.len()
                    )
                })
            }
            Happening::Hangup(at, connection) => write!(f, "{} on {connection} is found to be gone", WORKLOADS[*at]),
            Happening::Look => f.write_str("look"),
            Happening::Offer(number) => write!(f, "snapshot {number} is offered"),
            Happening::Weather(at, link) => write!(f, "{} has {link:?}", WORKLOADS[*at]),
        }
    }
}

/// One publisher with its sessions, and the smallest coordinator: stage on all, activate when all have it.
#[derive(Default)]
struct Coordinator {
    sessions: BTreeMap<usize, (u64, Session)>,
    /// Members that run, or are about to run, what is active.
    counted: BTreeMap<usize, bool>,
    active: Option<Running>,
    candidate: Option<Running>,
    generation: u64,
    /// Everything that was ever active, in order.
    passed: Vec<Running>,
}

struct Fleet {
    world: World<Happening>,
    members: Vec<SimulatedMember>,
    links: Vec<Link>,
    snapshots: Vec<Snapshot>,
    parts: BTreeMap<(Digest, usize), Arc<Part>>,
    coordinator: Coordinator,
    connections: u64,
}

impl Fleet {
    fn new(seed: u64) -> Fleet {
        let snapshots: Vec<Snapshot> = (1..=8).map(|mark| mesh(&WORKLOADS, mark)).collect();
        let kinds = WORKLOADS.map(|workload| MemberKind::Proxy { workload: workload.to_owned() });
        let mut parts = BTreeMap::new();
        for snapshot in &snapshots {
            for (at, kind) in kinds.iter().enumerate() {
                parts.insert((snapshot.id, at), Arc::new(Part::of(snapshot, kind).unwrap()));
            }
        }
        let members = kinds.into_iter().zip(WORKLOADS).map(|(kind, name)| SimulatedMember::new(name, kind, None));
        let mut fleet = Fleet {
            world: World::new(seed),
            members: members.collect(),
            links: vec![Link::GOOD; WORKLOADS.len()],
            snapshots,
            parts,
            coordinator: Coordinator::default(),
            connections: 0,
        };
        fleet.script();
        fleet
    }

    /// What goes wrong, drawn from the seed.
    fn script(&mut self) {
        let world = &mut self.world;
        world.after(Duration::ZERO, Happening::Look);
        for at in 0..WORKLOADS.len() {
            let begin = world.draw_time(Duration::from_secs(5));
            world.after(begin, Happening::Member(at, Event::Boot));
            for _ in 0..4 {
                let when = world.draw_time(TROUBLE);
                let weather = [Link::GOOD, Link::BAD, Link::BAD, Link::CUT][world.draw(4) as usize];
                world.after(when, Happening::Weather(at, weather));
                let when = world.draw_time(TROUBLE);
                world.after(when, Happening::Member(at, Event::Cut));
            }
            for _ in 0..world.draw(3) {
                let when = world.draw_time(TROUBLE);
                let down = world.draw_time(LEASE * 2);
                world.after(when, Happening::Member(at, Event::Crash));
                world.after(when + down, Happening::Member(at, Event::Boot));
            }
            world.after(TROUBLE, Happening::Weather(at, Link::GOOD));
            world.after(TROUBLE + LEASE * 2, Happening::Member(at, Event::Boot));
        }
        for number in 0..self.snapshots.len() {
            let when = world.draw_time(TROUBLE);
            world.after(when, Happening::Offer(number));
        }
        // One snapshot cannot be run by one member: nobody may ever run it.
        let (member, snapshot) = (world.draw(WORKLOADS.len() as u64), world.draw(self.snapshots.len() as u64 - 1));
        self.members[member as usize].refuses.insert(self.snapshots[snapshot as usize].id);
    }

    fn run(&mut self) {
        while let Some(happening) = self.world.next(SETTLED) {
            assert!(self.world.steps < STEPS_MAX, "livelock:\n{}", self.world.last(60));
            if !matches!(happening, Happening::Look | Happening::Member(_, Event::Tick { .. })) {
                self.world.note(&format!("{happening:?}"));
            }
            match happening {
                Happening::Member(at, event) => {
                    // A process that dies takes its connection with it; the publisher may not notice for a while.
                    if let (Event::Crash | Event::Cut, Some(connection)) = (&event, self.members[at].connection) {
                        let wait = self.world.draw_time(Duration::from_secs(5));
                        self.world.after(wait, Happening::Hangup(at, connection));
                    }
                    let wrap = move |event| Happening::Member(at, event);
                    let wants = self.members[at].happen(&mut self.world, event, &wrap);
                    self.see_to(at, wants);
                }
                Happening::Hear(at, connection, message) => self.hear(at, connection, message),
                Happening::Hangup(at, connection) => {
                    if let Some((current, session)) = self.coordinator.sessions.get_mut(&at)
                        && *current == connection
                    {
                        session.handle(self.world.now, Input::Disconnected);
                    }
                }
                Happening::Look => {
                    self.look();
                    self.world.after(Duration::from_millis(200), Happening::Look);
                }
                Happening::Offer(number) => {
                    self.coordinator.generation += 1;
                    let (snapshot, generation) = (self.snapshots[number].id, self.coordinator.generation);
                    self.coordinator.candidate = Some(Running { snapshot, generation });
                    self.look();
                }
                Happening::Weather(at, link) => self.links[at] = link,
            }
            self.check();
        }
    }

    fn see_to(&mut self, at: usize, wants: Vec<Want>) {
        for want in wants {
            match want {
                Want::Say(message) => {
                    let Some(connection) = self.members[at].connection else { continue };
                    self.world.send(self.links[at], &Happening::Hear(at, connection, message));
                }
                Want::Connect => {
                    self.connections += 1;
                    let connection = (self.links[at] != Link::CUT).then_some(self.connections);
                    let wrap = move |event| Happening::Member(at, event);
                    let wants = self.members[at].connected(&mut self.world, connection, &wrap);
                    self.see_to(at, wants);
                }
            }
        }
    }

    fn hear(&mut self, at: usize, connection: u64, message: FromMember) {
        let now = self.world.now;
        let Coordinator { sessions, .. } = &mut self.coordinator;
        let known = sessions.get(&at).map_or(0, |(known, _)| *known);
        let outputs = match message {
            FromMember::Join(join) if known < connection => {
                let entry = sessions.entry(at).or_insert_with(|| (connection, Session::new(now, LEASE)));
                entry.0 = connection;
                entry.1.handle(now, Input::Joined(join))
            }
            FromMember::Report(report) if known == connection => {
                let (_, session) = sessions.get_mut(&at).unwrap();
                session.handle(now, Input::Reported(report))
            }
            FromMember::Report(_) if known < connection => {
                // The join was lost: a server ends such a stream.
                self.world.after(Duration::ZERO, Happening::Member(at, Event::Cut));
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.deliver(at, outputs);
        self.look();
    }

    fn deliver(&mut self, at: usize, outputs: Vec<Output>) {
        let Some((connection, _)) = self.coordinator.sessions.get(&at) else { return };
        let connection = *connection;
        for output in outputs {
            match output {
                Output::Send(message) => {
                    let event = Happening::Member(at, Event::Receive { connection, message });
                    self.world.send(self.links[at], &event);
                }
                Output::Changed(change) => self.world.note(&format!("{}: {change:?}", WORKLOADS[at])),
            }
        }
    }

    /// Looks at everything, and does whatever can be done now.
    fn look(&mut self) {
        let now = self.world.now;
        for at in 0..WORKLOADS.len() {
            if let Some((_, session)) = self.coordinator.sessions.get_mut(&at) {
                let outputs = session.handle(now, Input::Tick);
                self.deliver(at, outputs);
            }
        }
        let Coordinator { sessions, counted, active, candidate, .. } = &mut self.coordinator;
        let runs = |session: &Session| session.report().and_then(|report| report.running);
        let live = |session: &Session| session.presence() == Presence::Live;
        for (at, (_, session)) in sessions.iter() {
            let settled = active.is_none() || runs(session) == *active;
            let counts = live(session) && (settled || counted.get(at) == Some(&true));
            counted.insert(*at, counts);
        }
        let all = |test: &dyn Fn(&Session) -> bool| {
            sessions.iter().filter(|(at, _)| counted[at]).all(|(_, (_, session))| test(session))
        };
        if let Some(wanted) = *candidate {
            let refuses = |session: &Session| {
                session
                    .report()
                    .and_then(|report| report.refused.clone())
                    .is_some_and(|it| it.generation == wanted.generation)
            };
            let settled = all(&|session| active.is_none() || runs(session) == *active);
            if sessions.values().any(|(_, session)| refuses(session)) {
                *candidate = None;
            } else if settled && all(&|session| session.staged() == Some(wanted.snapshot)) {
                (*active, *candidate) = (Some(wanted), None);
                self.coordinator.passed.push(wanted);
                self.check_barrier(wanted);
            }
        }
        self.act();
    }

    fn act(&mut self) {
        let now = self.world.now;
        for at in 0..WORKLOADS.len() {
            let Coordinator { sessions, counted, active, candidate, .. } = &mut self.coordinator;
            let Some((_, session)) = sessions.get_mut(&at) else { continue };
            let running = session.report().and_then(|report| report.running);
            let wanted = match (*active, *candidate) {
                (Some(active), _) if running != Some(active) => active,
                (_, Some(candidate)) if counted[&at] => candidate,
                _ => continue,
            };
            let part = Arc::clone(&self.parts[&(wanted.snapshot, at)]);
            let input = if Some(wanted) == *active && session.staged() == Some(wanted.snapshot) {
                Input::Activate(wanted)
            } else {
                Input::Stage(part, wanted.generation)
            };
            let outputs = session.handle(now, input);
            self.deliver(at, outputs);
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let last = || self.world.last(60);
        let passed = &self.coordinator.passed;
        for member in &self.members {
            let forward = member.history.is_sorted_by_key(|running| running.generation);
            assert!(forward, "{} went back: {:?}\n{}", member.name, member.history, last());
            let allowed = member.runs.is_none_or(|running| passed.contains(&running));
            assert!(allowed, "{} runs {:?} before all could\n{}", member.name, member.runs, last());
        }
        let counted = self.coordinator.counted.iter().filter(|(_, counts)| **counts);
        let running = counted.filter_map(|(at, _)| self.members[*at].runs);
        let steps: BTreeSet<Option<usize>> =
            running.map(|running| passed.iter().position(|it| *it == running)).collect();
        let apart = steps.last().copied().flatten().unwrap_or(0) - steps.first().copied().flatten().unwrap_or(0);
        assert!(apart <= 1, "more than two adjacent snapshots at once: {steps:?}\n{}", last());
    }

    /// What must hold at the moment when a snapshot may be activated: everybody who counts can run it.
    fn check_barrier(&self, wanted: Running) {
        for (at, _) in self.coordinator.counted.iter().filter(|(_, counts)| **counts) {
            let member = &self.members[*at];
            let able = member.has(wanted.snapshot) && !member.refuses.contains(&wanted.snapshot);
            assert!(able, "{} cannot run {wanted:?}\n{}", member.name, self.world.last(60));
        }
    }
}

#[test]
fn a_fleet_moves_together_and_forward_whatever_the_network_does() {
    for seed in 0..SEEDS {
        let mut fleet = Fleet::new(seed);
        fleet.run();
        let active = fleet.coordinator.active;
        assert!(active.is_some(), "seed {seed}: nothing was ever activated\n{}", fleet.world.last(60));
        for member in &fleet.members {
            let refuses = active.is_some_and(|active| member.refuses.contains(&active.snapshot));
            assert!(
                member.runs == active || refuses,
                "seed {seed}: {} runs {:?}, not {active:?}\n{}",
                member.name,
                member.runs,
                fleet.world.last(60)
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = |seed| {
        let mut fleet = Fleet::new(seed);
        fleet.run();
        fleet.world.trace
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

#[test]
fn a_stage_sends_only_what_is_lacking() {
    let mut fleet = Fleet::new(0);
    let (one, two) = (fleet.snapshots[0].clone(), fleet.snapshots[1].clone());
    let kind = fleet.members[0].kind.clone();
    let part = |snapshot: &Snapshot| Part::of(snapshot, &kind).unwrap();
    let held: Vec<Digest> = part(&one).objects.iter().map(|(name, _)| *name).collect();
    let lacking = part(&two).objects.iter().filter(|(name, _)| !held.contains(name)).count();
    assert!(0 < lacking && lacking < held.len(), "the two meshes share most objects: {lacking} of {}", held.len());

    fleet.world = World::new(1);
    fleet.world.after(Duration::ZERO, Happening::Look);
    fleet.world.after(Duration::ZERO, Happening::Member(0, Event::Boot));
    fleet.members[0].refuses.clear();
    fleet.world.after(Duration::from_secs(2), Happening::Offer(0));
    fleet.world.after(Duration::from_secs(4), Happening::Offer(1));
    fleet.world.after(Duration::from_secs(6), Happening::Offer(0));
    fleet.run();
    let sent = fleet.world.trace.iter().filter_map(|line| {
        let (_, objects) = line.split_once("Objects(")?;
        let (count, generation) = objects.split_once(" for ")?;
        Some((generation[..1].to_owned(), count.parse().ok()?))
    });
    let sent: BTreeMap<String, usize> = sent.collect();
    let want = BTreeMap::from([("1".to_owned(), held.len()), ("2".to_owned(), lacking)]);
    assert_eq!(sent, want, "and going back sends nothing");
    assert_eq!(fleet.members[0].runs, Some(Running { snapshot: one.id, generation: 3 }));
}

#[test]
fn what_is_offered_as_an_older_generation_is_never_run() {
    let mut fleet = Fleet::new(0);
    fleet.world = World::new(1);
    fleet.members[0].refuses.clear();
    fleet.world.after(Duration::ZERO, Happening::Look);
    fleet.world.after(Duration::ZERO, Happening::Member(0, Event::Boot));
    fleet.world.after(Duration::from_secs(2), Happening::Offer(0));
    fleet.world.after(Duration::from_secs(4), Happening::Offer(1));
    let old = Running { snapshot: fleet.snapshots[0].id, generation: 1 };
    for (at, message) in [ToMember::Stage(old), ToMember::Activate(old)].into_iter().enumerate() {
        let wait = Duration::from_secs(6 + at as u64);
        fleet.world.after(wait, Happening::Member(0, Event::Receive { connection: 1, message }));
    }
    fleet.run();
    assert_eq!(fleet.members[0].runs, Some(Running { snapshot: fleet.snapshots[1].id, generation: 2 }));
    assert_eq!(fleet.members[0].history.len(), 2);
}
