//! What operators order, and what they are told, without a network: the state machine alone.

use taut_delivery::simulation::{endpoint, mesh};
use taut_delivery::{Boots, Running};
use taut_snapshot::{EndpointSet, SourceMap};

use super::*;
use crate::offer::{Broken, Compiled};
use crate::status::sample;

const LEASE: Duration = Duration::from_secs(10);
const AUTHORITY: &str = "spiffe://cluster.local/ns/taut/sa/ca";

/// A reconciler whose disk always works, and time that only moves when told to.
struct Desk {
    control: Control,
    now: Duration,
    contents: BTreeMap<Digest, Arc<Loaded>>,
    said: Vec<(u64, Answer)>,
    records: Vec<Record>,
    sent: Vec<(ConnectionId, ToMember)>,
    asked: u64,
}

impl Desk {
    fn new() -> Desk {
        let settings = Settings {
            lease: LEASE,
            heal_after: Duration::from_secs(3),
            endpoint_grace: LEASE,
            authority: AUTHORITY.to_owned(),
        };
        let now = Now { at: Duration::ZERO, clock: SystemTime::UNIX_EPOCH };
        Desk {
            control: Control::new(now, settings, Remembered::default()),
            now: Duration::ZERO,
            contents: BTreeMap::new(),
            said: Vec::new(),
            records: Vec::new(),
            sent: Vec::new(),
            asked: 0,
        }
    }

    fn input(&mut self, input: Input) {
        let now = Now { at: self.now, clock: SystemTime::UNIX_EPOCH + self.now };
        let mut inputs = vec![input];
        while !inputs.is_empty() {
            inputs.into_iter().for_each(|input| self.control.note(now, input));
            inputs = Vec::new();
            for effect in self.control.look(now) {
                match effect {
                    Effect::Keep(loaded) => drop(self.contents.insert(loaded.release.snapshot, loaded)),
                    Effect::Load { release, then } => {
                        let there = self.contents.get(&release.snapshot).map(Arc::clone);
                        inputs.push(Input::Loaded { then, loaded: there.ok_or_else(|| "it is lost".to_owned()) });
                    }
                    Effect::Write(Write::Record(record)) => self.records.push(*record),
                    Effect::Reply { to, answer } => self.said.push((to, answer)),
                    Effect::Send { connection, message } => self.sent.push((connection, message)),
                    _ => (),
                }
            }
        }
    }

    fn after(&mut self, wait: Duration) {
        self.now += wait;
        self.input(Input::HungUp { reply: 0 });
    }

    fn ask(&mut self, command: Command) -> Option<Answer> {
        self.asked += 1;
        self.input(Input::Asked { reply: self.asked, command });
        self.said_to(self.asked)
    }

    fn said_to(&self, reply: u64) -> Option<Answer> {
        self.said.iter().rev().find(|(to, _)| *to == reply).map(|(_, answer)| answer.clone())
    }

    fn order(&mut self, command: impl Fn(Order) -> Command) -> String {
        match self.ask(command(Order { who: "Ada".to_owned(), why: String::new() })) {
            Some(Answer::Done(done)) => done.said,
            Some(Answer::Failed(why)) => format!("not done: {why}"),
            other => panic!("no answer to an order: {other:?}"),
        }
    }

    fn rollback(&mut self, to: Option<&str>) -> String {
        self.order(|order| Command::Rollback { to: to.map(ToOwned::to_owned), order })
    }

    fn wait(&mut self, target: Target) -> Option<Answer> {
        self.ask(Command::Wait { target, timeout: Duration::from_secs(60) })
    }

    fn offer(&mut self, number: u8) {
        let source_map = SourceMap {
            repository: "shop".into(),
            commit: "".into(),
            compiler: "1".into(),
            files: vec![],
            objects: vec![],
        };
        let snapshot = mesh(&["shop/cart"], u32::from(number));
        let compiled = Compiled { snapshot, endpoints: EndpointSet { endpoints: vec![] }, source_map };
        let offer = Offer { commit: sample::release(number).commit, compiled: Ok(compiled) };
        self.input(Input::Offered(Box::new(offer)));
    }

    fn broken(&mut self, number: u8) {
        let broken = Broken { count: 1, lines: vec!["a.yaml:1:1: no".to_owned()] };
        let offer = Offer { commit: sample::release(number).commit, compiled: Err(broken) };
        self.input(Input::Offered(Box::new(offer)));
    }

