//! `taut.toml`, as it is written.

use std::ops::Range;

use taut_source::{FileId, Place, Problem, SourceSet, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Exception, UNREADABLE, is_exceptions};

const KEYS: &[&str] = &["code", "resource", "owner", "until", "reason"];

/// Reads every entry of every file with exceptions; what is wrong with one is reported, and it does not hold.
pub(super) fn read(sources: &SourceSet, problems: &mut Vec<Problem>) -> Vec<Exception> {
    let mut exceptions = Vec::new();
    for (file, source) in sources.iter().filter(|(_, source)| is_exceptions(&source.name)) {
        let whole = 0..source.bytes.len();
        let Ok(text) = std::str::from_utf8(&source.bytes) else {
            problems.push(problem(file, whole, "this file is not text".into(), "write it in UTF-8"));
            continue;
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
                let help = "write `[[suppress]]`, and below it `code = \"...\"` and the other keys";
                problems.push(problem(file, error.span().unwrap_or(whole), message, help));
                continue;
            }
        };
        for (key, value) in table.get_ref().iter() {
            if key.get_ref() != "suppress" {
                let message = format!("unknown key `{}`", key.get_ref());
                problems.push(problem(file, key.span(), message, "write `[[suppress]]` for each exception"));
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                let message = "`suppress` is a list".into();
                problems.push(problem(file, value.span(), message, "write `[[suppress]]`, with two brackets"));
                continue;
            };
            exceptions.extend(entries.iter().filter_map(|entry| read_one(entry, file, problems)));
        }
    }
    exceptions
}

fn read_one(entry: &Spanned<DeValue<'_>>, file: FileId, problems: &mut Vec<Problem>) -> Option<Exception> {
    let DeValue::Table(table) = entry.get_ref() else {
        let help = "write `[[suppress]]`, and its keys below";
        problems.push(problem(file, entry.span(), "an exception is a table".into(), help));
        return None;
    };
    let before = problems.len();
    for (key, _) in table.iter().filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref())) {
        let message = format!("unknown key `{}`", key.get_ref());
        problems.push(problem(file, key.span(), message, "the keys are: code, resource, owner, until, reason"));
    }
    let mut texts = Vec::new();
    for key in ["code", "resource", "owner", "reason"] {
        match table.get(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::String(text), _)) if !text.trim().is_empty() => texts.push(text.to_string()),
            Some((_, span)) => {
                let message = format!("`{key}` is no text");
                problems.push(problem(file, span, message, "write it in quotes"));
            }
            None => {
                let message = format!("this exception has no `{key}`");
                problems.push(problem(
                    file,
                    entry.span(),
                    message,
                    "every exception says code, resource, owner, until and reason",
                ));
            }
        }
    }
    let until = table.get("until").map(|value| {
        let written = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            _ => String::new(),
        };
        (day(&written).map(|day| (day, written)), value.span())
    });
    let until = match until {
        Some((Some(until), _)) => Some(until),
        Some((None, span)) => {
            problems.push(problem(file, span, "`until` is no day".into(), "write it as 2030-06-30"));
            None
        }
        None => {
            let message = "this exception has no `until`".into();
            problems.push(problem(file, entry.span(), message, "add the last day on which it holds, as 2030-06-30"));
            None
        }
    };
    if before < problems.len() {
        return None;
    }
    let mut texts = texts.into_iter();
    Some(Exception {
        at: place(file, entry.span()),
        code: texts.next()?,
        resource: texts.next()?,
        owner: texts.next()?,
        reason: texts.next()?,
        until: until?,
    })
}

fn place(file: FileId, span: Range<usize>) -> Place {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Place { file, span: Span { start: offset(span.start), end: offset(span.end) } }
}

fn problem(file: FileId, span: Range<usize>, message: String, help: &str) -> Problem {
    Problem { help: help.to_owned(), ..UNREADABLE.at(place(file, span), message) }
}

/// A day as `2030-06-30`, in days since 1970. What follows the day, such as a time, does not count.
pub(super) fn day(text: &str) -> Option<i64> {
    let mut numbers = text.get(..10)?.split('-').map(|number| number.parse::<i64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let years = year - 1970;
    // Years before this one that had a day more: every fourth, but not every hundredth, but every four hundredth.
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let before: i64 = lengths.iter().take(usize::try_from(month - 1).ok()?).sum();
    Some(years * 365 + leaps(year - 1) - leaps(1969) + before + day - 1)
}
