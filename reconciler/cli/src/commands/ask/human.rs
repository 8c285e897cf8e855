//! Answers of the reconciler for people.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use taut_control::{Drift, Head, MemberState, Record, Status};

/// A length of time in its largest unit: `12s`, `5m`, `3h`, `9d`.
fn ago(at: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long until then.
fn left(until: SystemTime, now: SystemTime) -> String {
    match until.duration_since(now) {
        Ok(_) => ago(now, until),
        Err(_) => "expired".to_owned(),
    }
}

fn columns(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().map(|it| it.to_uppercase()));
    // Nothing before the first column, as other tools have it.
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 3));
    });
    table
}

fn lines(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn head(head: &Head) -> String {
    let commit = &head.release.commit;
    format!(
        "generation {} · snapshot {} · commit {} {}",
        head.generation,
        head.release.snapshot.short(),
        commit.short(),
        commit.summary
    )
}

pub(super) fn status(status: &Status, now: SystemTime) -> String {
    let mut text = String::new();
    let desired = &status.desired;
    match &desired.active {
        Some(active) => _ = writeln!(text, "active     {}", head(active)),
        None => text += "active     nothing yet\n",
    }
    if let Some(candidate) = &desired.candidate {
        _ = writeln!(text, "staging    {}", head(candidate));
    }
    if let Some(rejection) = &desired.rejection {
        _ = writeln!(text, "refused    {} by {}: {}", head(&rejection.head), rejection.member, rejection.refused.why);
        for place in &rejection.places {
            _ = writeln!(text, "           {place}");
        }
    }
    if let Some(hold) = &desired.hold {
        let why = if hold.why.is_empty() { String::new() } else { format!(": {}", hold.why) };
        _ = writeln!(text, "hold       by {} since {} ago{why}", hold.who, ago(hold.since, now));
        for commit in &status.waiting {
            _ = writeln!(text, "           {} {} waits", commit.short(), commit.summary);
        }
        text += "           `taut resume` follows git again\n";
    }
    let live = status.members.iter().filter(|member| member.state == MemberState::Live).count();
    let converged = if status.converged { "all that count run it" } else { "not all run it yet" };
    _ = writeln!(text, "members    {live} of {} live; {converged}\n", status.members.len());
    let mut table = columns(&["name", "state", "generation", "snapshot", "certificate", "since", "why"]);
    for member in &status.members {
        let none = || "-".to_owned();
        table.add_row([
            member.name.clone(),
            member.state.word().to_owned(),
            member.running.map_or_else(none, |running| running.generation.to_string()),
            member.running.map_or_else(none, |running| running.snapshot.short()),
            member.certificate.as_ref().map_or_else(none, |it| left(it.not_after, now)),
            ago(member.since, now),
            member.why.clone(),
        ]);
    }
    text + &lines(&table)
}

pub(super) fn history(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        let at = humantime::format_rfc3339_seconds(record.at);
        let generation = record.generation.map(|it| format!(" generation {it}")).unwrap_or_default();
        let commit = record.commit.as_ref().map(|it| format!(" {} {}", it.short(), it.summary)).unwrap_or_default();
        let member = record.member.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        let why = if record.why.is_empty() { String::new() } else { format!(": {}", record.why) };
        _ = writeln!(text, "{at}  {:<10} {:<11}{generation}{commit}{member}{why}", record.who, record.what.word());
        for line in &record.lines {
            _ = writeln!(text, "                        {line}");
        }
    }
    text
}

pub(super) fn drift(drifts: &[Drift], now: SystemTime) -> String {
    if drifts.is_empty() {
        return "no drift: git, what was activated, and what members run are one\n".to_owned();
    }
    let mut table = columns(&["member", "differs in", "expected", "found", "since", "why"]);
    for drift in drifts {
        let member = drift.member.clone().unwrap_or_else(|| "-".to_owned());
        let since = format!("{} ({} ago)", humantime::format_rfc3339_seconds(drift.since), ago(drift.since, now));
        let Drift { expected, found, why, .. } = drift;
        table.add_row([member, drift.kind.word().to_owned(), expected.clone(), found.clone(), since, why.clone()]);
    }
    lines(&table)
}