    fn join(&mut self, connection: u64, name: &str, peer: &str, running: Option<Running>) {
        let kind = match peer {
            AUTHORITY => MemberKind::Authority,
            _ => MemberKind::Proxy { workload: "shop/cart".to_owned() },
        };
        let report = report(1, running);
        let join = Join { name: name.to_owned(), kind, version: "1".to_owned(), holds: vec![], report };
        let connection = ConnectionId(connection);
        self.input(Input::Joined { connection, peer: peer.to_owned(), join: Box::new(join) });
    }

    /// One of `carts` that answers somewhere, reports what it runs, and which endpoints it has.
    fn cart(&mut self, number: u64, connection: u64, draining: bool, endpoints: u64) {
        let running = self.control.desired.active.as_ref().map(Head::running);
        let name = format!("cart-{connection}");
        let endpoint = taut_snapshot::Endpoint { draining, ..endpoint(&name, "shop", "cart", connection as u8) };
        let report = Report { endpoints, endpoint: Some(endpoint), ..report(number, running) };
        let connection = ConnectionId(connection);
        let input = match number {
            1 => {
                let kind = MemberKind::Proxy { workload: "shop/cart".to_owned() };
                let join = Join { name, kind, version: "1".to_owned(), holds: vec![], report };
                Input::Joined { connection, peer: CART.to_owned(), join: Box::new(join) }
            }
            _ => Input::Reported { connection, report: Box::new(report) },
        };
        self.input(input);
    }

    /// The newest set of endpoints that was sent on a connection.
    fn told(&self, connection: u64) -> u64 {
        let versions = self.sent.iter().filter_map(|(to, message)| match message {
            ToMember::Endpoints(part) if to.0 == connection => Some(part.version),
            _ => None,
        });
        versions.max().unwrap_or(0)
    }

    /// How often the first cart was told that nobody sends it anything new.
    fn deregistered(&self) -> usize {
        self.sent.iter().filter(|(to, message)| to.0 == 1 && *message == ToMember::Deregistered).count()
    }

    fn active(&self) -> Option<u64> {
        self.control.desired.active.as_ref().map(|head| head.generation)
    }

    fn words(&self) -> Vec<&'static str> {
        self.records.iter().map(|record| record.what.word()).collect()
    }

    fn rejected(&self) -> Option<&str> {
        self.sent.iter().rev().find_map(|(_, message)| match message {
            ToMember::Rejected { why } => Some(why.as_str()),
            _ => None,
        })
    }
}

/// A report of a member whose disk is as it should be.
fn report(number: u64, running: Option<Running>) -> Report {
    let kind = MemberKind::Proxy { workload: "shop/cart".to_owned() };
    let part = |running: Running| {
        let snapshots = (1..=3).map(|mark| mesh(&["shop/cart"], mark));
        let snapshot = snapshots.into_iter().find(|snapshot| snapshot.id == running.snapshot)?;
        Some(Boots::From { running, contents: Part::of(&snapshot, &kind).unwrap().contents })
    };
    Report {
        number,
        running,
        staged: None,
        lacking: vec![],
        refused: None,
        boots: running.and_then(part).unwrap_or(Boots::Nothing),
        endpoints: 0,
        endpoint: None,
        certificate: None,
        note: String::new(),
    }
}

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

#[test]
fn a_rollback_names_a_generation_a_commit_or_nothing() {
    let mut desk = Desk::new();
    assert_eq!(desk.rollback(None), "not done: nothing was ever active, so there is nothing to go back to");
    desk.offer(1);
    assert_eq!(desk.rollback(None), "not done: nothing else was active before this");
    desk.offer(2);
    desk.offer(3);
    let until = "git moves nothing until `taut resume`";
    let back =
        |generation, commit: &str| format!("generation {generation} takes the fleet back to commit {commit}; {until}");
    assert_eq!(desk.rollback(None), back(4, "020202020202 (change 2)"));
    assert_eq!(desk.rollback(Some("1")), back(5, "010101010101 (change 1)"));
    assert_eq!(desk.rollback(Some("0303")), back(6, "030303030303 (change 3)"));
    assert_eq!(desk.rollback(Some("3")), format!("commit 030303030303 is active already, as generation 6; {until}"));
    let unknown = desk.rollback(Some("beef"));
    assert!(unknown.starts_with("not done: `beef` is none of the last 6 activations: name a generation"), "{unknown}");
    assert!(desk.rollback(Some("03")).starts_with("not done: `03` is none"), "two characters name too much");
    assert_eq!(desk.active(), Some(6));
}

