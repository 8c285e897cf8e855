//! The publisher's end, as tables: what happens, and what comes of it.

use super::*;
use crate::message::{Boots, MemberKind, Refused};
use crate::simulation::{endpoint, mesh};

const LEASE: Duration = Duration::from_secs(10);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn kind() -> MemberKind {
    MemberKind::Proxy { workload: "shop/cart".to_owned() }
}

fn part(mark: u32) -> Arc<Part> {
    Arc::new(Part::of(&mesh(&["shop/cart", "shop/orders"], mark), &kind()).unwrap())
}

fn run(mark: u32, generation: u64) -> Running {
    Running { snapshot: part(mark).snapshot, generation }
}

fn report(number: u64) -> Report {
    Report {
        number,
        running: None,
        staged: None,
        lacking: Vec::new(),
        refused: None,
        boots: Boots::Nothing,
        endpoints: 0,
        endpoint: None,
        certificate: None,
        note: String::new(),
    }
}

/// Short forms for tables.
fn joined(holds: &[Digest], report: Report) -> Input {
    Input::Joined(Box::new(Join {
        name: "cart-1".to_owned(),
        kind: kind(),
        version: "1".to_owned(),
        holds: holds.to_vec(),
        report,
    }))
}

fn silent(number: u64) -> Input {
    Input::Reported(Box::new(report(number)))
}

fn staged(number: u64, mark: u32) -> Input {
    Input::Reported(Box::new(Report { staged: Some(part(mark).snapshot), ..report(number) }))
}

fn runs(number: u64, running: Running) -> Input {
    Input::Reported(Box::new(Report { running: Some(running), ..report(number) }))
}

fn lacks(number: u64, names: &[Digest]) -> Input {
    Input::Reported(Box::new(Report { lacking: names.to_vec(), ..report(number) }))
}

fn refuses(number: u64, mark: u32, generation: u64) -> Input {
    let refused = Refused { object: None, why: "port 80 is taken".to_owned() };
    let refusal = Refusal { snapshot: part(mark).snapshot, generation, refused };
    Input::Reported(Box::new(Report { refused: Some(refusal), ..report(number) }))
}

fn words(outputs: &[Output]) -> String {
    let word = |output: &Output| match output {
        Output::Send(message) => format!("{message:?}"),
        Output::Changed(change) => format!("{change:?}"),
    };
    let text = outputs.iter().map(word).collect::<Vec<_>>().join(", ");
    (1..=3).fold(text, |text, mark| text.replace(&part(mark).snapshot.short(), &format!("s{mark}")))
}

fn check(table: &[(u64, Input, &str)]) -> Session {
    let mut session = Session::new(ms(0), LEASE);
    for (row, (at, input, want)) in table.iter().enumerate() {
        assert_eq!(words(&session.handle(ms(*at), input.clone())), *want, "row {row}, at {at} ms");
    }
    session
}

