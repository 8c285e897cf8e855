//! The member's end, as tables: what happens, and what is done about it.

use super::*;
use crate::simulation::endpoint;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn snapshot(number: u8) -> Digest {
    Digest([number; 32])
}

fn run(number: u8, generation: u64) -> Running {
    Running { snapshot: snapshot(number), generation }
}

fn inspection() -> Inspection {
    Inspection { boots: Boots::Nothing, holds: vec![snapshot(9)], certificate: None }
}

fn session(running: Option<Running>) -> Session {
    Session::new(Facts {
        name: "cart-1".to_owned(),
        kind: MemberKind::Proxy { workload: "shop/cart".to_owned() },
        version: "1".to_owned(),
        running,
        inspection: inspection(),
        endpoint: None,
        note: String::new(),
    })
}

/// Short forms for tables.
fn stage(number: u8, generation: u64) -> Input {
    Input::Received(ToMember::Stage(run(number, generation)))
}

fn activate(number: u8, generation: u64) -> Input {
    Input::Received(ToMember::Activate(run(number, generation)))
}

fn retire(generation: u64) -> Input {
    Input::Received(ToMember::Retire { generation })
}

fn objects(generation: u64, object: &[u8]) -> Input {
    Input::Received(ToMember::Objects { generation, objects: vec![Bytes::copy_from_slice(object)] })
}

fn done(work: Finished) -> Input {
    Input::Done(Done { work, inspection: inspection() })
}

fn staged(number: u8, generation: u64, outcome: Staged) -> Input {
    done(Finished::Stage(run(number, generation), outcome))
}

fn activated(number: u8, generation: u64) -> Input {
    done(Finished::Activate(run(number, generation), Ok(())))
}

fn refusal() -> Refused {
    Refused { object: Some(snapshot(7)), why: "port 80 is taken".to_owned() }
}

/// What comes out, in words: a row of a table must fit on a line.
fn words(outputs: &[Output]) -> String {
    let word = |output: &Output| match output {
        Output::Send(FromMember::Join(join)) => format!("join holding {:?}: {}", join.holds, state(&join.report)),
        Output::Send(FromMember::Report(report)) => format!("report {}", state(report)),
        Output::Send(FromMember::Leave) => "leave".to_owned(),
        Output::Stage(running, objects) => format!("stage {running:?} with {}", objects.len()),
        Output::Activate(running) => format!("activate {running:?}"),
        Output::Endpoints(set) => format!("use {}", set.endpoints.len()),
        Output::Connect => "connect".to_owned(),
        Output::Discard => "discard".to_owned(),
        Output::Inspect => "inspect".to_owned(),
        Output::Close => "close".to_owned(),
        Output::Stop => "stop".to_owned(),
    };
    let text = outputs.iter().map(word).collect::<Vec<_>>().join(", ");
    // Every digest here is one byte over and over.
    (0..10).fold(text, |text, number| text.replace(&snapshot(number).short(), &number.to_string()))
}

fn state(report: &Report) -> String {
    let Report { number, running, staged, lacking, refused, endpoints, note, .. } = report;
    let mut text = format!("#{number}");
    running.iter().for_each(|it| text += &format!(" runs {it:?}"));
    staged.iter().for_each(|it| text += &format!(" staged {it:?}"));
    lacking.iter().for_each(|it| text += &format!(" lacks {it:?}"));
    refused.iter().for_each(|it| text += &format!(" refused {:?}: {}", it.snapshot, it.refused.why));
    if *endpoints != 0 {
        text += &format!(" endpoints {endpoints}");
    }
    if !note.is_empty() {
        text += &format!(" note {note}");
    }
    text
}

fn check(mut session: Session, table: &[(u64, Input, &str)]) {
    for (row, (at, input, want)) in table.iter().enumerate() {
        assert_eq!(words(&session.handle(ms(*at), input.clone())), *want, "row {row}, at {at} ms: {input:?}");
    }
}