#[test]
fn who_leaves_hears_when_everybody_has_taken_note() {
    let mut desk = Desk::new();
    desk.after(LEASE); // until then, members may know more of the fleet than it does
    desk.offer(1);
    for cart in 1..=3 {
        desk.cart(1, cart, false, 0);
    }
    for cart in 1..=3 {
        desk.cart(2, cart, false, desk.told(cart));
    }
    let before = desk.told(2);
    desk.cart(3, 1, true, desk.told(1));
    assert!(before < desk.told(2), "the others hear of it");
    desk.cart(4, 1, true, desk.told(1));
    desk.cart(3, 2, false, before);
    desk.cart(3, 3, false, desk.told(3));
    assert_eq!(desk.deregistered(), 0, "the second one uses what it had before");
    desk.cart(4, 2, false, desk.told(2));
    assert_eq!(desk.deregistered(), 1);
    desk.after(Duration::from_secs(1));
    assert_eq!(desk.deregistered(), 1, "nothing is new");
    desk.cart(5, 1, true, desk.told(1));
    assert_eq!(desk.deregistered(), 2, "it may not have heard");
}

#[test]
fn who_leaves_waits_for_one_without_a_connection_until_its_lease_is_over() {
    let mut desk = Desk::new();
    desk.offer(1);
    for cart in 1..=2 {
        desk.cart(1, cart, false, 0);
    }
    desk.input(Input::Closed { connection: ConnectionId(2) });
    desk.cart(2, 1, true, desk.told(1));
    assert_eq!(desk.deregistered(), 0, "it may serve all the same, with what it was told last");
    desk.after(LEASE / 2);
    desk.cart(3, 1, true, desk.told(1));
    assert_eq!(desk.deregistered(), 0);
    desk.after(LEASE / 2);
    assert_eq!(desk.deregistered(), 1);
}

#[test]
fn git_moves_nothing_while_it_is_held_and_catches_up_when_it_is_released() {
    let mut desk = Desk::new();
    desk.offer(1);
    assert_eq!(desk.order(|order| Command::Hold { order }), "the fleet stays at generation 1 until `taut resume`");
    assert_eq!(desk.order(|order| Command::Hold { order }), "git is held already, by Ada: ");
    desk.offer(2);
    desk.offer(3);
    assert_eq!(desk.active(), Some(1));
    let Some(Answer::Drift(drifts)) = desk.ask(Command::Drift) else { panic!("no answer") };
    assert_eq!(drifts.iter().map(|it| (it.member.clone(), it.kind)).collect::<Vec<_>>(), [(None, DriftKind::Git)]);
    let said = desk.order(|order| Command::Resume { order });
    assert_eq!(said, "git is followed again: generation 2 is commit 030303030303 (change 3)");
    assert_eq!(desk.active(), Some(2));
    assert_eq!(desk.order(|order| Command::Resume { order }), "git is followed, and has nothing new");
}

#[test]
fn a_hold_keeps_back_what_is_on_its_way() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.join(1, "cart-1", CART, None);
    let running = desk.control.desired.active.as_ref().map(Head::running);
    desk.input(Input::Reported { connection: ConnectionId(1), report: Box::new(report(2, running)) });
    desk.offer(2);
    assert_eq!(desk.active(), Some(1), "cart-1 has not staged it");
    desk.order(|order| Command::Hold { order });
    assert_eq!(desk.control.desired.candidate, None);
    assert_eq!(desk.control.book.waiting(), [sample::release(2).commit]);
    desk.after(LEASE * 2);
    assert_eq!(desk.active(), Some(1));
    desk.order(|order| Command::Resume { order });
    assert_eq!(desk.active(), Some(3), "cart-1 is not waited for any more, and the number is a new one");
}

#[test]
fn a_rollback_keeps_back_what_is_on_its_way() {
    let mut desk = Desk::new();
    (1..=2).for_each(|number| desk.offer(number));
    desk.join(1, "cart-1", CART, None);
    let running = desk.control.desired.active.as_ref().map(Head::running);
    desk.input(Input::Reported { connection: ConnectionId(1), report: Box::new(report(2, running)) });
    desk.offer(3);
    assert_eq!(desk.active(), Some(2), "cart-1 has not staged it");
    desk.rollback(None);
    assert_eq!(desk.control.book.waiting(), [sample::release(3).commit]);
    let waits = "it waits behind the hold; `taut resume` ends that".to_owned();
    let standing = desk.control.book.commit(&sample::release(3).commit.rev, &desk.control.desired);
    assert_eq!(standing, Some(Standing::Pending(waits)));
}

