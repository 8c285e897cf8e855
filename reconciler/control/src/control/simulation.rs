//! The whole reconciler with a fleet, over 200 seeds of a network that loses, doubles and reorders, of members and
//! reconcilers that crash, of disks that are tampered with, and of operators who change their minds.

use std::fmt;

use taut_delivery::FromMember;
use taut_delivery::simulation::{Event, Link, SimulatedMember, Want, World, endpoint, mesh};
use taut_delivery::{Boots, Running};
use taut_snapshot::{EndpointSet, SourceMap};

use super::*;
use crate::desired::Commit;
use crate::offer::{Broken, Compiled};
use crate::status::sample;

const WORKLOADS: [&str; 4] = ["shop/cart", "shop/catalog", "shop/orders", "shop/payments"];
const SEEDS: u64 = 200;
const LEASE: Duration = Duration::from_secs(10);
const HEAL_AFTER: Duration = Duration::from_secs(3);

/// The time in which everything goes wrong, and the time in which all must be well again then.
const TROUBLE: Duration = Duration::from_secs(90);
const SETTLED: Duration = Duration::from_secs(160);

/// A livelock is a finding: a fleet of four needs about a tenth of this.
const STEPS_MAX: usize = 100_000;

/// How many commits there are. The last one can be run by all.
const COMMITS: usize = 8;

#[derive(Clone)]
enum Happening {
    Member(usize, Event),
    /// The reconciler hears a member.
    Hear(usize, u64, FromMember),
    /// The reconciler notices that a connection is gone.
    Hangup(u64),
    /// The reconciler's time has come. Counts its lives, as events of an earlier one find nobody.
    Look(u64),
    /// Git has this commit.
    Offer(usize),
    /// Git has a commit that does not compile.
    OfferBroken,
    Order(Command),
    Weather(usize, Link),
    /// Somebody changes what a member would boot.
    Tamper(usize),
    /// The reconciler dies after so many more effects.
    Kill(usize),
    /// It starts again, with its ledger or without.
    Start {
        ledger: bool,
    },
}

/// Short enough to be read, and to be written down 200 times over.
impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Member(at, Event::Receive { connection, message }) => {
                write!(f, "{} on {connection} <- {message:?}", WORKLOADS[*at])
            }
            Happening::Member(at, Event::Done { done, .. }) => write!(f, "{} did {:?}", WORKLOADS[*at], done.work),
            Happening::Member(at, event) => write!(f, "{} {event:?}", WORKLOADS[*at]),
            Happening::Hear(at, connection, message) => {
                let (word, report) = match message {
                    FromMember::Join(join) => ("join", Some(&join.report)),
                    FromMember::Report(report) => ("report", Some(&**report)),
                    FromMember::Leave => ("leave", None),
                };
                write!(f, "{} on {connection} -> {word}", WORKLOADS[*at])?;
                report.map_or(Ok(()), |Report { number, running, staged, refused, boots, endpoints, .. }| {
                    let boots = match boots {
                        Boots::From { running, .. } => format!("{running:?}"),
                        other => format!("{other:?}"),
                    };
                    write!(f, " {number}: runs {running:?}, boots {boots}, staged {staged:?}, refused {refused:?}, endpoints {endpoints}")
                })
            }
            Happening::Hangup(connection) => write!(f, "connection {connection} is found to be gone"),
            Happening::Look(life) => write!(f, "look in life {life}"),
            Happening::Offer(number) => write!(f, "commit {number} is offered"),
            Happening::OfferBroken => f.write_str("a broken commit is offered"),
            Happening::Order(command) => write!(f, "{command:?}"),
            Happening::Weather(at, link) => write!(f, "{} has {link:?}", WORKLOADS[*at]),
            Happening::Tamper(at) => write!(f, "the disk of {} is changed", WORKLOADS[*at]),
            Happening::Kill(left) => write!(f, "the reconciler dies after {left} more effects"),
            Happening::Start { ledger } => write!(f, "the reconciler starts, with its ledger: {ledger}"),
        }
    }
}

/// What the reconciler's disk has.
#[derive(Debug, Default)]
struct Disk {
    desired: Desired,
    members: BTreeMap<String, Known>,
    heads: BTreeMap<u64, Head>,
    records: Vec<Record>,
    contents: BTreeMap<Digest, Arc<Loaded>>,
}

