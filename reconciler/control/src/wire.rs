//! What operators and the ledger's disk are told, as schemas/control.proto has it.
//!
//! Owns: the generated types, which do not leave this file and its submodules, and every check on what comes back.
//! Invariant: what was written is read back as it was; what cannot be read is said to be so, never guessed.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use taut_delivery::{CertificateReport, MemberKind, Refused, Running};
use taut_snapshot::format::Encode;
use taut_snapshot::format::codec::decode_all;
use taut_snapshot::{Digest, Endpoint};

use crate::desired::{Commit, Desired, Head, Hold, Rejection, Release};
use crate::member::Known;
use crate::record::{Record, What};
use crate::status::{Drift, DriftKind, MemberState, MemberStatus, Status};

mod client;
mod server;

pub(crate) use client::Calls;
pub(crate) use server::{Asked, server};

#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; schemas/control.proto has the comments"
)]
mod proto {
    tonic::include_proto!("taut.control.v1");
}

/// Bytes that say something that this program does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be read: it is damaged, or of a newer version")]
pub(crate) struct Unreadable(pub &'static str);

type Checked<T> = Result<T, Unreadable>;

fn digest(bytes: &[u8]) -> Checked<Digest> {
    bytes.try_into().map(Digest).map_err(|_| Unreadable("a digest"))
}

fn bytes_of(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

fn ms(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn time(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn given<T>(value: Option<T>, what: &'static str) -> Checked<T> {
    value.ok_or(Unreadable(what))
}

fn commit_of(commit: &Commit) -> proto::Commit {
    let Commit { rev, summary, author, time } = commit.clone();
    proto::Commit { rev, summary, author, time_unix_ms: ms(time) }
}

fn commit(from: proto::Commit) -> Commit {
    Commit { rev: from.rev, summary: from.summary, author: from.author, time: time(from.time_unix_ms) }
}

fn release_of(release: &Release) -> proto::Release {
    proto::Release {
        commit: Some(commit_of(&release.commit)),
        snapshot: bytes_of(release.snapshot),
        endpoints: bytes_of(release.endpoints),
        source_map: bytes_of(release.source_map),
    }
}

fn release(from: proto::Release) -> Checked<Release> {
    Ok(Release {
        commit: commit(given(from.commit, "a release without its commit")?),
        snapshot: digest(&from.snapshot)?,
        endpoints: digest(&from.endpoints)?,
        source_map: digest(&from.source_map)?,
    })
}

fn head_of(head: &Head) -> proto::Head {
    proto::Head { release: Some(release_of(&head.release)), generation: head.generation, origin: head.origin }
}

fn head(from: proto::Head) -> Checked<Head> {
    let release = release(given(from.release, "an activation without its release")?)?;
    Ok(Head { release, generation: from.generation, origin: from.origin })
}

fn hold_of(hold: &Hold) -> proto::Hold {
    proto::Hold { who: hold.who.clone(), why: hold.why.clone(), since_unix_ms: ms(hold.since) }
}

fn rejection_of(rejection: &Rejection) -> proto::Rejection {
    proto::Rejection {
        head: Some(head_of(&rejection.head)),
        member: rejection.member.clone(),
        object: rejection.refused.object.map(bytes_of),
        why: rejection.refused.why.clone(),
        places: rejection.places.clone(),
        at_unix_ms: ms(rejection.at),
    }
}

fn rejection(from: proto::Rejection) -> Checked<Rejection> {
    Ok(Rejection {
        head: head(given(from.head, "a rejection without its candidate")?)?,
        member: from.member,
        refused: Refused { object: from.object.as_deref().map(digest).transpose()?, why: from.why },
        places: from.places,
        at: time(from.at_unix_ms),
    })
}

fn desired_of(desired: &Desired) -> proto::Desired {
    proto::Desired {
        active: desired.active.as_ref().map(head_of),
        previous: desired.previous.as_ref().map(head_of),
        candidate: desired.candidate.as_ref().map(head_of),
        latest: desired.latest.as_ref().map(release_of),
        hold: desired.hold.as_ref().map(hold_of),
        rejection: desired.rejection.as_ref().map(rejection_of),
        generation: desired.generation,
    }
}

fn desired(from: proto::Desired) -> Checked<Desired> {
    let hold = |from: proto::Hold| Hold { who: from.who, why: from.why, since: time(from.since_unix_ms) };
    Ok(Desired {
        active: from.active.map(head).transpose()?,
        previous: from.previous.map(head).transpose()?,
        candidate: from.candidate.map(head).transpose()?,
        latest: from.latest.map(release).transpose()?,
        hold: from.hold.map(hold),
        rejection: from.rejection.map(rejection).transpose()?,
        generation: from.generation,
    })
}

fn running_of(running: Running) -> proto::Running {
    proto::Running { snapshot: bytes_of(running.snapshot), generation: running.generation }
}

fn running(from: &proto::Running) -> Checked<Running> {
    Ok(Running { snapshot: digest(&from.snapshot)?, generation: from.generation })
}

fn workload_of(kind: &MemberKind) -> String {
    match kind {
        MemberKind::Proxy { workload } => workload.clone(),
        MemberKind::Authority => String::new(),
    }
}

fn kind(workload: String) -> MemberKind {
    if workload.is_empty() { MemberKind::Authority } else { MemberKind::Proxy { workload } }
}

fn endpoint_of(endpoint: &Endpoint) -> Bytes {
    let mut bytes = Vec::new();
    endpoint.encode(&mut bytes);
    bytes.into()
}

fn endpoint(bytes: &Bytes) -> Checked<Endpoint> {
    decode_all(bytes).map_err(|_| Unreadable("an endpoint"))
}

fn record_of(record: &Record) -> proto::Record {
    proto::Record {
        number: record.number,
        at_unix_ms: ms(record.at),
        who: record.who.clone(),
        what: record.what.word().to_owned(),
        commit: record.commit.as_ref().map(commit_of),
        snapshot: record.snapshot.map(bytes_of),
        generation: record.generation,
        member: record.member.clone(),
        why: record.why.clone(),
        lines: record.lines.clone(),
    }
}

fn record(from: proto::Record) -> Checked<Record> {
    Ok(Record {
        number: from.number,
        at: time(from.at_unix_ms),
        who: from.who,
        what: given(What::of(&from.what), "a record")?,
        commit: from.commit.map(commit),
        snapshot: from.snapshot.as_deref().map(digest).transpose()?,
        generation: from.generation,
        member: from.member,
        why: from.why,
        lines: from.lines,
    })
}

fn status_of(status: &Status) -> proto::StatusReply {
    let member = |member: &MemberStatus| proto::Member {
        name: member.name.clone(),
        kind: if member.kind == MemberKind::Authority { "authority" } else { "proxy" }.to_owned(),
        workload: workload_of(&member.kind),
        state: member.state.word().to_owned(),
        running: member.running.map(running_of),
        certificate: member.certificate.as_ref().map(|it| proto::Certificate {
            id: it.id.clone(),
            serial: it.serial.clone(),
            not_after_unix_ms: ms(it.not_after),
        }),
        since_unix_ms: ms(member.since),
        why: member.why.clone(),
        endpoint: member.endpoint.as_ref().map(endpoint_of),
    };
    proto::StatusReply {
        desired: Some(desired_of(&status.desired)),
        members: status.members.iter().map(member).collect(),
        converged: status.converged,
        waiting: status.waiting.iter().map(commit_of).collect(),
    }
}

fn status(from: proto::StatusReply) -> Checked<Status> {
    let member = |member: proto::Member| {
        Ok(MemberStatus {
            name: member.name,
            kind: kind(member.workload),
            state: given(MemberState::of(&member.state), "a member's state")?,
            running: member.running.as_ref().map(running).transpose()?,
            certificate: member.certificate.map(|it| CertificateReport {
                id: it.id,
                serial: it.serial,
                not_after: time(it.not_after_unix_ms),
            }),
            since: time(member.since_unix_ms),
            why: member.why,
            endpoint: member.endpoint.as_ref().map(endpoint).transpose()?,
        })
    };
    Ok(Status {
        desired: desired(given(from.desired, "a status")?)?,
        members: from.members.into_iter().map(member).collect::<Checked<_>>()?,
        converged: from.converged,
        waiting: from.waiting.into_iter().map(commit).collect(),
    })
}

fn drift_of(drift: &Drift) -> proto::Drift {
    proto::Drift {
        member: drift.member.clone().unwrap_or_default(),
        kind: drift.kind.word().to_owned(),
        expected: drift.expected.clone(),
        found: drift.found.clone(),
        since_unix_ms: ms(drift.since),
        why: drift.why.clone(),
    }
}

fn drift(from: proto::Drift) -> Checked<Drift> {
    Ok(Drift {
        member: Some(from.member).filter(|name| !name.is_empty()),
        kind: given(DriftKind::of(&from.kind), "a drift")?,
        expected: from.expected,
        found: from.found,
        since: time(from.since_unix_ms),
        why: from.why,
    })
}

fn decode<T: Message + Default>(bytes: &[u8], what: &'static str) -> Checked<T> {
    T::decode(bytes).map_err(|_| Unreadable(what))
}

/// A record as the ledger keeps it.
pub(crate) fn write_record(record: &Record) -> Vec<u8> {
    record_of(record).encode_to_vec()
}

/// A record that the ledger kept.
pub(crate) fn read_record(bytes: &[u8]) -> Checked<Record> {
    record(decode(bytes, "a record")?)
}

/// Where the fleet is to go, as the ledger keeps it.
pub(crate) fn write_desired(desired: &Desired) -> Vec<u8> {
    desired_of(desired).encode_to_vec()
}

/// Where the fleet was to go when it was written.
pub(crate) fn read_desired(bytes: &[u8]) -> Checked<Desired> {
    desired(decode(bytes, "where the fleet is to go")?)
}

/// An activation as the ledger keeps it.
pub(crate) fn write_head(head: &Head) -> Vec<u8> {
    head_of(head).encode_to_vec()
}

/// An activation that the ledger kept.
pub(crate) fn read_head(bytes: &[u8]) -> Checked<Head> {
    head(decode(bytes, "an activation")?)
}

/// A member as the ledger keeps it.
pub(crate) fn write_known(name: &str, known: &Known) -> Vec<u8> {
    let known = proto::Known {
        name: name.to_owned(),
        workload: workload_of(&known.kind),
        peer: known.peer.clone(),
        activated: known.activated.map(running_of),
        counted: known.counted,
        endpoint: known.endpoint.as_ref().map(endpoint_of),
    };
    known.encode_to_vec()
}

/// A member that the ledger kept.
pub(crate) fn read_known(bytes: &[u8]) -> Checked<Known> {
    let from: proto::Known = decode(bytes, "a member")?;
    Ok(Known {
        kind: kind(from.workload),
        peer: from.peer,
        activated: from.activated.as_ref().map(running).transpose()?,
        counted: from.counted,
        endpoint: from.endpoint.as_ref().map(endpoint).transpose()?,
    })
}

#[cfg(test)]
mod tests;