#[test]
fn a_broken_connection_makes_nobody_forgotten_before_its_lease_is_over() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.join(1, "cart-1", CART, None);
    let running = desk.control.desired.active.as_ref().map(Head::running);
    desk.input(Input::Reported { connection: ConnectionId(1), report: Box::new(report(2, running)) });
    desk.input(Input::Closed { connection: ConnectionId(1) });
    desk.offer(2);
    desk.after(LEASE - Duration::from_secs(1));
    assert_eq!(desk.active(), Some(1), "it may be back in a moment");
    desk.after(Duration::from_secs(1));
    assert_eq!(desk.active(), Some(2), "nobody waits for the dead");
    let excluded = desk.control.members.values().map(|member| member.state).collect::<Vec<_>>();
    assert_eq!(excluded, [MemberState::Excluded]);
}

#[test]
fn an_activation_whose_confirmation_was_lost_is_no_drift() {
    let mut desk = Desk::new();
    desk.offer(1);
    let one = desk.control.desired.active.as_ref().map(Head::running);
    desk.join(1, "cart-1", CART, one);
    desk.offer(2);
    desk.input(Input::Closed { connection: ConnectionId(1) });
    desk.after(LEASE);
    let two = desk.control.desired.active.as_ref().map(Head::running);
    assert_ne!(one, two);
    desk.join(2, "cart-1", CART, two);
    assert_eq!(desk.control.members["cart-1"].known.activated, two);
    assert!(!desk.words().contains(&"drift"), "{:?}", desk.words());
}

#[test]
fn a_commit_offered_twice_changes_nothing() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.broken(2);
    let before = desk.words();
    desk.offer(1);
    desk.broken(2);
    assert_eq!(desk.words(), before);
    assert_eq!(before, ["staging", "activated", "converged", "broken"]);
}

#[test]
fn a_broken_commit_is_drift_until_a_good_one_comes() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.broken(2);
    let drifts = desk.control.differences();
    assert_eq!(drifts.iter().map(|it| it.why.as_str()).collect::<Vec<_>>(), ["it does not compile: a.yaml:1:1: no"]);
    desk.offer(3);
    assert_eq!(desk.control.differences(), []);
}

#[test]
fn who_waits_is_told_what_stands_in_the_way_and_is_answered_once() {
    let mut desk = Desk::new();
    let rev = sample::release(1).commit.rev;
    let pending = desk.wait(Target::Commit(rev));
    assert_eq!(pending, Some(Answer::Pending("git has not offered it yet".to_owned())));
    desk.join(1, "cart-1", CART, None);
    desk.offer(1);
    assert_eq!(desk.said_to(1), Some(Answer::Pending("waiting for cart-1 to have it staged".to_owned())));
    desk.after(Duration::from_secs(9));
    let snapshot = desk.control.desired.candidate.as_ref().map(|head| head.release.snapshot);
    let staged = Report { staged: snapshot, endpoints: 9, ..report(2, None) };
    desk.input(Input::Reported { connection: ConnectionId(1), report: Box::new(staged) });
    assert_eq!(desk.said_to(1), Some(Answer::Pending("0 of 1 members run generation 1; not cart-1".to_owned())));
    let running = desk.control.desired.active.as_ref().map(Head::running);
    desk.input(Input::Reported { connection: ConnectionId(1), report: Box::new(report(3, running)) });
    let Some(Answer::Waited(waited)) = desk.said_to(1) else { panic!("no answer") };
    assert_eq!(waited.outcome, Outcome::Done);
    assert!(waited.said.starts_with("1 live member runs generation 1: commit 010101010101"), "{}", waited.said);
    let answers = desk.said.iter().filter(|(to, answer)| (*to, matches!(answer, Answer::Waited(_))) == (1, true));
    assert_eq!(answers.count(), 1);
}

#[test]
fn who_waits_for_too_long_is_told_what_stood_in_the_way() {
    let mut desk = Desk::new();
    desk.wait(Target::Snapshot("abcd".to_owned()));
    desk.after(Duration::from_secs(59));
    assert!(matches!(desk.said_to(1), Some(Answer::Pending(_))));
    desk.after(Duration::from_secs(1));
    let said = "git has not offered it yet".to_owned();
    assert_eq!(desk.said_to(1), Some(Answer::Waited(Waited { outcome: Outcome::Timeout, said })));
}

