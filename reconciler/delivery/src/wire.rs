//! The protocol as schemas/delivery.proto has it.
//!
//! Owns: the generated types, which do not leave this file, and every check on what comes from the other side.
//! Invariant: what passes here is within its limits; what does not ends the stream with a sentence.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use taut_snapshot::format::Encode;
use taut_snapshot::format::codec::decode_all;
use taut_snapshot::{Digest, Endpoint, EndpointSet};
use tonic::Status;

use crate::limits::{
    ENDPOINTS_MESSAGE_COUNT, ENDPOINTS_PARTS_MAX, GENERATION_MAX, LACKING_MAX, NAME_BYTES_MAX, OBJECT_BYTES_MAX,
    OBJECTS_MESSAGE_COUNT, PART_OBJECTS_MAX, sentence,
};
use crate::message::{
    Boots, CertificateReport, EndpointsPart, FromMember, Join, MemberKind, Refusal, Refused, Report, Running, ToMember,
};

#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; schemas/delivery.proto has the comments"
)]
pub(crate) mod proto {
    tonic::include_proto!("taut.delivery.v1");
}

/// Two snapshots and what is staged beside them: the most that a member holds.
const HOLDS_MAX: usize = 3 * PART_OBJECTS_MAX;

type Checked<T> = Result<T, Status>;

fn bad(what: &str) -> Status {
    Status::invalid_argument(format!("the other side sent {what}; are both of one version?"))
}

fn digest(bytes: &[u8]) -> Checked<Digest> {
    bytes.try_into().map(Digest).map_err(|_| bad("a digest that is not 32 bytes"))
}

fn digests(list: &[Bytes], most: usize) -> Checked<Vec<Digest>> {
    if most < list.len() {
        return Err(bad("more digests than a member can hold"));
    }
    list.iter().map(|bytes| digest(bytes)).collect()
}

fn bytes_of(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

fn generation(number: u64) -> Checked<u64> {
    if number <= GENERATION_MAX { Ok(number) } else { Err(bad("a generation that nobody can have given")) }
}

fn name(text: String) -> Checked<String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text) } else { Err(bad("a name that is empty, too long, or not printable")) }
}

fn running(from: &proto::Running) -> Checked<Running> {
    Ok(Running { snapshot: digest(&from.snapshot)?, generation: generation(from.generation)? })
}

fn running_of(running: Running) -> proto::Running {
    proto::Running { snapshot: bytes_of(running.snapshot), generation: running.generation }
}

/// What a member says, as it is sent.
pub(crate) fn from_member(message: FromMember) -> proto::FromMember {
    use proto::from_member::Say;
    let say = match message {
        FromMember::Join(join) => Say::Join(proto::Join {
            name: join.name,
            kind: Some(match join.kind {
                MemberKind::Proxy { workload } => proto::join::Kind::Proxy(proto::Proxy { workload }),
                MemberKind::Authority => proto::join::Kind::Authority(proto::Authority {}),
            }),
            version: join.version,
            holds: join.holds.into_iter().map(bytes_of).collect(),
            report: Some(report_of(join.report)),
        }),
        FromMember::Report(report) => Say::Report(report_of(*report)),
        FromMember::Leave => Say::Leave(proto::Leave {}),
    };
    proto::FromMember { say: Some(say) }
}

