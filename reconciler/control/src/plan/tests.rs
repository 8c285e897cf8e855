//! Plans as goldens: `golden/plans/*.snap` shows the fleet and the plan that follows from it.

use std::fmt::Write;

use taut_delivery::Refusal;
use taut_snapshot::Digest;

use super::*;
use crate::desired::Rejection;
use crate::status::sample::release;

const NOW: Duration = Duration::from_secs(100);

fn head(number: u8, generation: u64) -> Head {
    Head { release: release(number), generation, origin: generation }
}

fn running(number: u8, generation: u64) -> Running {
    head(number, generation).running()
}

fn snapshot(number: u8) -> Digest {
    release(number).snapshot
}

/// The fleet runs release 1 as generation 1, and nothing is under way.
fn at_rest() -> Desired {
    Desired { active: Some(head(1, 1)), latest: Some(release(1)), generation: 1, ..Desired::default() }
}

/// The same, and release 2 is a candidate.
fn moving() -> Desired {
    Desired { candidate: Some(head(2, 2)), latest: Some(release(2)), generation: 2, ..at_rest() }
}

/// A member that is there, counts, and runs release 1.
fn live() -> Seen {
    Seen {
        presence: Presence::Live,
        counted: true,
        running: Some(running(1, 1)),
        staged: None,
        refused: None,
        drift: None,
        no_part_in_active: None,
        no_part_in_candidate: None,
    }
}

fn newcomer() -> Seen {
    Seen { counted: false, running: None, ..live() }
}

fn refusal(number: u8, generation: u64) -> Option<Refusal> {
    let refused = Refused { object: None, why: "port 8080 is taken".to_owned() };
    Some(Refusal { snapshot: snapshot(number), generation, refused })
}

fn fleet<const N: usize>(members: [(&str, Seen); N]) -> Observed {
    Observed { members: members.map(|(name, seen)| (name.to_owned(), seen)).into() }
}

/// The fleet, and the plan for it.
fn told(desired: &Desired, observed: &Observed) -> String {
    let words =
        |running: Option<Running>| running.map_or("nothing".to_owned(), |it| format!("generation {}", it.generation));
    let mut text = String::new();
    for (name, seen) in &observed.members {
        let counts = if seen.counted { "counts" } else { "does not count" };
        write!(text, "{name}: {:?}, {counts}, runs {}", seen.presence, words(seen.running)).unwrap();
        let extra = [
            seen.staged.map(|it| format!("has staged {}", it.short())),
            seen.refused.as_ref().map(|it| format!("refuses generation {}", it.generation)),
            seen.drift.as_ref().map(|(what, at)| format!("drift: {what}, to be put right at {at:?}")),
            seen.no_part_in_active.clone(),
            seen.no_part_in_candidate.clone(),
        ];
        extra.into_iter().flatten().for_each(|it| write!(text, ", {it}").unwrap());
        text.push('\n');
    }
    let active = words(desired.active.as_ref().map(Head::running));
    let candidate = words(desired.candidate.as_ref().map(Head::running));
    format!("at {NOW:?}, active is {active}, candidate is {candidate}\n{text}\n{}", plan(desired, observed, NOW))
}

macro_rules! golden {
    ($($(#[doc = $why:literal])* $name:ident: $desired:expr, $fleet:expr;)*) => {
        $(
            $(#[doc = $why])*
            #[test]
            fn $name() {
                let told = told(&$desired, &fleet($fleet));
                insta::with_settings!({
                    snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/plans"),
                    prepend_module_to_snapshot => false,
                    omit_expression => true,
                }, { insta::assert_snapshot!(stringify!($name), told) });
            }
        )*
    };
}

golden! {
    nothing_is_done_before_git_has_anything: Desired::default(), [("cart-1", newcomer())];

    nothing_is_done_when_all_is_well: at_rest(), [("cart-1", live()), ("orders-1", live())];

    a_candidate_is_staged_on_all_and_activated_on_none: moving(), [("cart-1", live()), ("orders-1", live())];

    one_that_has_not_staged_holds_all_back: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }), ("orders-1", live())];

    when_all_have_staged_the_candidate_passes: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { staged: Some(snapshot(2)), ..live() })];

    what_is_active_is_activated_on_all_who_have_it: Desired { active: Some(head(2, 2)), previous: Some(head(1, 1)), ..at_rest() },
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { running: Some(running(2, 2)), ..live() })];

    the_next_candidate_waits_until_all_run_what_is_active:
        Desired { active: Some(head(2, 2)), candidate: Some(head(3, 3)), generation: 3, ..at_rest() },
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { running: Some(running(2, 2)), staged: Some(snapshot(3)), ..live() })];

    one_refusal_and_nobody_moves: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }), ("orders-1", Seen { refused: refusal(2, 2), ..live() })];

    a_refusal_of_an_older_generation_means_nothing: moving(),
        [("cart-1", Seen { refused: refusal(2, 1), staged: Some(snapshot(2)), ..live() })];

    what_was_staged_for_a_rejected_candidate_is_retired:
        Desired {
            generation: 2,
            rejection: Some(Rejection {
                head: head(2, 2),
                member: "orders-1".to_owned(),
                refused: refusal(2, 2).unwrap().refused,
                places: vec![],
                at: std::time::SystemTime::UNIX_EPOCH,
            }),
            ..at_rest()
        },
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }), ("orders-1", Seen { refused: refusal(2, 2), ..live() })];

    the_dead_are_not_waited_for: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { presence: Presence::Silent(Duration::from_secs(60)), counted: false, ..live() })];

    the_living_are_not_forgotten: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { presence: Presence::Awaited(Duration::from_millis(104_500)), running: None, ..live() })];

    whoever_comes_back_catches_up_and_holds_nobody_back: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { counted: false, running: None, ..live() })];

    who_left_on_purpose_is_no_part_of_it: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { presence: Presence::Left(Duration::from_secs(90)), counted: false, ..live() })];

    drift_is_shown_before_it_is_put_right: at_rest(),
        [("cart-1", Seen { drift: Some(("its disk was changed".to_owned(), Duration::from_secs(103))), ..live() })];

    drift_is_put_right_when_its_time_has_come: at_rest(),
        [("cart-1", Seen { drift: Some(("its disk was changed".to_owned(), NOW)), ..live() })];

    a_member_from_a_lost_ledger_makes_the_numbers_go_on_above_its_own: moving(),
        [("cart-1", Seen { running: Some(running(7, 41)), ..live() })];

    a_workload_that_git_does_not_have_any_more_holds_nobody_back: moving(),
        [("cart-1", Seen { staged: Some(snapshot(2)), ..live() }),
         ("orders-1", Seen { no_part_in_candidate: Some("the snapshot has no workload `shop/orders`".to_owned()), ..live() })];

    the_first_snapshot_is_staged_on_whoever_is_there:
        Desired { candidate: Some(head(1, 1)), latest: Some(release(1)), generation: 1, ..Desired::default() },
        [("cart-1", Seen { running: None, ..live() })];
}

#[test]
fn the_same_state_at_the_same_time_gives_the_same_plan() {
    let observed = fleet([("cart-1", live()), ("orders-1", newcomer())]);
    assert_eq!(plan(&moving(), &observed, NOW), plan(&moving(), &observed, NOW));
}