struct Fleet {
    world: World<Happening>,
    members: Vec<SimulatedMember>,
    links: Vec<Link>,
    offers: Vec<Offer>,
    disk: Disk,
    /// None while it is down.
    control: Option<Control>,
    life: u64,
    looking: Option<Duration>,
    /// Effects until it dies.
    left: Option<usize>,
    pending: Vec<Write>,
    connections: u64,
    /// Which member has which connection, once it has joined.
    joined: BTreeMap<u64, usize>,
    asked: u64,
    unanswered: BTreeSet<u64>,
    waited: BTreeMap<u64, Outcome>,
    offered: usize,
    /// Everything that was ever active, in order, as it was written.
    passed: Vec<Running>,
    forgetful: bool,
    /// Members whose disks were changed behind their backs.
    tampered: BTreeSet<&'static str>,
}

fn offer(number: usize) -> Offer {
    let snapshot = mesh(&WORKLOADS, number as u32 + 1);
    let commit = sample::release(number as u8 + 1).commit;
    let source_map = SourceMap {
        repository: "shop".into(),
        commit: commit.rev.as_str().into(),
        compiler: "1".into(),
        files: vec![],
        objects: vec![],
    };
    Offer { commit, compiled: Ok(Compiled { snapshot, endpoints: EndpointSet { endpoints: vec![] }, source_map }) }
}

fn snapshot(offer: &Offer) -> Digest {
    offer.compiled.as_ref().unwrap().snapshot.id
}

fn order() -> Order {
    Order { who: "Ada".to_owned(), why: String::new() }
}

impl Fleet {
    fn new(seed: u64) -> Fleet {
        let member = |(at, workload): (usize, &&str)| {
            let kind = MemberKind::Proxy { workload: (*workload).to_owned() };
            let (namespace, app) = workload.split_once('/').unwrap();
            let endpoint = endpoint(workload, namespace, app, at as u8);
            SimulatedMember::new(workload, kind, Some(endpoint))
        };
        Fleet {
            world: World::new(seed),
            members: WORKLOADS.iter().enumerate().map(member).collect(),
            links: vec![Link::GOOD; WORKLOADS.len()],
            offers: (0..COMMITS).map(offer).collect(),
            disk: Disk::default(),
            control: None,
            life: 0,
            looking: None,
            left: None,
            pending: Vec::new(),
            connections: 0,
            joined: BTreeMap::new(),
            asked: 0,
            unanswered: BTreeSet::new(),
            waited: BTreeMap::new(),
            offered: 0,
            passed: Vec::new(),
            forgetful: false,
            tampered: BTreeSet::new(),
        }
    }