#[test]
#[rustfmt::skip] // a table is read by its columns
fn a_snapshot_is_staged_and_then_activated() {
    check(session(None), &[
        (0,  Input::Tick,                       "connect"),
        (5,  Input::Connected,                  "join holding [9]: #1"),
        (10, objects(1, b"a"),                  ""),
        (11, objects(1, b"b"),                  ""),
        (12, stage(1, 1),                       "stage 1@1 with 2"),
        (13, stage(1, 1),                       ""),                            // doubled: it is at it already
        (14, activate(1, 1),                    "report #2"),                   // not before it is staged
        (20, staged(1, 1, Staged::Ready),       "report #3 staged 1"),
        (21, stage(1, 1),                       "report #4 staged 1"),          // the answer was lost: say it again
        (22, activate(1, 1),                    "activate 1@1"),
        (23, activate(1, 1),                    "report #5 staged 1"),          // doubled
        (30, activated(1, 1),                   "report #6 runs 1@1"),
        (31, activate(1, 1),                    "report #7 runs 1@1"),          // late: it runs already
    ]);
}

#[test]
#[rustfmt::skip]
fn an_older_generation_is_refused() {
    check(session(Some(run(2, 5))), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1 runs 2@5"),
        (2,  stage(1, 4),                       "report #2 runs 2@5"),          // older
        (3,  stage(1, 5),                       "report #3 runs 2@5"),          // as old, and another snapshot
        (4,  activate(1, 4),                    "report #4 runs 2@5"),
        (5,  stage(1, 6),                       "stage 1@6 with 0"),            // a rollback is a new generation
        (6,  staged(1, 6, Staged::Ready),       "report #5 runs 2@5 staged 1"),
        (7,  activate(1, 5),                    "report #6 runs 2@5 staged 1"), // staged, but as old
        (8,  activate(1, 6),                    "activate 1@6"),
        (9,  activated(1, 6),                   "report #7 runs 1@6"),
        (10, stage(2, 5),                       "report #8 runs 1@6"),          // late
    ]);
}

