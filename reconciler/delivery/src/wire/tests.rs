//! Everything that is said arrives as it was said, and what breaks a limit does not arrive.

use super::*;
use crate::simulation::endpoint;

fn running() -> Running {
    Running { snapshot: Digest([1; 32]), generation: 7 }
}

fn full_report() -> Report {
    let refused = Refused { object: Some(Digest([5; 32])), why: "port 80 is taken".to_owned() };
    Report {
        number: 3,
        running: Some(running()),
        staged: Some(Digest([2; 32])),
        lacking: vec![Digest([3; 32])],
        refused: Some(Refusal { snapshot: Digest([4; 32]), generation: 8, refused }),
        boots: Boots::From { running: running(), contents: Digest([6; 32]) },
        endpoints: 9,
        endpoint: Some(endpoint("cart-1", "shop", "cart", 1)),
        certificate: Some(CertificateReport {
            id: "spiffe://cluster.local/ns/shop/sa/cart".to_owned(),
            serial: "0a".to_owned(),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123),
        }),
        note: "booted the one before".to_owned(),
    }
}

fn said(report: Report) -> FromMember {
    FromMember::Report(Box::new(report))
}

fn join(name: &str, report: Report) -> FromMember {
    let kind = MemberKind::Proxy { workload: "shop/cart".to_owned() };
    let join = Join { name: name.to_owned(), kind, version: "1".to_owned(), holds: vec![Digest([1; 32])], report };
    FromMember::Join(Box::new(join))
}

#[test]
fn what_a_member_says_arrives_as_it_was_said() {
    let damaged = Report { boots: Boots::Damaged("a byte".to_owned()), ..full_report() };
    let nothing = Report { boots: Boots::Nothing, running: None, refused: None, endpoint: None, ..full_report() };
    let authority = Join {
        name: "ca".to_owned(),
        kind: MemberKind::Authority,
        version: "1".to_owned(),
        holds: vec![],
        report: nothing.clone(),
    };
    let messages = [
        join("cart-1", full_report()),
        FromMember::Join(Box::new(authority)),
        said(damaged),
        said(nothing),
        FromMember::Leave,
    ];
    for message in messages {
        assert_eq!(read_from_member(from_member(message.clone())).unwrap(), message);
    }
}

#[test]
fn what_a_publisher_says_arrives_as_it_was_said() {
    let endpoints = vec![endpoint("cart-1", "shop", "cart", 1)];
    let messages = [
        ToMember::Welcome { heartbeat: Duration::from_millis(1500) },
        ToMember::Rejected { why: "you are somebody else".to_owned() },
        ToMember::Objects { generation: 3, objects: vec![b"one".as_slice().into(), b"two".as_slice().into()] },
        ToMember::Stage(running()),
        ToMember::Activate(running()),
        ToMember::Retire { generation: 3 },
        ToMember::Endpoints(EndpointsPart { version: 2, part: 1, parts: 3, endpoints }),
    ];
    for message in messages {
        assert_eq!(read_to_member(to_member(message.clone())).unwrap(), message);
    }
}

#[test]
fn what_breaks_a_limit_does_not_arrive() {
    let refused = |message: FromMember| read_from_member(from_member(message)).unwrap_err().message().to_owned();
    let with = |change: &dyn Fn(&mut Report)| {
        let mut report = full_report();
        change(&mut report);
        refused(said(report))
    };
    let far = Running { generation: u64::MAX, ..running() };
    assert!(with(&|report| report.running = Some(far)).contains("a generation that nobody can have given"));
    assert!(with(&|report| report.lacking = vec![Digest([0; 32]); LACKING_MAX + 1]).contains("more digests"));
    let nowhere = || Endpoint { address: "localhost".into(), ..endpoint("cart-1", "shop", "cart", 1) };
    assert!(with(&|report| report.endpoint = Some(nowhere())).contains("not an IP address"));
    assert!(refused(join("", full_report())).contains("a name that is empty"));
    assert!(refused(join("two words", full_report())).contains("not printable"));
    assert!(refused(join(&"x".repeat(254), full_report())).contains("too long"));
    assert!(read_from_member(proto::FromMember { say: None }).is_err());

    let refused = |message: ToMember| read_to_member(to_member(message)).unwrap_err().message().to_owned();
    let large = ToMember::Objects { generation: 1, objects: vec![vec![0; OBJECT_BYTES_MAX + 1].into()] };
    assert!(refused(large).contains("more objects, or larger ones"));
    let part = EndpointsPart { version: 1, part: 3, parts: 3, endpoints: vec![] };
    assert!(refused(ToMember::Endpoints(part)).contains("parts that do not add up"));
    let many = EndpointsPart { version: 1, part: 0, parts: u32::MAX, endpoints: vec![] };
    assert!(refused(ToMember::Endpoints(many)).contains("parts that do not add up"));
}

#[test]
fn a_long_sentence_is_cut_at_a_character() {
    let note = "ü".repeat(5000);
    let FromMember::Report(report) = read_from_member(from_member(said(Report { note, ..full_report() }))).unwrap()
    else {
        panic!("a report");
    };
    assert_eq!(report.note, "ü".repeat(2048));
}