    /// What goes wrong, drawn from the seed.
    fn script(&mut self) {
        let world = &mut self.world;
        world.after(Duration::ZERO, Happening::Start { ledger: true });
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
            if world.draw(3) == 0 {
                let when = world.draw_time(TROUBLE);
                world.after(when, Happening::Tamper(at));
            }
            world.after(TROUBLE, Happening::Weather(at, Link::GOOD));
            world.after(TROUBLE + LEASE * 2, Happening::Member(at, Event::Boot));
        }
        let mut times: Vec<Duration> = (1..COMMITS).map(|_| world.draw_time(TROUBLE)).collect();
        times.sort();
        let times = std::iter::once(Duration::from_millis(100)).chain(times);
        times.enumerate().for_each(|(number, when)| world.after(when, Happening::Offer(number)));
        for _ in 0..3 {
            let when = world.draw_time(TROUBLE);
            let to = match world.draw(3) {
                0 => None,
                1 => Some(world.draw(5).to_string()),
                _ => Some(self.offers[world.draw(COMMITS as u64) as usize].commit.short().to_owned()),
            };
            let command = match world.draw(4) {
                0 => Command::Hold { order: order() },
                1 => Command::Resume { order: order() },
                _ => Command::Rollback { to, order: order() },
            };
            world.after(when, Happening::Order(command));
            let when = world.draw_time(TROUBLE);
            world.after(when, Happening::OfferBroken);
            let target = Target::Commit(self.offers[world.draw(COMMITS as u64) as usize].commit.rev.clone());
            let timeout = world.draw_time(TROUBLE / 2);
            let when = world.draw_time(TROUBLE);
            world.after(when, Happening::Order(Command::Wait { target, timeout }));
        }
        for _ in 0..world.draw(4) {
            let (when, down) = (world.draw_time(TROUBLE), world.draw_time(LEASE * 2));
            let left = world.draw(12) as usize;
            world.after(when, Happening::Kill(left));
            let ledger = world.draw(8) != 0;
            self.forgetful |= !ledger;
            world.after(when + down, Happening::Start { ledger });
        }
        world.after(TROUBLE + LEASE * 2, Happening::Start { ledger: true });
        world.after(TROUBLE + LEASE * 2, Happening::Order(Command::Resume { order: order() }));
        let last = Target::Commit(self.offers[COMMITS - 1].commit.rev.clone());
        let timeout = Duration::from_secs(40);
        world.after(TROUBLE + LEASE * 2, Happening::Order(Command::Wait { target: last, timeout }));
        // One commit, which is not the last, cannot be run by one member.
        let (member, commit) = (world.draw(WORKLOADS.len() as u64), world.draw(COMMITS as u64 - 1));
        self.members[member as usize].refuses.insert(snapshot(&self.offers[commit as usize]));
    }

    fn run(&mut self) {
        while let Some(happening) = self.world.next(SETTLED) {
            assert!(self.world.steps < STEPS_MAX, "livelock:\n{}", self.world.last(60));
            if !matches!(happening, Happening::Look(_) | Happening::Member(_, Event::Tick { .. })) {
                self.world.note(&format!("{happening:?}"));
            }
            self.happen(happening);
            self.check();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Member(at, event) => {
                // A process that dies takes its connection with it; the reconciler may not notice for a while.
                if let (Event::Crash | Event::Cut, Some(connection)) = (&event, self.members[at].connection) {
                    let wait = self.world.draw_time(Duration::from_secs(5));
                    self.world.after(wait, Happening::Hangup(connection));
                }
                if let (Event::Boot, true) = (&event, self.forgetful && self.members[at].disk.is_none()) {
                    // Where both the ledger and its disk are lost, nobody knows what it ran.
                    self.members[at].history.clear();
                }
                let wrap = move |event| Happening::Member(at, event);
                let wants = self.members[at].happen(&mut self.world, event, &wrap);
                self.see_to(at, wants);
            }
            Happening::Hear(at, connection, message) => self.hear(at, connection, message),
            Happening::Hangup(connection) => {
                if self.joined.remove(&connection).is_some() {
                    self.input(Input::Closed { connection: ConnectionId(connection) });
                }
            }
            Happening::Look(life) if life == self.life => {
                self.looking = None;
                self.look();
            }
            Happening::Look(_) => (),
            Happening::Offer(number) => {
                self.offered = number;
                self.input(Input::Offered(Box::new(self.offers[number].clone())));
            }
            Happening::OfferBroken => {
                let commit = Commit { rev: "bad".repeat(14), ..sample::release(99).commit };
                let broken = Broken { count: 1, lines: vec!["orders.yaml:14:17: no subset `v3`".to_owned()] };
                self.input(Input::Offered(Box::new(Offer { commit, compiled: Err(broken) })));
            }
            Happening::Order(command) => {
                self.asked += 1;
                if self.control.is_some() {
                    self.unanswered.insert(self.asked);
                }
                self.input(Input::Asked { reply: self.asked, command });
            }
            Happening::Weather(at, link) => self.links[at] = link,
            Happening::Tamper(at) => {
                self.members[at].disk = None;
                self.tampered.insert(WORKLOADS[at]);
            }
            Happening::Kill(left) => self.left = self.control.is_some().then_some(left),
            Happening::Start { ledger } => {
                if self.left.is_some() {
                    self.die(); // it had nothing to do in the meantime that it could have died of
                }
                if self.control.is_none() {
                    self.start(ledger);
                }
            }
        }
    }

    fn now(&self) -> Now {
        // Its own clock starts when it does; here it is the world's.
        Now { at: self.world.now, clock: SystemTime::UNIX_EPOCH + self.world.now }
    }

    fn start(&mut self, ledger: bool) {
        if !ledger {
            self.disk = Disk::default();
        }
        let Disk { desired, members, heads, records, .. } = &self.disk;
        let remembered = Remembered {
            desired: desired.clone(),
            members: members.clone(),
            heads: heads.values().cloned().collect(),
            records: records.clone(),
        };
        let settings = Settings {
            lease: LEASE,
            heal_after: HEAL_AFTER,
            endpoint_grace: LEASE,
            authority: "spiffe://cluster.local/ns/taut/sa/ca".to_owned(),
        };
        self.life += 1;
        self.looking = None;
        self.left = None;
        self.control = Some(Control::new(self.now(), settings, remembered));
        // Git is compiled again, and the newest commit is offered as if it were new.
        self.input(Input::Offered(Box::new(self.offers[self.offered].clone())));
    }

    /// The process is gone, with everything that was not on disk.
    fn die(&mut self) {
        self.world.note("the reconciler is dead");
        self.control = None;
        self.left = None;
        self.life += 1;
        self.pending.clear();
        self.unanswered.clear();
        for at in std::mem::take(&mut self.joined).into_values() {
            self.world.after(Duration::ZERO, Happening::Member(at, Event::Cut));
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
                    let there = self.control.is_some() && self.links[at] != Link::CUT;
                    let connection = there.then_some(self.connections);
                    let wrap = move |event| Happening::Member(at, event);
                    let wants = self.members[at].connected(&mut self.world, connection, &wrap);
                    self.see_to(at, wants);
                }
            }
        }
    }

    fn hear(&mut self, at: usize, connection: u64, message: FromMember) {
        let is_current = self.members[at].connection == Some(connection);
        if self.control.is_none() || (!self.joined.contains_key(&connection) && !is_current) {
            return;
        }
        let id = ConnectionId(connection);
        let joined = self.joined.contains_key(&connection);
        match message {
            FromMember::Join(join) if !joined => {
                self.joined.insert(connection, at);
                let (namespace, app) = WORKLOADS[at].split_once('/').unwrap();
                let peer = format!("spiffe://cluster.local/ns/{namespace}/sa/{app}");
                self.input(Input::Joined { connection: id, peer, join });
            }
            FromMember::Report(report) if joined => self.input(Input::Reported { connection: id, report }),
            FromMember::Leave if joined => self.input(Input::Left { connection: id }),
            FromMember::Join(_) => (),
            // The join was lost: a server ends such a stream.
            _ => self.world.after(Duration::ZERO, Happening::Member(at, Event::Cut)),
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        let Some(control) = &mut self.control else { return };
        control.note(now, input);
        self.look();
    }

    fn look(&mut self) {
        loop {
            let now = self.now();
            let Some(control) = &mut self.control else { return };
            let effects = control.look(now);
            let inputs = self.carry_out(effects);
            let Some(control) = &mut self.control else { return };
            if inputs.is_empty() {
                let deadline = control.deadline(now);
                if self.looking.is_none_or(|at| deadline < at) {
                    self.looking = Some(deadline);
                    self.world.after(deadline.saturating_sub(now.at), Happening::Look(self.life));
                }
                return;
            }
            inputs.into_iter().for_each(|input| control.note(now, input));
        }
    }

    /// As the real shell does it: what is written is on disk before the next thing is said, as a whole.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<Input> {
        let mut inputs = Vec::new();
        let mut pruned = None;
        for effect in effects {
            if let Some(left) = &mut self.left {
                if *left == 0 {
                    self.die();
                    return Vec::new();
                }
                *left -= 1;
            }
            match effect {
                Effect::Write(write) => self.pending.push(write),
                Effect::Keep(loaded) => drop(self.disk.contents.insert(loaded.release.snapshot, loaded)),
                Effect::Prune(kept) => pruned = Some(kept),
                Effect::Load { release, then } => {
                    self.flush(&mut pruned);
                    let there = self.disk.contents.get(&release.snapshot).map(Arc::clone);
                    inputs.push(Input::Loaded { then, loaded: there.ok_or_else(|| "it is not there".to_owned()) });
                }
                Effect::Send { connection, message } => {
                    self.flush(&mut pruned);
                    if let Some(at) = self.joined.get(&connection.0) {
                        let event = Event::Receive { connection: connection.0, message };
                        self.world.send(self.links[*at], &Happening::Member(*at, event));
                    }
                }
                Effect::Close { connection } => {
                    self.flush(&mut pruned);
                    if let Some(at) = self.joined.get(&connection.0)
                        && self.members[*at].connection == Some(connection.0)
                    {
                        self.world.after(Duration::from_millis(10), Happening::Member(*at, Event::Cut));
                    }
                }
                Effect::Reply { to, answer } => {
                    self.flush(&mut pruned);
                    self.world.note(&format!("answer to {to}: {answer:?}"));
                    if !matches!(answer, Answer::Pending(_)) {
                        assert!(self.unanswered.remove(&to), "{to} is answered twice\n{}", self.world.last(60));
                    }
                    if let Answer::Waited(waited) = answer {
                        self.waited.insert(to, waited.outcome);
                    }
                }
                Effect::History { to, .. } => drop(self.unanswered.remove(&to)),
            }
        }
        self.flush(&mut pruned);
        inputs
    }

    fn flush(&mut self, pruned: &mut Option<BTreeSet<Digest>>) {
        for write in std::mem::take(&mut self.pending) {
            match write {
                Write::Record(record) => {
                    self.world.note(&format!(
                        "{}: {:?} {:?} {}",
                        record.what.word(),
                        record.generation,
                        record.member,
                        record.why
                    ));
                    if record.what == What::Activated {
                        self.check_barrier(&record);
                    }
                    let honest = |name: &String| !self.tampered.contains(name.as_str());
                    let wrong = record.what == What::Drift && record.member.as_ref().is_none_or(honest);
                    assert!(!wrong, "nobody touched {:?}: {}\n{}", record.member, record.why, self.world.last(120));
                    self.disk.records.push(*record);
                }
                Write::Desired(desired) => self.disk.desired = *desired,
                Write::Head(head) => {
                    if self.passed.last() != Some(&head.running()) && !self.passed.contains(&head.running()) {
                        self.passed.push(head.running());
                    }
                    self.disk.heads.insert(head.generation, *head);
                }
                Write::Known(name, Some(known)) => drop(self.disk.members.insert(name, *known)),
                Write::Known(name, None) => drop(self.disk.members.remove(&name)),
            }
        }
        if let Some(kept) = pruned.take() {
            self.disk.contents.retain(|snapshot, _| kept.contains(snapshot));
        }
    }

    fn counted(&self) -> impl Iterator<Item = &SimulatedMember> {
        let members = self.control.iter().flat_map(|control| &control.members);
        let counted = members.filter(|(_, member)| member.known.counted);
        counted.filter_map(|(name, _)| self.members.iter().find(|member| member.name == *name))
    }

    /// What must hold at every moment.
    fn check(&self) {
        let last = || self.world.last(80);
        for member in &self.members {
            let forward = member.history.is_sorted_by_key(|running| running.generation);
            assert!(forward, "{} went back: {:?}\n{}", member.name, member.history, last());
            let allowed = member.runs.is_none_or(|running| self.passed.contains(&running));
            assert!(allowed, "{} runs {:?} before that was written\n{}", member.name, member.runs, last());
        }
        // A reconciler that has forgotten everything numbers anew, so neighbours are not told by their numbers.
        if self.forgetful {
            return;
        }
        let running = self.counted().filter_map(|member| member.runs);
        let steps: BTreeSet<Option<usize>> =
            running.map(|running| self.passed.iter().position(|it| *it == running)).collect();
        let apart = steps.last().copied().flatten().unwrap_or(0) - steps.first().copied().flatten().unwrap_or(0);
        assert!(apart <= 1, "more than two adjacent snapshots at once: {steps:?}\n{}", last());
    }

    /// What must hold when something becomes active: everybody who counts can run it.
    fn check_barrier(&self, record: &Record) {
        let Some(wanted) = record.snapshot else { return };
        for member in self.counted() {
            let able = member.has(wanted) && !member.refuses.contains(&wanted);
            assert!(able, "{} cannot run {wanted:?}\n{}", member.name, self.world.last(80));
        }
    }
}