#[test]
#[rustfmt::skip]
fn what_is_lacking_is_asked_for_and_what_came_is_kept() {
    check(session(None), &[
        (0,  Input::Tick,                                            "connect"),
        (1,  Input::Connected,                                       "join holding [9]: #1"),
        (2,  objects(1, b"a"),                                       ""),
        (3,  stage(1, 1),                                            "stage 1@1 with 1"),
        (4,  staged(1, 1, Staged::Lacks(vec![snapshot(3)])),         "report #2 lacks 3"),
        (5,  objects(1, b"b"),                                       ""),
        (6,  stage(1, 1),                                            "stage 1@1 with 2"),
        (7,  staged(1, 1, Staged::Ready),                            "report #3 staged 1"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_refused_snapshot_is_refused_until_it_is_offered_anew() {
    check(session(Some(run(1, 1))), &[
        (0,  Input::Tick,                                "connect"),
        (1,  Input::Connected,                           "join holding [9]: #1 runs 1@1"),
        (2,  stage(2, 2),                                "stage 2@2 with 0"),
        (3,  staged(2, 2, Staged::Refused(refusal())),   "report #2 runs 1@1 refused 2: port 80 is taken"),
        (4,  stage(2, 2),                                "report #3 runs 1@1 refused 2: port 80 is taken"),
        (5,  activate(2, 2),                             "report #4 runs 1@1 refused 2: port 80 is taken"),
        (6,  stage(2, 3),                                "stage 2@3 with 0"),   // offered anew, as it were asked for
        (7,  staged(2, 3, Staged::Refused(refusal())),   "report #5 runs 1@1 refused 2: port 80 is taken"),
        (8,  Input::Disconnected { jitter: 0 },          ""),
        (58, Input::Tick,                                "connect"),
        (59, Input::Connected,                           "join holding [9]: #1 runs 1@1"), // whoever comes next may ask
        (60, stage(2, 3),                                "stage 2@3 with 0"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_newer_offer_takes_the_place_of_an_older_one() {
    check(session(None), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1"),
        (2,  stage(1, 1),                       "stage 1@1 with 0"),
        (3,  objects(2, b"a"),                  ""),
        (4,  stage(2, 2),                       ""),                            // the worker is busy
        (5,  objects(1, b"late"),               ""),                            // not for this offer
        (6,  staged(1, 1, Staged::Ready),       "discard, stage 2@2 with 1"),
        (7,  stage(1, 1),                       ""),                            // late
        (8,  staged(2, 2, Staged::Ready),       "report #2 staged 2"),
        (9,  retire(1),                         ""),                            // late: about the one before
        (10, retire(2),                         "discard, report #3"),          // somebody else refused it
        (11, activate(2, 2),                    "report #4"),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_runs_already_can_be_delivered_again_to_mend_the_disk() {
    check(session(Some(run(1, 1))), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1 runs 1@1"),
        (2,  stage(1, 1),                       "stage 1@1 with 0"),
        (3,  staged(1, 1, Staged::Ready),       "report #2 runs 1@1 staged 1"),
        (4,  activate(1, 1),                    "activate 1@1"),
        (5,  activated(1, 1),                   "report #3 runs 1@1"),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_runs_can_be_delivered_again_when_something_newer_is_forgotten() {
    check(session(Some(run(1, 1))), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1 runs 1@1"),
        (2,  stage(2, 2),                       "stage 2@2 with 0"),
        (3,  staged(2, 2, Staged::Ready),       "report #2 runs 1@1 staged 2"),
        (4,  stage(1, 1),                       ""),                            // it seems to be late
        (5,  retire(2),                         "discard, report #3 runs 1@1"),
        (6,  stage(1, 1),                       "stage 1@1 with 0"),
        (7,  staged(1, 1, Staged::Ready),       "report #4 runs 1@1 staged 1"),
        (8,  activate(1, 1),                    "activate 1@1"),
        (9,  activated(1, 1),                   "report #5 runs 1@1"),
        (10, stage(2, 2),                       "stage 2@2 with 0"),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_the_disk_did_not_take_is_not_activated() {
    let full = || done(Finished::Activate(run(1, 1), Err("the disk is full".to_owned())));
    check(session(None), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1"),
        (2,  stage(1, 1),                       "stage 1@1 with 0"),
        (3,  staged(1, 1, Staged::Ready),       "report #2 staged 1"),
        (4,  activate(1, 1),                    "activate 1@1"),
        (5,  full(),                            "report #3 staged 1 note generation 1 was not activated: the disk is full"),
        (6,  activate(1, 1),                    "activate 1@1"),
        (7,  activated(1, 1),                   "report #4 runs 1@1"),
    ]);
}

#[test]
#[rustfmt::skip]
fn it_reports_at_every_heartbeat_and_looks_at_its_disk() {
    let welcome = || Input::Received(ToMember::Welcome { heartbeat: ms(200) });
    check(session(None), &[
        (0,   Input::Tick,                      "connect"),
        (1,   Input::Connected,                 "join holding [9]: #1"),
        (2,   welcome(),                        ""),
        (201, Input::Tick,                      ""),
        (202, Input::Tick,                      "report #2, inspect"),
        (203, done(Finished::Inspect),          ""),                            // as it was
        (402, Input::Tick,                      "report #3, inspect"),
        (602, Input::Tick,                      "report #4"),                   // the last look is not over
    ]);
}

#[test]
#[rustfmt::skip]
fn endpoints_are_used_when_all_parts_have_come_and_confirmed_when_used() {
    let part = |version, part, parts| {
        let endpoints = vec![endpoint(&format!("cart-{part}"), "shop", "cart", 1)];
        Input::Received(ToMember::Endpoints(EndpointsPart { version, part, parts, endpoints }))
    };
    check(session(None), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1"),
        (2,  part(1, 1, 2),                     ""),
        (3,  part(1, 1, 2),                     ""),                            // doubled
        (4,  part(1, 0, 2),                     "use 2"),
        (5,  part(1, 0, 2),                     ""),                            // late
        (6,  part(3, 0, 1),                     ""),                            // the worker has the first in hand
        (7,  part(2, 0, 1),                     ""),                            // out of order
        (8,  done(Finished::Endpoints),         "report #2 endpoints 1, use 1"),
        (9,  done(Finished::Endpoints),         "report #3 endpoints 3"),
        (10, Input::Disconnected { jitter: 0 }, ""),
        (70, Input::Tick,                       "connect"),
        (71, Input::Connected,                  "join holding [9]: #1"),        // versions begin again
        (72, part(1, 0, 1),                     "use 1"),
    ]);
}

#[test]
#[rustfmt::skip]
fn it_connects_again_with_longer_and_longer_waits() {
    let gone = |jitter| Input::Disconnected { jitter };
    check(session(None), &[
        (0,    Input::Tick,                     "connect"),
        (0,    gone(1000),                      ""),
        (99,   Input::Tick,                     ""),
        (100,  Input::Tick,                     "connect"),
        (100,  gone(0),                         ""),
        (199,  Input::Tick,                     ""),
        (200,  Input::Tick,                     "connect"),
        (200,  Input::Connected,                "join holding [9]: #1"),
        (200,  gone(1000),                      ""),                            // not welcomed: that counts as a failure
        (599,  Input::Tick,                     ""),
        (600,  Input::Tick,                     "connect"),
        (600,  Input::Connected,                "join holding [9]: #1"),
        (600,  Input::Received(ToMember::Welcome { heartbeat: ms(1000) }), ""),
        (700,  gone(1000),                      ""),
        (800,  Input::Tick,                     "connect"),                     // from the beginning
    ]);
}

#[test]
#[rustfmt::skip]
fn it_says_when_it_leaves() {
    check(session(None), &[
        (0,  Input::Tick,                       "connect"),
        (1,  Input::Connected,                  "join holding [9]: #1"),
        (2,  Input::Shutdown,                   "leave, close"),
        (3,  stage(1, 1),                       ""),
        (4,  Input::Disconnected { jitter: 0 }, "stop"),
    ]);
    check(session(None), &[
        (0,    Input::Tick,                     "connect"),
        (1,    Input::Connected,                "join holding [9]: #1"),
        (2,    Input::Shutdown,                 "leave, close"),
        (1002, Input::Tick,                     "stop"),                        // nobody answered
    ]);
    check(session(None), &[(0, Input::Shutdown, "stop")]);
}

#[test]
fn it_is_deregistered_when_it_leaves_and_is_told_so() {
    let mut session = session(None);
    let at = |draining| Input::Endpoint(Some(Endpoint { draining, ..endpoint("cart-1", "shop", "cart", 1) }));
    let told = || Input::Received(ToMember::Deregistered);
    session.handle(ms(0), Input::Tick);
    assert_eq!(session.told(), Told::Nobody);
    session.handle(ms(1), Input::Connected);
    session.handle(ms(2), at(false));
    session.handle(ms(3), told());
    assert_eq!(session.told(), Told::Publisher, "it is not leaving");
    session.handle(ms(4), at(true));
    assert_eq!(session.told(), Told::Publisher, "nobody has said more");
    session.handle(ms(5), told());
    assert_eq!(session.told(), Told::All);
}

#[test]
#[rustfmt::skip]
fn where_it_answers_is_said_at_once_even_if_it_would_connect_later() {
    let gone = || Input::Disconnected { jitter: 1000 };
    check(session(None), &[
        (0,   Input::Tick,                      "connect"),
        (0,   gone(),                           ""),
        (50,  Input::Endpoint(None),            "connect"),                     // not at 100
        (51,  Input::Endpoint(None),            ""),                            // under way
        (52,  gone(),                           ""),
        (151, Input::Tick,                      ""),
        (152, Input::Tick,                      "connect"),
        (153, Input::Connected,                 "join holding [9]: #1"),
        (154, Input::Endpoint(None),            "report #2"),
    ]);
}

#[test]
fn an_offer_that_is_too_large_is_refused_before_it_fills_the_memory() {
    let mut session = session(None);
    session.handle(ms(0), Input::Tick);
    session.handle(ms(1), Input::Connected);
    // The same bytes again and again are counted again and again: what matters is what was sent.
    let object: Bytes = vec![0; 1 << 20].into();
    for _ in 0..=512 {
        let message = ToMember::Objects { generation: 1, objects: vec![object.clone()] };
        session.handle(ms(2), Input::Received(message));
    }
    let outputs = session.handle(ms(3), stage(1, 1));
    assert_eq!(words(&outputs), "report #2 refused 1: more was sent for it than a member takes");
}