fn report_of(report: Report) -> proto::Report {
    let (running, contents, damaged) = match report.boots {
        Boots::Nothing => (None, Bytes::new(), String::new()),
        Boots::From { running, contents } => (Some(running_of(running)), bytes_of(contents), String::new()),
        Boots::Damaged(why) => (None, Bytes::new(), why),
    };
    proto::Report {
        number: report.number,
        running: report.running.map(running_of),
        staged: report.staged.map(bytes_of),
        lacking: report.lacking.into_iter().map(bytes_of).collect(),
        refused: report.refused.map(|refusal| proto::Refusal {
            snapshot: bytes_of(refusal.snapshot),
            generation: refusal.generation,
            object: refusal.refused.object.map(bytes_of),
            why: sentence(refusal.refused.why),
        }),
        boots: Some(proto::Boots { running, contents, damaged: sentence(damaged) }),
        endpoints: report.endpoints,
        endpoint: report.endpoint.map(|endpoint| {
            let mut bytes = Vec::new();
            endpoint.encode(&mut bytes);
            bytes.into()
        }),
        certificate: report.certificate.map(|certificate| proto::Certificate {
            id: certificate.id,
            serial: certificate.serial,
            not_after_unix_ms: unix_ms(certificate.not_after),
        }),
        note: sentence(report.note),
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a member says, checked.
pub(crate) fn read_from_member(message: proto::FromMember) -> Checked<FromMember> {
    use proto::from_member::Say;
    Ok(match message.say.ok_or_else(|| bad("an empty message"))? {
        Say::Join(join) => FromMember::Join(Box::new(Join {
            name: name(join.name)?,
            kind: match join.kind.ok_or_else(|| bad("a join of no kind"))? {
                proto::join::Kind::Proxy(proxy) => MemberKind::Proxy { workload: name(proxy.workload)? },
                proto::join::Kind::Authority(_) => MemberKind::Authority,
            },
            version: sentence(join.version),
            holds: digests(&join.holds, HOLDS_MAX)?,
            report: report(join.report.ok_or_else(|| bad("a join without a report"))?)?,
        })),
        Say::Report(from) => FromMember::Report(Box::new(report(from)?)),
        Say::Leave(_) => FromMember::Leave,
    })
}

fn report(from: proto::Report) -> Checked<Report> {
    let boots = from.boots.ok_or_else(|| bad("a report that does not say what would boot"))?;
    let boots = match boots.running {
        _ if !boots.damaged.is_empty() => Boots::Damaged(sentence(boots.damaged)),
        Some(from) => Boots::From { running: running(&from)?, contents: digest(&boots.contents)? },
        None => Boots::Nothing,
    };
    let refused = from.refused.map(|refusal| {
        let refused =
            Refused { object: refusal.object.as_deref().map(digest).transpose()?, why: sentence(refusal.why) };
        Checked::Ok(Refusal {
            snapshot: digest(&refusal.snapshot)?,
            generation: generation(refusal.generation)?,
            refused,
        })
    });
    let endpoint: Option<Endpoint> = from
        .endpoint
        .map(|bytes| decode_all(&bytes))
        .transpose()
        .map_err(|_| bad("an endpoint that cannot be read"))?;
    if endpoint.as_ref().is_some_and(|endpoint| endpoint.address.parse::<IpAddr>().is_err()) {
        return Err(bad("an endpoint whose address is not an IP address"));
    }
    Ok(Report {
        number: from.number,
        running: from.running.as_ref().map(running).transpose()?,
        staged: from.staged.as_deref().map(digest).transpose()?,
        lacking: digests(&from.lacking, LACKING_MAX)?,
        refused: refused.transpose()?,
        boots,
        endpoints: from.endpoints,
        endpoint,
        certificate: from.certificate.map(|certificate| CertificateReport {
            id: sentence(certificate.id),
            serial: sentence(certificate.serial),
            // Beyond what the clock can hold is as good as never.
            not_after: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_millis(certificate.not_after_unix_ms))
                .unwrap_or(SystemTime::UNIX_EPOCH),
        }),
        note: sentence(from.note),
    })
}

/// What a publisher says, as it is sent.
pub(crate) fn to_member(message: ToMember) -> proto::ToMember {
    use proto::to_member::Say;
    let say = match message {
        ToMember::Welcome { heartbeat } => {
            Say::Welcome(proto::Welcome { heartbeat_ms: u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX) })
        }
        ToMember::Rejected { why } => Say::Rejected(proto::Rejected { why: sentence(why) }),
        ToMember::Objects { generation, objects } => Say::Objects(proto::Objects { generation, objects }),
        ToMember::Stage(Running { snapshot, generation }) => {
            Say::Stage(proto::Stage { snapshot: bytes_of(snapshot), generation })
        }
        ToMember::Activate(Running { snapshot, generation }) => {
            Say::Activate(proto::Activate { snapshot: bytes_of(snapshot), generation })
        }
        ToMember::Retire { generation } => Say::Retire(proto::Retire { generation }),
        ToMember::Endpoints(EndpointsPart { version, part, parts, endpoints }) => {
            let mut set = Vec::new();
            EndpointSet { endpoints }.encode(&mut set);
            Say::Endpoints(proto::Endpoints { version, part, parts, set: set.into() })
        }
        ToMember::Deregistered => Say::Deregistered(proto::Deregistered {}),
    };
    proto::ToMember { say: Some(say) }
}

/// What a publisher says, checked.
pub(crate) fn read_to_member(message: proto::ToMember) -> Checked<ToMember> {
    use proto::to_member::Say;
    Ok(match message.say.ok_or_else(|| bad("an empty message"))? {
        Say::Welcome(welcome) => {
            // Neither a flood of reports nor a silence that looks like death.
            ToMember::Welcome { heartbeat: Duration::from_millis(welcome.heartbeat_ms.clamp(10, 60_000)) }
        }
        Say::Rejected(rejected) => ToMember::Rejected { why: sentence(rejected.why) },
        Say::Objects(from) => {
            let oversized = from.objects.iter().any(|bytes| OBJECT_BYTES_MAX < bytes.len());
            if oversized || OBJECTS_MESSAGE_COUNT < from.objects.len() {
                return Err(bad("more objects, or larger ones, than a message may have"));
            }
            ToMember::Objects { generation: generation(from.generation)?, objects: from.objects }
        }
        Say::Stage(from) => {
            ToMember::Stage(Running { snapshot: digest(&from.snapshot)?, generation: generation(from.generation)? })
        }
        Say::Activate(from) => {
            ToMember::Activate(Running { snapshot: digest(&from.snapshot)?, generation: generation(from.generation)? })
        }
        Say::Retire(from) => ToMember::Retire { generation: generation(from.generation)? },
        Say::Endpoints(from) => {
            let set: EndpointSet = decode_all(&from.set).map_err(|_| bad("endpoints that cannot be read"))?;
            let placed = from.part < from.parts && from.parts <= ENDPOINTS_PARTS_MAX;
            if !placed || ENDPOINTS_MESSAGE_COUNT < set.endpoints.len() {
                return Err(bad("more endpoints than a message may have, or parts that do not add up"));
            }
            let proto::Endpoints { version, part, parts, .. } = from;
            ToMember::Endpoints(EndpointsPart { version, part, parts, endpoints: set.endpoints })
        }
        Say::Deregistered(_) => ToMember::Deregistered,
    })
}

#[cfg(test)]
mod tests;
