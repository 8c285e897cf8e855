//! Answers of the reconciler for programs. The keys are an interface: add keys, never rename or reuse one.

use std::time::SystemTime;

use serde_json::{Value, json};
use taut_control::{Commit, Done, Drift, Head, Hold, MemberStatus, Record, Rejection, Status, Waited};
use taut_delivery::MemberKind;

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// None, for what is empty where something was expected.
fn words(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn head(head: &Head) -> Value {
    json!({
        "snapshot": head.release.snapshot.to_string(),
        "commit": head.release.commit.rev,
        "generation": head.generation,
        "summary": head.release.commit.summary,
    })
}

fn commit(commit: &Commit) -> Value {
    json!({"commit": commit.rev, "summary": commit.summary, "author": commit.author, "at": time(commit.time)})
}

fn hold(hold: &Hold) -> Value {
    json!({"who": hold.who, "why": words(&hold.why), "since": time(hold.since)})
}

fn rejection(rejection: &Rejection) -> Value {
    let Rejection { head: refused, member, refused: why, places, at } = rejection;
    json!({"head": head(refused), "member": member, "why": why.why, "places": places, "at": time(*at)})
}

fn member(member: &MemberStatus) -> Value {
    let (kind, workload) = match &member.kind {
        MemberKind::Proxy { workload } => ("proxy", Some(workload)),
        MemberKind::Authority => ("ca", None),
    };
    let certificate = member.certificate.as_ref();
    json!({
        "name": member.name,
        "kind": kind,
        "workload": workload,
        "state": member.state.word(),
        "snapshot": member.running.map(|running| running.snapshot.to_string()),
        "generation": member.running.map(|running| running.generation),
        "certificate": certificate.map(|it| json!({"id": it.id, "serial": it.serial, "not_after": time(it.not_after)})),
        "since": time(member.since),
        "why": words(&member.why),
    })
}

pub(super) fn status(status: &Status) -> Value {
    let desired = &status.desired;
    json!({
        "desired": desired.candidate.as_ref().or(desired.active.as_ref()).map(head),
        "active": desired.active.as_ref().map(head),
        "members": status.members.iter().map(member).collect::<Vec<_>>(),
        "converged": status.converged,
        "hold": desired.hold.as_ref().map(hold),
        "waiting": status.waiting.iter().map(commit).collect::<Vec<_>>(),
        "rejection": desired.rejection.as_ref().map(rejection),
    })
}

pub(super) fn waited(waited: &Waited) -> Value {
    json!({"outcome": waited.outcome.word(), "message": waited.said})
}

pub(super) fn history(records: &[Record]) -> Value {
    let record = |record: &Record| {
        json!({
            "number": record.number,
            "at": time(record.at),
            "who": record.who,
            "what": record.what.word(),
            "commit": record.commit.as_ref().map(|it| &it.rev),
            "summary": record.commit.as_ref().map(|it| &it.summary),
            "snapshot": record.snapshot.map(|it| it.to_string()),
            "generation": record.generation,
            "member": record.member,
            "why": words(&record.why),
            "lines": record.lines,
        })
    };
    json!({"history": records.iter().map(record).collect::<Vec<_>>()})
}

pub(super) fn drift(drifts: &[Drift]) -> Value {
    let drift = |drift: &Drift| {
        json!({
            "member": drift.member,
            "kind": drift.kind.word(),
            "expected": drift.expected,
            "found": drift.found,
            "since": time(drift.since),
            "why": words(&drift.why),
        })
    };
    json!({"drift": drifts.iter().map(drift).collect::<Vec<_>>()})
}

pub(super) fn plan(plan: &str) -> Value {
    json!({"plan": plan.lines().collect::<Vec<_>>()})
}

pub(super) fn done(done: &Done) -> Value {
    json!({
        "generation": done.generation,
        "snapshot": done.snapshot.map(|it| it.to_string()),
        "message": done.said,
    })
}