#[test]
fn a_stranger_does_not_get_a_workloads_configuration() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.join(1, "cart-1", "spiffe://cluster.local/ns/bank/sa/thief", None);
    let why = "`spiffe://cluster.local/ns/bank/sa/thief` may not be a proxy of shop/cart, which runs as `spiffe://cluster.local/ns/shop/sa/cart`";
    assert_eq!(desk.rejected(), Some(why));
    assert!(desk.control.members.is_empty());
    desk.join(2, "cart-1", "spiffe://cluster.local/ns/bank/sa/thief", None);
    assert_eq!(desk.words().iter().filter(|word| **word == "rejected").count(), 1, "it is written down once");
}

#[test]
fn a_stranger_who_came_before_git_gets_nothing_when_git_comes() {
    let mut desk = Desk::new();
    desk.join(1, "cart-1", "spiffe://cluster.local/ns/bank/sa/thief", None);
    desk.offer(1);
    assert_eq!(desk.active(), Some(1), "it holds nobody up");
    let harmless = |message: &ToMember| match message {
        ToMember::Welcome { .. } => true,
        ToMember::Endpoints(part) => part.endpoints.is_empty(),
        _ => false,
    };
    assert!(desk.sent.iter().all(|(_, message)| harmless(message)), "{:?}", desk.sent);
    desk.join(2, "cart-1", CART, None);
    assert_eq!(desk.control.members["cart-1"].known.peer, CART, "and it cannot keep the name from its owner");
}

#[test]
fn a_name_belongs_to_one_member_while_it_is_there() {
    let mut desk = Desk::new();
    desk.offer(1);
    desk.join(1, "cart-1", CART, None);
    desk.join(2, "cart-1", AUTHORITY, None);
    let why = "the name `cart-1` belongs to `spiffe://cluster.local/ns/shop/sa/cart` (shop/cart): take another";
    assert_eq!(desk.rejected(), Some(why));
    desk.after(LEASE);
    desk.join(3, "cart-1", AUTHORITY, None);
    assert_eq!(desk.control.members["cart-1"].known.kind, MemberKind::Authority, "silence gives it up");
}

#[test]
fn only_the_meshs_authority_may_be_one() {
    let mut desk = Desk::new();
    let join = Join {
        name: "ca".to_owned(),
        kind: MemberKind::Authority,
        version: "1".to_owned(),
        holds: vec![],
        report: report(1, None),
    };
    let thief = "spiffe://cluster.local/ns/bank/sa/thief".to_owned();
    desk.input(Input::Joined { connection: ConnectionId(1), peer: thief, join: Box::new(join) });
    assert_eq!(
        desk.rejected(),
        Some(
            "`spiffe://cluster.local/ns/bank/sa/thief` is not the certificate authority of this mesh, which is `spiffe://cluster.local/ns/taut/sa/ca`"
        )
    );
    desk.join(2, "ca", AUTHORITY, None);
    assert_eq!(desk.control.members.len(), 1);
}

#[test]
fn a_number_that_nobody_can_have_given_is_not_believed() {
    let mut desk = Desk::new();
    desk.offer(1);
    let liar = Running { snapshot: Digest([7; 32]), generation: AHEAD_MAX + 2 };
    desk.join(1, "cart-1", CART, Some(liar));
    assert!(desk.rejected().is_some_and(|why| why.contains("cannot have been given here")));
    assert_eq!(desk.control.desired.generation, 1);
}

#[test]
fn what_is_lost_cannot_be_gone_back_to() {
    let mut desk = Desk::new();
    (1..=3).for_each(|number| desk.offer(number));
    desk.contents.clear();
    desk.after(Duration::from_secs(1));
    assert_eq!(desk.rollback(Some("1")), "not done: it is lost");
    assert_eq!((desk.active(), desk.control.desired.hold.as_ref()), (Some(3), None), "and nothing has changed");
}

#[test]
fn a_candidate_whose_contents_are_lost_is_none_before_git_offers_it_again() {
    let mut desk = Desk::new();
    desk.offer(1);
    let mut desired = desk.control.desired.clone();
    desired.deliver(sample::release(2), None);
    let now = Now { at: Duration::ZERO, clock: SystemTime::UNIX_EPOCH };
    let remembered = Remembered { desired, heads: desk.control.heads.clone(), ..Remembered::default() };
    desk.control = Control::new(now, desk.control.settings.clone(), remembered);
    desk.after(Duration::from_secs(1));
    assert_eq!((desk.active(), desk.control.desired.candidate.as_ref()), (Some(1), None));
    let superseded = desk.records.iter().find(|record| record.what == What::Superseded);
    assert_eq!(superseded.map(|record| record.why.as_str()), Some("it is lost"));
    desk.offer(2);
    assert_eq!(desk.active(), Some(3));
}