#[test]
fn a_fleet_comes_to_what_git_says_whatever_goes_wrong_on_the_way() {
    for seed in 0..SEEDS {
        let mut fleet = Fleet::new(seed);
        fleet.script();
        fleet.run();
        let last = || format!("seed {seed} replays it:\n{}", fleet.world.last(120));
        let control = fleet.control.as_ref().unwrap_or_else(|| panic!("it never started again; {}", last()));
        let active = control.desired.active.clone().unwrap_or_else(|| panic!("nothing is active; {}", last()));
        assert_eq!(active.release.snapshot, snapshot(&fleet.offers[COMMITS - 1]), "{}", last());
        for member in &fleet.members {
            assert_eq!(member.runs, Some(active.running()), "{} does not run it; {}", member.name, last());
            assert_eq!(member.disk, Some(active.running()), "{} would not boot it; {}", member.name, last());
            let known: Vec<&str> = member.endpoints.endpoints.iter().map(|it| it.id.as_str()).collect();
            assert_eq!(known, WORKLOADS, "{} does not know all; {}", member.name, last());
        }
        assert!(control.is_converged(), "{:?}; {}", control.plan, last());
        assert_eq!(control.book.converged, active.generation, "{}", last());
        assert_eq!(
            control.differences().into_iter().filter(|it| it.member.is_some()).collect::<Vec<_>>(),
            [],
            "{}",
            last()
        );
        assert_eq!(fleet.unanswered, BTreeSet::new(), "everybody was answered; {}", last());
        assert_eq!(fleet.waited.get(&fleet.asked), Some(&Outcome::Done), "{}", last());
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = |seed| {
        let mut fleet = Fleet::new(seed);
        fleet.script();
        fleet.run();
        fleet.world.trace
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}