#[test]
#[rustfmt::skip] // a table is read by its columns
fn a_snapshot_is_offered_until_it_is_staged_and_activated_until_it_runs() {
    let whole = format!("Objects({} for 1), Stage(s1@1)", part(1).objects.len());
    check(&[
        (0,    joined(&[], report(1)),          "Welcome(2s)"),
        (10,   Input::Stage(part(1), 1),        &whole),
        (20,   Input::Stage(part(1), 1),        ""),                            // it is on its way
        (1009, Input::Tick,                     ""),
        (1010, Input::Tick,                     "Stage(s1@1)"),                 // silence: ask again, without the bytes
        (1020, staged(2, 1),                    "Staged(s1)"),
        (1030, staged(3, 1),                    ""),
        (2100, Input::Tick,                     ""),                            // nothing to ask for
        (2110, Input::Activate(run(1, 1)),      "Activate(s1@1)"),
        (2120, Input::Activate(run(1, 1)),      ""),
        (3110, Input::Tick,                     "Activate(s1@1)"),
        (3120, runs(4, run(1, 1)),              "Activated(s1@1)"),
        (9000, Input::Tick,                     ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn only_what_the_member_lacks_is_sent() {
    let (one, two) = (part(1), part(2));
    let held: Vec<Digest> = one.objects.iter().map(|(name, _)| *name).collect();
    let new = two.objects.iter().filter(|(name, _)| !held.contains(name)).count();
    let delta = format!("Objects({new} for 2), Stage(s2@2)");
    let lost = [held[0], held[1]];
    check(&[
        (0,  joined(&held, report(1)),          "Welcome(2s)"),
        (1,  Input::Stage(one, 1),              "Stage(s1@1)"),                 // it holds all of it
        (2,  lacks(2, &lost),                   "Objects(2 for 1), Stage(s1@1)"), // or it said so
        (3,  staged(3, 1),                      "Staged(s1)"),
        (4,  Input::Stage(two, 2),              &delta),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_refused_snapshot_is_not_offered_again_to_the_same_join_unless_asked() {
    let held: Vec<Digest> = part(1).objects.iter().map(|(name, _)| *name).collect();
    check(&[
        (0,    joined(&held, report(1)),        "Welcome(2s)"),
        (1,    Input::Stage(part(1), 1),        "Stage(s1@1)"),
        (2,    refuses(2, 1, 1),                r#"Refused(Refusal { snapshot: s1, generation: 1, refused: Refused { object: None, why: "port 80 is taken" } })"#),
        (3,    Input::Stage(part(1), 1),        ""),
        (2000, Input::Tick,                     ""),
        (2001, Input::Stage(part(1), 2),        "Stage(s1@2)"),                 // asked: a new offer
        (2002, refuses(3, 1, 1),                ""),                            // that was about the old one
        (2003, joined(&held, report(1)),        "Welcome(2s)"),
        (2004, Input::Stage(part(1), 1),        "Stage(s1@1)"),                 // another join
    ]);
}

#[test]
#[rustfmt::skip]
fn a_silent_member_is_fenced_when_its_lease_is_over() {
    let session = check(&[
        (0,      joined(&[], report(1)),        "Welcome(2s)"),
        (9_000,  silent(2),                     ""),
        (18_999, Input::Tick,                   ""),
        (19_000, Input::Tick,                   "Fenced"),
        (20_000, Input::Tick,                   ""),
        (21_000, silent(2),                     ""),                            // doubled: no sign of life
        (22_000, silent(3),                     "Returned"),
    ]);
    assert_eq!(session.presence(), Presence::Live);
    let session = check(&[
        (0,      joined(&[], report(1)),        "Welcome(2s)"),
        (1_000,  Input::Disconnected,           ""),                            // it may be back in a moment
        (9_999,  Input::Tick,                   ""),
        (10_000, Input::Tick,                   "Fenced"),
    ]);
    assert_eq!(session.presence(), Presence::Fenced(ms(10_000)));
    let session = check(&[
        (0,      joined(&[], report(1)),        "Welcome(2s)"),
        (1_000,  Input::Left,                   ""),
    ]);
    assert_eq!(session.presence(), Presence::Left(ms(1_000)), "one that leaves is not waited for");
}

#[test]
#[rustfmt::skip]
fn reports_out_of_order_change_nothing() {
    let session = check(&[
        (0,  joined(&[], report(1)),            "Welcome(2s)"),
        (1,  runs(3, run(2, 2)),                ""),
        (2,  runs(2, run(1, 1)),                ""),
    ]);
    assert_eq!(session.report().unwrap().running, Some(run(2, 2)));
}

#[test]
#[rustfmt::skip]
fn a_new_connection_begins_with_what_the_member_says_then() {
    let held: Vec<Digest> = part(1).objects.iter().map(|(name, _)| *name).collect();
    let ready = || Report { staged: Some(part(1).snapshot), ..report(1) };
    check(&[
        (0,  joined(&held, report(1)),          "Welcome(2s)"),
        (1,  Input::Stage(part(1), 1),          "Stage(s1@1)"),
        (2,  Input::Disconnected,               ""),
        (3,  Input::Stage(part(1), 1),          ""),                            // there is nobody to tell
        (4,  joined(&held, ready()),            "Welcome(2s)"),
        (5,  Input::Stage(part(1), 1),          "Staged(s1)"),                  // no need to: it has it
        (6,  Input::Activate(run(1, 1)),        "Activate(s1@1)"),
        (7,  joined(&held, ready()),            "Welcome(2s)"),                 // it had not
        (8,  Input::Activate(run(1, 1)),        "Activate(s1@1)"),
    ]);
}

#[test]
#[rustfmt::skip]
fn nothing_is_ready_before_its_endpoints_are_there() {
    let held: Vec<Digest> = part(1).objects.iter().map(|(name, _)| *name).collect();
    let set = || vec![endpoint("cart-1", "shop", "cart", 1)];
    let ready = |number, endpoints| Input::Reported(Box::new(Report { staged: Some(part(1).snapshot), endpoints, ..report(number) }));
    let session = check(&[
        (0,    joined(&held, report(1)),        "Welcome(2s)"),
        (1,    Input::Endpoints(set()),         "Endpoints(1, 0 of 1: cart-1)"),
        (2,    Input::Endpoints(set()),         ""),                            // the same
        (3,    Input::Stage(part(1), 1),        "Stage(s1@1)"),
        (4,    ready(2, 0),                     ""),                            // without endpoints
        (1001, Input::Tick,                     "Endpoints(1, 0 of 1: cart-1)"),
        (1003, Input::Tick,                     "Stage(s1@1)"),
        (1004, ready(3, 1),                     "Staged(s1)"),
        (1005, Input::Endpoints(vec![]),        "Endpoints(2, 0 of 1: )"),      // later sets do not hold it up
        (1006, ready(4, 1),                     ""),
    ]);
    assert_eq!(session.staged(), Some(part(1).snapshot));
}

#[test]
fn a_large_set_of_endpoints_comes_in_parts() {
    let mut session = Session::new(ms(0), LEASE);
    session.handle(ms(0), joined(&[], report(1)));
    let set: Vec<Endpoint> =
        (0..5000).map(|number| endpoint(&format!("cart-{number:04}"), "shop", "cart", 1)).collect();
    let outputs = session.handle(ms(1), Input::Endpoints(set.clone()));
    let parts = outputs.into_iter().map(|output| match output {
        Output::Send(ToMember::Endpoints(EndpointsPart { version: 1, parts: 2, endpoints, .. })) => endpoints,
        other => panic!("{other:?}"),
    });
    assert_eq!(parts.flatten().collect::<Vec<_>>(), set);
}

#[test]
#[rustfmt::skip]
fn what_is_staged_and_not_wanted_any_more_is_retired() {
    let held: Vec<Digest> = part(1).objects.iter().map(|(name, _)| *name).collect();
    check(&[
        (0,    joined(&held, report(1)),        "Welcome(2s)"),
        (1,    Input::Retire(1),                ""),                            // there is nothing
        (2,    Input::Stage(part(1), 1),        "Stage(s1@1)"),
        (3,    staged(2, 1),                    "Staged(s1)"),
        (4,    Input::Retire(1),                "Retire(1)"),
        (1100, Input::Tick,                     ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_runs_is_offered_again_with_the_word_to_forget_what_is_newer() {
    let held: Vec<Digest> = [part(1), part(2)].iter().flat_map(|part| part.objects.clone()).map(|(name, _)| name).collect();
    check(&[
        (0,    joined(&held, report(1)),        "Welcome(2s)"),
        (1,    Input::Stage(part(2), 2),        "Stage(s2@2)"),
        (2,    staged(2, 2),                    "Staged(s2)"),
        (3,    Input::Stage(part(1), 1),        "Retire(2), Stage(s1@1)"),      // its disk has lost it
        (1003, Input::Tick,                     "Retire(2), Stage(s1@1)"),
        (1004, staged(3, 1),                    "Staged(s1)"),
        (1005, Input::Stage(part(2), 2),        "Stage(s2@2)"),
    ]);
}

#[test]
fn big_objects_travel_in_messages_of_their_own() {
    let mut part = Part::clone(&part(1));
    let object = |byte: u8| -> (Digest, Bytes) { (Digest([byte; 32]), vec![byte; 700 << 10].into()) };
    part.objects = (1..=5).map(object).collect();
    let mut session = Session::new(ms(0), LEASE);
    session.handle(ms(0), joined(&[], report(1)));
    let outputs = session.handle(ms(1), Input::Stage(Arc::new(part), 1));
    assert_eq!(outputs.len(), 6, "no message is larger than a megabyte if it need not be");
}

#[test]
#[rustfmt::skip]
fn a_member_that_lost_what_it_had_staged_is_asked_again() {
    let held: Vec<Digest> = part(1).objects.iter().map(|(name, _)| *name).collect();
    check(&[
        (0,    joined(&held, report(1)),        "Welcome(2s)"),
        (1,    Input::Stage(part(1), 1),        "Stage(s1@1)"),
        (2,    staged(2, 1),                    "Staged(s1)"),
        (1500, silent(3),                       ""),                            // it has it no more
        (1501, Input::Tick,                     "Stage(s1@1)"),
        (1502, staged(4, 1),                    "Staged(s1)"),
    ]);
}
