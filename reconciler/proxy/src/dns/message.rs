//! Questions for name servers, and what their answers say (RFC 1035 §4).
//!
//! Owns: which record of an answer counts, and for how long. The bytes themselves are the library's; its types end here.
//! No EDNS is spoken: some servers refuse it, and an answer of more than 512 bytes comes over TCP.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::{A, Aaaa, Cname};

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn kind(self) -> Rtype {
        match self {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        }
    }
}

/// What a name server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The addresses, none of them in this family if there are none, and how long they are good for.
    Addresses(Vec<IpAddr>, Duration),
    /// There is no such name.
    NoName,
    /// There is more than fits: it is to be asked over TCP.
    More,
    /// The server cannot say.
    Failed(String),
}

/// The bytes of a question; none if there can be no such name.
pub(super) fn question(name: &str, family: Family, id: u16) -> Option<Vec<u8>> {
    let name = Name::<Vec<u8>>::from_str(name).ok()?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((name, family.kind())).ok()?;
    Some(message.finish())
}

/// What bytes say to a question; none if they are no answer to it.
pub(super) fn answer(question: &[u8], family: Family, bytes: &[u8]) -> Option<Said> {
    let answer = Message::from_octets(bytes).ok()?;
    if !answer.is_answer(&Message::from_octets(question).ok()?) {
        return None;
    }
    match answer.header().rcode() {
        _ if answer.header().tc() => Some(Said::More),
        Rcode::NOERROR => {
            Some(addresses(&answer, family).unwrap_or_else(|| Said::Failed("its answer is broken".to_owned())))
        }
        Rcode::NXDOMAIN => Some(Said::NoName),
        other => Some(Said::Failed(format!("it says {other}"))),
    }
}

/// The addresses of the name that the question's leads to, in the answer's order. Each alias on the way is good for its own
/// time, and the shortest counts, as in Envoy.
fn addresses(answer: &Message<&[u8]>, family: Family) -> Option<Said> {
    let name = answer.canonical_name()?;
    let section = answer.answer().ok()?;
    let (mut all, mut shortest) = (Vec::new(), None::<Duration>);
    let mut take = |ttl: Duration| shortest = Some(shortest.map_or(ttl, |shortest| shortest.min(ttl)));
    for record in section.limit_to::<Cname<_>>() {
        take(record.ok()?.ttl().into_duration());
    }
    match family {
        Family::V4 => {
            for record in section.limit_to::<A>() {
                let record = record.ok()?;
                if *record.owner() == name {
                    take(record.ttl().into_duration());
                    all.push(IpAddr::from(record.data().addr()));
                }
            }
        }
        Family::V6 => {
            for record in section.limit_to::<Aaaa>() {
                let record = record.ok()?;
                if *record.owner() == name {
                    take(record.ttl().into_duration());
                    all.push(IpAddr::from(record.data().addr()));
                }
            }
        }
    }
    let mut known = BTreeSet::new();
    all.retain(|address| known.insert(*address));
    Some(Said::Addresses(all, shortest.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use domain::base::Ttl;
    use domain::base::iana::Class;

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        Name::from_str(text).unwrap()
    }

    /// An answer with aliases (of, to, seconds) and addresses (of, address, seconds).
    fn made(question: &[u8], code: Rcode, aliases: &[(&str, &str, u32)], all: &[(&str, &str, u32)]) -> Vec<u8> {
        let question = Message::from_octets(question).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(&question, code).unwrap();
        for (of, to, seconds) in aliases {
            answer.push((name(of), Class::IN, Ttl::from_secs(*seconds), Cname::new(name(to)))).unwrap();
        }
        for (of, address, seconds) in all {
            let ttl = Ttl::from_secs(*seconds);
            match address.parse().unwrap() {
                IpAddr::V4(it) => answer.push((name(of), Class::IN, ttl, A::new(it))).unwrap(),
                IpAddr::V6(it) => answer.push((name(of), Class::IN, ttl, Aaaa::new(it))).unwrap(),
            }
        }
        answer.finish()
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn the_addresses_of_what_the_name_leads_to_count_for_the_shortest_time() {
        let to = [("a.test", "b.test", 9), ("b.test", "c.test", 30)];
        let some = [
            ("a.test", "10.0.0.2", 60), ("a.test", "10.0.0.1", 20), ("a.test", "10.0.0.2", 60), // twice
            ("a.test", "fd00::1", 5), ("x.test", "10.0.0.9", 1),
        ];
        for (family, aliases, all, wanted, seconds) in [
            (Family::V4, &[][..], &some[..],                   &["10.0.0.2", "10.0.0.1"][..], 20),
            (Family::V6, &[],     &some,                       &["fd00::1"],                  5),
            (Family::V4, &to,     &[("c.test", "10.0.0.1", 20)], &["10.0.0.1"],               9),
            (Family::V4, &to,     &[],                         &[],                           9),
            (Family::V6, &[],     &[],                         &[],                           0),
            (Family::V4, &[],     &[("a.test", "10.0.0.1", 0)], &["10.0.0.1"],                0),
        ] {
            let asked = question("A.test", family, 7).unwrap();
            let said = answer(&asked, family, &made(&asked, Rcode::NOERROR, aliases, all));
            let wanted = wanted.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(said, Some(Said::Addresses(wanted, Duration::from_secs(seconds))), "{family:?} {aliases:?} {all:?}");
        }
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_none() {
        let asked = question("a.test", Family::V4, 7).unwrap();
        let right = made(&asked, Rcode::NOERROR, &[], &[("a.test", "10.0.0.1", 20)]);
        assert!(matches!(answer(&asked, Family::V4, &right), Some(Said::Addresses(..))));
        let others = [("a.test", Family::V4, 8), ("b.test", Family::V4, 7), ("a.test", Family::V6, 7)];
        for (name, family, id) in others {
            let other = question(name, family, id).unwrap();
            assert_eq!(
                answer(&asked, Family::V4, &made(&other, Rcode::NOERROR, &[], &[])),
                None,
                "{name} {family:?} {id}"
            );
        }
        assert_eq!(answer(&asked, Family::V4, &asked), None, "a question is none");
        for length in 0..right.len() {
            let said = answer(&asked, Family::V4, &right[..length]);
            assert!(!matches!(said, Some(Said::Addresses(all, _)) if !all.is_empty()), "the first {length} bytes");
        }
        let code = |code| answer(&asked, Family::V4, &made(&asked, code, &[], &[]));
        assert_eq!(code(Rcode::NXDOMAIN), Some(Said::NoName));
        assert_eq!(code(Rcode::SERVFAIL), Some(Said::Failed("it says SERVFAIL".into())));
        assert_eq!(code(Rcode::REFUSED), Some(Said::Failed("it says REFUSED".into())));
        let mut cut = right;
        cut[2] |= 2; // TC
        assert_eq!(answer(&asked, Family::V4, &cut), Some(Said::More));
        let endless = made(&asked, Rcode::NOERROR, &[("a.test", "b.test", 9), ("b.test", "a.test", 9)], &[]);
        assert_eq!(answer(&asked, Family::V4, &endless), Some(Said::Failed("its answer is broken".into())));
        for bad in ["a..b", &"a".repeat(64), &["a"; 200].join(".")] {
            assert_eq!(question(bad, Family::V4, 7), None, "{bad}");
        }
    }
}
