//! Every message of the socket for operators survives the wire; what is no message is refused.

use std::time::Duration;

use super::*;
use crate::record::GIT;
use crate::status::sample::release;

fn head_at(number: u8, generation: u64) -> Head {
    Head { release: release(number), generation, origin: generation - 1 }
}

fn everything() -> Desired {
    Desired {
        active: Some(head_at(1, 7)),
        previous: Some(head_at(2, 6)),
        candidate: Some(head_at(3, 8)),
        latest: Some(release(4)),
        hold: Some(Hold { who: "Ada".to_owned(), why: "a bad day".to_owned(), since: time(5) }),
        rejection: Some(Rejection {
            head: head_at(5, 5),
            member: "cart-1".to_owned(),
            refused: Refused { object: Some(Digest([9; 32])), why: "no such port".to_owned() },
            places: vec!["a.yaml:3 Service shop/cart".to_owned()],
            at: time(6),
        }),
        generation: 8,
    }
}

#[test]
fn what_is_desired_is_read_as_it_was_written() {
    for desired in [Desired::default(), everything()] {
        assert_eq!(read_desired(&write_desired(&desired)), Ok(desired));
    }
}

#[test]
fn a_member_is_read_as_it_was_written() {
    let known = Known {
        kind: MemberKind::Proxy { workload: "shop/cart".to_owned() },
        peer: "spiffe://cluster.local/ns/shop/sa/cart".to_owned(),
        activated: Some(Running { snapshot: Digest([1; 32]), generation: 4 }),
        counted: true,
        endpoint: Some(taut_delivery::simulation::endpoint("cart-1", "shop", "cart", 1)),
    };
    let authority =
        Known { kind: MemberKind::Authority, activated: None, counted: false, endpoint: None, ..known.clone() };
    for known in [known, authority] {
        assert_eq!(read_known(&write_known("cart-1", &known)), Ok(known));
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let full = Record::new(time(1_000), GIT, What::Refused).about(&head_at(1, 3)).by("cart-1").because("it cannot");
    let full = Record { number: 12, lines: vec!["one".to_owned(), "two".to_owned()], ..full };
    for record in [full, Record::new(time(0), GIT, What::Hold)] {
        assert_eq!(read_record(&write_record(&record)), Ok(record));
    }
}

#[test]
fn an_activation_is_read_as_it_was_written() {
    assert_eq!(read_head(&write_head(&head_at(1, 3))), Ok(head_at(1, 3)));
}

#[test]
fn a_status_is_read_as_it_was_written() {
    let member = MemberStatus {
        name: "cart-1".to_owned(),
        kind: MemberKind::Proxy { workload: "shop/cart".to_owned() },
        state: MemberState::Staging,
        running: Some(Running { snapshot: Digest([1; 32]), generation: 4 }),
        certificate: Some(CertificateReport {
            id: "spiffe://a".to_owned(),
            serial: "0a".to_owned(),
            not_after: time(9),
        }),
        endpoint: Some(taut_delivery::simulation::endpoint("cart-1", "shop", "cart", 1)),
        since: time(7),
        why: "for generation 8".to_owned(),
    };
    let waiting = vec![release(9).commit];
    let all = Status { desired: everything(), members: vec![member], converged: true, waiting };
    assert_eq!(status(status_of(&all)), Ok(all));
}

#[test]
fn a_drift_is_read_as_it_was_written() {
    let of = |member: Option<&str>, kind| Drift {
        member: member.map(ToOwned::to_owned),
        kind,
        expected: "this".to_owned(),
        found: "that".to_owned(),
        since: SystemTime::UNIX_EPOCH + Duration::from_millis(1),
        why: String::new(),
    };
    for it in [of(None, DriftKind::Git), of(Some("cart-1"), DriftKind::Disk)] {
        assert_eq!(drift(drift_of(&it)), Ok(it));
    }
}

#[test]
fn what_cannot_be_understood_is_said_to_be_so() {
    let mut known = proto::Known { activated: Some(proto::Running::default()), ..proto::Known::default() };
    assert_eq!(read_known(&known.encode_to_vec()), Err(Unreadable("a digest")));
    known.activated = None;
    known.endpoint = Some(Bytes::from_static(b"nonsense"));
    assert_eq!(read_known(&known.encode_to_vec()), Err(Unreadable("an endpoint")));
    assert_eq!(read_desired(b"\xff\xff"), Err(Unreadable("where the fleet is to go")));
    let headless = proto::Head { release: None, generation: 1, origin: 1 };
    assert_eq!(read_head(&headless.encode_to_vec()), Err(Unreadable("an activation without its release")));
    let record = proto::Record { what: "dancing".to_owned(), ..proto::Record::default() };
    assert_eq!(read_record(&record.encode_to_vec()), Err(Unreadable("a record")));
}
